"""What keeps jobs moving when messages, workers or callers are lost. Any number of workers may do it at once.

After a round: leases that are over have ended, each open job has its window of chunks on the queue, jobs past their
deadline have expired, and those that ended long ago are forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from shared.errors import BrokerUnavailable, Unavailable
from shared.publishing import Publishing
from shared.repositories.chunks import ChunkRepository
from shared.repositories.jobs import JobRepository
from shared.repositories.workers import WorkerRepository

_log = logging.getLogger(__name__)


class Upkeep:
    """Rounds of looking after the ledger."""

    def __init__(
        self,
        *,
        jobs: JobRepository,
        chunks: ChunkRepository,
        workers: WorkerRepository,
        publishing: Publishing,
        silence_seconds: float,
        retention_seconds: int,
    ) -> None:
        """silence_seconds: a worker not heard of for so long is taken for dead. retention_seconds: how long a job is
        remembered after its end."""
        self._jobs = jobs
        self._chunks = chunks
        self._workers = workers
        self._publishing = publishing
        self._silence = silence_seconds
        self._retention = retention_seconds

    def round(self, worker: str) -> dict[str, int]:
        """What was done in one round by `worker`, and how often, without what was not.

        What fails keeps nothing else from being done: the first failure is raised at the end. Raises
        DatabaseUnavailable, BrokerUnavailable.
        """
        broken: list[Unavailable] = []

        def attempted(step: Callable[[], int]) -> int:
            try:
                return step()
            except Unavailable as error:
                broken.append(error)
                return 0

        def published(step: Callable[[], int]) -> int:
            return 0 if any(isinstance(error, BrokerUnavailable) for error in broken) else attempted(step)

        done = {
            "chunks taken from dead workers": attempted(
                lambda: self._chunks.end_leases(judge=worker, silence_seconds=self._silence)
            ),
            "jobs expired": attempted(self._jobs.expire),
            "chunks published": published(self._publishing.waiting),
            "chunks published again": published(self._publishing.lost),
            "old jobs removed": attempted(lambda: self._jobs.remove_old(retention_seconds=self._retention)),
            "gone workers forgotten": attempted(self._workers.forget),
        }
        done = {what: count for what, count in done.items() if count}
        if done:
            _log.info("upkeep: %s", ", ".join(f"{count} {what}" for what, count in done.items()))
        if broken:
            raise broken[0]
        return done
