"""job_chunks as the queue sees them: which are to be put there, now or again.

The ledger is the outbox of the queue (https://microservices.io/patterns/data/transactional-outbox.html): what is to be
published is committed with the job, and whoever is there publishes it later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from shared.job_states import ChunkRef
from shared.repositories.ledger import Ledger

_AT_ONCE: Final = 200  # chunks taken in one transaction
_LONGEST_DOUBLING: Final = 6  # times that the pause before a message is sent again doubles

_QUEUED: Final = f"""
    UPDATE job_chunks AS chunk
       SET state = 'queued', publications = publications + 1,
           due_at = clock_timestamp() + make_interval(
               secs => %(republish)s * 2 ^ least(publications, {_LONGEST_DOUBLING}))
      FROM due
     WHERE chunk.job_id = due.job_id AND chunk.chunk_no = due.chunk_no
    RETURNING chunk.job_id, chunk.chunk_no
"""


class OutboxRepository:
    """Takes chunks to publish; safe for any number of workers at once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def take_waiting(self, *, window: int, republish_seconds: float, job_id: UUID | None = None) -> list[ChunkRef]:
        """Take chunks that may be put on the queue: of each open job so many that about `window` of its chunks are on
        the queue or being worked on (workers that take at the same moment do not see each other). They count as queued
        from here on. job_id: of this job alone. Raises DatabaseUnavailable."""
        rows = self._ledger.run(
            f"""
            WITH due AS (
                SELECT chunk.job_id, chunk.chunk_no
                  FROM jobs AS job,
                       LATERAL (SELECT %(window)s - count(*) AS room FROM job_chunks AS busy
                                 WHERE busy.job_id = job.job_id AND busy.state IN ('queued', 'running')) AS turn,
                       LATERAL (SELECT waiting.job_id, waiting.chunk_no FROM job_chunks AS waiting
                                 WHERE waiting.job_id = job.job_id AND waiting.state = 'waiting'
                                   AND waiting.due_at <= clock_timestamp()
                                 ORDER BY waiting.chunk_no
                                 LIMIT greatest(turn.room, 0)
                                   FOR UPDATE SKIP LOCKED) AS chunk
                 WHERE job.state IN ('accepted', 'running') AND job.deadline > clock_timestamp()
                   AND (%(job_id)s::uuid IS NULL OR job.job_id = %(job_id)s)
                   AND job.job_id IN (SELECT job_id FROM job_chunks WHERE state = 'waiting')
                 LIMIT %(most)s
            ) {_QUEUED}
            """,
            window=window,
            most=_AT_ONCE,
            republish=republish_seconds,
            job_id=job_id,
        )
        return [ChunkRef(*row) for row in rows]

    def take_lost(self, *, republish_seconds: float) -> list[ChunkRef]:
        """Take chunks that have been queued for so long that their message is taken for lost. Raises
        DatabaseUnavailable."""
        rows = self._ledger.run(
            f"""
            WITH due AS (
                SELECT chunk.job_id, chunk.chunk_no
                  FROM job_chunks AS chunk JOIN jobs AS job USING (job_id)
                 WHERE job.state IN ('accepted', 'running')
                   AND chunk.state = 'queued' AND chunk.due_at <= clock_timestamp()
                 ORDER BY chunk.due_at
                 LIMIT %(most)s
                   FOR UPDATE OF chunk SKIP LOCKED
            ) {_QUEUED}
            """,
            most=_AT_ONCE,
            republish=republish_seconds,
        )
        return [ChunkRef(*row) for row in rows]

    def not_published(self, refs: Sequence[ChunkRef], *, pause_seconds: float) -> None:
        """The queue did not take them: they are due again after a pause. Raises DatabaseUnavailable."""
        self._ledger.run(
            """
            UPDATE job_chunks AS chunk
               SET publications = publications - 1, due_at = clock_timestamp() + make_interval(secs => %(pause)s)
              FROM unnest(%(jobs)s::uuid[], %(numbers)s::int[]) AS ref (job_id, chunk_no)
             WHERE chunk.job_id = ref.job_id AND chunk.chunk_no = ref.chunk_no AND chunk.state = 'queued'
            """,
            jobs=[str(ref.job_id) for ref in refs],
            numbers=[ref.chunk_no for ref in refs],
            pause=pause_seconds,
        )
