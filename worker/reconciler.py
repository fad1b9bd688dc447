"""A thread of every worker that says "I live", and puts back on the queue what the queue lost.

Any number of workers may do it at once: the ledger gives each stale chunk to one of them (SKIP LOCKED).
"""

from __future__ import annotations

import logging
import threading

from shared.availability import Availability
from shared.errors import Unavailable
from shared.health import WORKER_BEAT_SECONDS
from shared.jobs import Jobs
from shared.repositories.jobs import JobRepository

_log = logging.getLogger(__name__)


class Reconciler:
    """Beats and republishes until it is stopped."""

    def __init__(self, ledger: JobRepository, jobs: Jobs, *, worker: str) -> None:
        self._ledger = ledger
        self._jobs = jobs
        self._worker = worker
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconciler", daemon=True)
        self._reachable = Availability("the reconciler's ledger or broker", 0)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; does not wait for a round that is under way."""
        self._stopped.set()

    def round(self) -> int:
        """Beat once, and republish what is due; how many chunks that was. Raises Unavailable."""
        self._ledger.beat(self._worker)
        count = self._jobs.republish()
        if count:
            _log.info("%s chunks were put (back) on the queue", count)
        return count

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.round()
                self._reachable.answered()
            except Unavailable as error:
                self._reachable.failed(error)
            except Exception:  # a defect here must not end the heartbeat for good
                _log.exception("a round of the reconciler failed")
            self._stopped.wait(WORKER_BEAT_SECONDS)
