"""Threads of a worker's first process that do one thing round after round, each at its own pace."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from shared.availability import Availability
from shared.errors import Unavailable

_log = logging.getLogger(__name__)


class Rounds:
    """Does rounds until it is stopped, whatever comes of each."""

    def __init__(self, name: str, round_: Callable[[], bool | None], *, pause_seconds: float) -> None:
        """name: for the log. round_: true when there may be more to do at once; raises Unavailable. pause_seconds:
        after all other rounds."""
        self._name = name
        self._round = round_
        self._pause = pause_seconds
        self._stopped = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._reachable = Availability(f"what the {name} needs", 0)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Begin the next round now."""
        self._wake.set()

    def stop(self) -> None:
        """End; does not wait for a round that is under way."""
        self._stopped = True
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped:
            more = False
            try:
                more = bool(self._round())
                self._reachable.answered()
            except Unavailable as error:
                self._reachable.failed(error)
            except Exception:  # a defect in one round must not end them all for good
                _log.exception("a round of the %s failed", self._name)
            if not more:
                self._wake.wait(self._pause)
            self._wake.clear()
