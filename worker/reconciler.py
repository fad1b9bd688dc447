"""A thread of every worker that says "I live" and looks after jobs, round after round: see shared/upkeep.py."""

from __future__ import annotations

import logging
import threading

from shared.availability import Availability
from shared.errors import Unavailable
from shared.upkeep import Upkeep

_log = logging.getLogger(__name__)


class Reconciler:
    """Does rounds until it is stopped."""

    def __init__(self, upkeep: Upkeep, *, worker: str, pause_seconds: float) -> None:
        """worker: the name under which it beats. pause_seconds: between two rounds."""
        self._upkeep = upkeep
        self._worker = worker
        self._pause = pause_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconciler", daemon=True)
        self._reachable = Availability("the reconciler's ledger or broker", 0)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; does not wait for a round that is under way."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._upkeep.round(self._worker)
                self._reachable.answered()
            except Unavailable as error:
                self._reachable.failed(error)
            except Exception:  # a defect here must not end the heartbeat for good
                _log.exception("a round of the reconciler failed")
            self._stopped.wait(self._pause)
