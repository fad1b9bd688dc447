"""job_chunks as workers see them: from claimed to done or dead. How they come onto the queue is in outbox.py."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from shared.errors import JobNotFound
from shared.job_states import OPEN, Chunk, ChunkRef, ChunkState, Claim, JobState
from shared.options import Asked
from shared.repositories.ledger import Ledger, Transaction

ATTEMPTS: Final = 3  # failures, then a chunk is dead
_AT_ONCE: Final = 200  # chunks or jobs changed in one transaction


class ChunkRepository:
    """Reads and writes job_chunks."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def claim(self, ref: ChunkRef, *, worker: str, lease_seconds: float) -> Claim | None:
        """Take a chunk that nobody works on; None when there is nothing to do. Raises JobNotFound,
        DatabaseUnavailable."""
        with self._ledger.transaction() as transaction:
            state = transaction.lock(ref.job_id)
            if state not in OPEN:
                return None
            rows = transaction.run(
                """
                UPDATE job_chunks AS chunk
                   SET state = 'running', attempt = attempt + 1, claimed_by = %(worker)s,
                       due_at = clock_timestamp() + make_interval(secs => %(lease)s)
                  FROM jobs AS job
                 WHERE chunk.job_id = %(job_id)s AND chunk.chunk_no = %(chunk_no)s
                   AND job.job_id = chunk.job_id AND job.deadline > clock_timestamp()
                   AND chunk.state IN ('waiting', 'queued')
                RETURNING chunk.attempt, chunk.user_ids, job.title_limit, job.asked
                """,
                job_id=ref.job_id,
                chunk_no=ref.chunk_no,
                worker=worker,
                lease=lease_seconds,
            )
            if not rows:
                return None
            if state == JobState.ACCEPTED:
                transaction.run(
                    "UPDATE jobs SET state = 'running', started_at = clock_timestamp() WHERE job_id = %(job_id)s",
                    job_id=ref.job_id,
                )
        [(attempt, user_ids, limit, asked)] = rows
        return Claim(ref=ref, attempt=attempt, user_ids=tuple(user_ids), limit=limit, asked=Asked.from_ledger(asked))

    def close(self, claim: Claim) -> bool:
        """Count a chunk as done. False, and nothing changed, when it is not this attempt's any more or the job has
        ended meanwhile. Raises JobNotFound, DatabaseUnavailable."""
        with self._ledger.transaction() as transaction:
            if transaction.lock(claim.ref.job_id) not in OPEN:
                return False
            closed = transaction.run(
                """
                UPDATE job_chunks SET state = 'done', claimed_by = NULL, problem = NULL
                 WHERE job_id = %(job_id)s AND chunk_no = %(chunk_no)s
                   AND state = 'running' AND attempt = %(attempt)s
                RETURNING chunk_no
                """,
                job_id=claim.ref.job_id,
                chunk_no=claim.ref.chunk_no,
                attempt=claim.attempt,
            )
            transaction.finish_if_over(claim.ref.job_id)
        return bool(closed)

    def give_back(self, claim: Claim, *, problem: str, failed: bool, pause_seconds: float) -> None:
        """Return a chunk that could not be done: it waits, due again after a pause; dead when it failed too often.

        failed: the attempt counts as a failure. Raises JobNotFound, DatabaseUnavailable.
        """
        with self._ledger.transaction() as transaction:
            transaction.lock(claim.ref.job_id)
            _put_back(
                transaction,
                "job_id = %(job_id)s AND chunk_no = %(chunk_no)s AND attempt = %(attempt)s",
                failed=failed,
                problem=problem,
                pause=pause_seconds,
                job_id=claim.ref.job_id,
                chunk_no=claim.ref.chunk_no,
                attempt=claim.attempt,
            )
            transaction.finish_if_over(claim.ref.job_id)

    def lost(self, ref: ChunkRef, *, worker: str, problem: str) -> None:
        """The process of this worker that worked on the chunk died: a failure. Raises JobNotFound,
        DatabaseUnavailable."""
        with self._ledger.transaction() as transaction:
            transaction.lock(ref.job_id)
            _put_back(
                transaction,
                "job_id = %(job_id)s AND chunk_no = %(chunk_no)s AND claimed_by = %(worker)s",
                failed=True,
                problem=problem,
                pause=0,
                job_id=ref.job_id,
                chunk_no=ref.chunk_no,
                worker=worker,
            )
            transaction.finish_if_over(ref.job_id)

    def release(self, worker: str) -> int:
        """Return, at once and without a failure, whatever this worker holds; how many chunks. Raises
        DatabaseUnavailable."""
        with self._ledger.transaction() as transaction:
            transaction.run(  # in one order: two that lock several jobs must not wait for each other
                """
                SELECT FROM jobs WHERE job_id IN (
                    SELECT job_id FROM job_chunks WHERE state = 'running' AND claimed_by = %(worker)s)
                 ORDER BY job_id FOR UPDATE
                """,
                worker=worker,
            )
            return _put_back(transaction, "claimed_by = %(worker)s", failed=False, problem=None, pause=0, worker=worker)

    def end_leases(self, *, judge: str, silence_seconds: float) -> int:
        """Put back chunks whose lease is over or whose worker was not heard of for so long, as failures; how many.

        judge: the worker that asks. Having been silent itself, after a failure of the database say, it takes nobody
        else for dead yet: half that silence is enough, since others may have beaten last when it still could, and were
        to beat next when it did not yet. Safe for any number of workers at once. Raises DatabaseUnavailable.
        """
        overdue = """
            (due_at <= clock_timestamp() OR (
                NOT EXISTS (SELECT FROM workers WHERE name = claimed_by
                                AND seen_at > clock_timestamp() - make_interval(secs => %(silence)s))
                AND EXISTS (SELECT FROM workers WHERE name = %(judge)s
                                AND seen_at > clock_timestamp() - make_interval(secs => %(silence)s / 2)
                                AND awake_since <= clock_timestamp() - make_interval(secs => %(silence)s))))
        """
        values = {"judge": judge, "silence": silence_seconds}
        with self._ledger.transaction() as transaction:
            jobs = transaction.run(
                f"""
                SELECT job_id FROM jobs
                 WHERE state IN ('accepted', 'running')
                   AND job_id IN (SELECT job_id FROM job_chunks WHERE state = 'running' AND {overdue})
                 LIMIT %(most)s FOR UPDATE SKIP LOCKED
                """,
                most=_AT_ONCE,
                **values,
            )
            if not jobs:
                return 0
            count = _put_back(
                transaction,
                f"job_id = ANY(%(jobs)s::uuid[]) AND {overdue}",
                failed=True,
                problem="its worker died, or took longer than its lease",
                pause=0,
                jobs=[str(job_id) for (job_id,) in jobs],
                **values,
            )
            for (job_id,) in jobs:
                transaction.finish_if_over(job_id)
        return count

    def numbers(self, job_id: UUID, state: ChunkState, *, start: int = 0) -> list[int]:
        """The numbers of the job's chunks in this state, in order, from `start` on. Raises DatabaseUnavailable."""
        rows = self._ledger.fetch(
            """
            SELECT chunk_no FROM job_chunks
             WHERE job_id = %(id)s AND state = %(state)s AND chunk_no >= %(start)s ORDER BY chunk_no
            """,
            id=job_id,
            state=state.value,
            start=start,
        )
        return [number for (number,) in rows]

    def get(self, ref: ChunkRef) -> Chunk:
        """The chunk as it stands. Raises JobNotFound, DatabaseUnavailable."""
        rows = self._ledger.fetch(
            """
            SELECT user_ids, attempt, problem FROM job_chunks
             WHERE job_id = %(job_id)s AND chunk_no = %(chunk_no)s
            """,
            job_id=ref.job_id,
            chunk_no=ref.chunk_no,
        )
        if not rows:
            raise JobNotFound(f"job {ref.job_id} has no chunk {ref.chunk_no}")
        return Chunk(*rows[0])


def _put_back(
    transaction: Transaction, which: str, *, failed: bool, problem: str | None, pause: float, **values: object
) -> int:
    """Running chunks wait again, or are dead; how many. which: a condition in SQL, with its values."""
    rows = transaction.run(
        f"""
        UPDATE job_chunks
           SET failures = failures + %(failed)s::int,
               state = CASE WHEN failures + %(failed)s::int >= {ATTEMPTS} THEN 'dead' ELSE 'waiting' END,
               due_at = clock_timestamp() + make_interval(secs => %(pause)s),
               claimed_by = NULL, problem = coalesce(%(problem)s, problem)
         WHERE state = 'running' AND {which}
        RETURNING chunk_no
        """,
        failed=failed,
        problem=problem,
        pause=pause,
        **values,
    )
    return len(rows)
