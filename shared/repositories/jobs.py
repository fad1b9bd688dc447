"""jobs_db: the ledger of jobs and their chunks. The database's clock is the only one that counts.

Whatever changes a chunk of a job first locks the job's row, so that two workers that close the last two chunks see
each other, and a cancel and a close have one winner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from shared.databases import Database, Session
from shared.errors import JobNotFound
from shared.job_states import OPEN, ChunkRef, Claim, Job, JobState
from shared.migrations import migrate
from shared.repositories import uuid_array

_JOB: Final = """
    SELECT job.job_id, job.state, job.title_limit, job.total,
           coalesce((SELECT sum(users) FROM job_chunks AS chunk
                      WHERE chunk.job_id = job.job_id AND chunk.state = 'done'), 0) AS done,
           coalesce((SELECT sum(users) FROM job_chunks AS chunk
                      WHERE chunk.job_id = job.job_id AND chunk.state = 'dead'), 0) AS failed,
           job.fingerprint, job.problem, job.created_at, job.started_at, job.finished_at, job.expires_at,
           coalesce(job.expires_at < now(), false) AS expired
      FROM jobs AS job
"""


class JobRepository:
    """Reads and writes jobs, job_chunks and workers."""

    def __init__(self, database: Database) -> None:
        self._jobs_db = database
        self._migrated = False

    def prepare(self) -> None:
        """Make or upgrade the tables, once. Raises DatabaseUnavailable; ConfigurationError when they are newer."""
        if not self._migrated:
            migrate(self._jobs_db)
            self._migrated = True

    @property
    def _database(self) -> Database:
        """The database, its tables made: also when it was down while this process started."""
        self.prepare()
        return self._jobs_db

    def add(
        self,
        job_id: UUID,
        *,
        chunks: Sequence[Sequence[UUID]],
        limit: int,
        fingerprint: bytes,
        idempotency_key: str | None,
    ) -> bool:
        """Write a job and its chunks, all or nothing. False when its id or key is there already. Raises
        DatabaseUnavailable; whether the job was written is then not known."""
        with self._database.transaction() as session:
            added = self._run(
                session,
                """
                INSERT INTO jobs (job_id, title_limit, total, fingerprint, idempotency_key)
                VALUES (%(job_id)s, %(limit)s, %(total)s, %(fingerprint)s, %(key)s)
                ON CONFLICT DO NOTHING
                RETURNING job_id
                """,
                job_id=job_id,
                limit=limit,
                total=sum(map(len, chunks)),
                fingerprint=fingerprint,
                key=idempotency_key,
            )
            for number, user_ids in enumerate(chunks if added else ()):
                self._run(
                    session,
                    """
                    INSERT INTO job_chunks (job_id, chunk_no, user_ids, users)
                    VALUES (%(job_id)s, %(number)s, %(ids)s::uuid[], %(users)s)
                    """,
                    job_id=job_id,
                    number=number,
                    ids=uuid_array(user_ids),
                    users=len(user_ids),
                )
        return bool(added)

    def get(self, job_id: UUID) -> Job:
        """The job as it stands. Raises JobNotFound, DatabaseUnavailable."""
        rows = self._database.fetch(f"{_JOB} WHERE job.job_id = %(id)s", {"id": job_id})
        if not rows:
            raise JobNotFound(f"there is no job {job_id}")
        return _job(rows[0])

    def find_by_key(self, idempotency_key: str) -> Job | None:
        """The job that was submitted under this key. Raises DatabaseUnavailable."""
        rows = self._database.fetch(f"{_JOB} WHERE job.idempotency_key = %(key)s", {"key": idempotency_key})
        return _job(rows[0]) if rows else None

    def claim(self, ref: ChunkRef, *, lease_seconds: int) -> Claim | None:
        """Take a chunk that is ready, or whose lease is over; None when there is nothing to do. Raises
        DatabaseUnavailable."""
        with self._database.transaction() as session:
            if self._lock(session, ref.job_id) not in OPEN:
                return None
            rows = self._run(
                session,
                """
                UPDATE job_chunks AS chunk
                   SET state = 'running', attempt = attempt + 1,
                       lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
                  FROM jobs AS job
                 WHERE chunk.job_id = %(job_id)s AND chunk.chunk_no = %(chunk_no)s AND job.job_id = chunk.job_id
                   AND (chunk.state = 'ready' OR (chunk.state = 'running' AND chunk.lease_until < clock_timestamp()))
                RETURNING chunk.attempt, chunk.user_ids, job.title_limit
                """,
                job_id=ref.job_id,
                chunk_no=ref.chunk_no,
                lease=lease_seconds,
            )
            if not rows:
                return None
            self._run(
                session,
                """
                UPDATE jobs SET state = 'running', started_at = clock_timestamp()
                 WHERE job_id = %(job_id)s AND state = 'accepted'
                """,
                job_id=ref.job_id,
            )
        [(attempt, user_ids, limit)] = rows
        return Claim(ref=ref, attempt=attempt, user_ids=tuple(user_ids), limit=limit)

    def close(self, claim: Claim, *, result_seconds: int) -> bool:
        """Count a chunk as done. False, and nothing changed, when another attempt has taken it over or the job was
        cancelled meanwhile. Raises DatabaseUnavailable."""
        with self._database.transaction() as session:
            if self._lock(session, claim.ref.job_id) not in OPEN:
                return False
            closed = self._run(
                session,
                """
                UPDATE job_chunks SET state = 'done', lease_until = NULL, problem = NULL
                 WHERE job_id = %(job_id)s AND chunk_no = %(chunk_no)s
                   AND state = 'running' AND attempt = %(attempt)s
                RETURNING chunk_no
                """,
                **_fence(claim),
            )
            self._finish_if_over(session, claim.ref.job_id, result_seconds)
        return bool(closed)

    def give_back(
        self, claim: Claim, *, problem: str, attempts: int, pause_seconds: float, result_seconds: int
    ) -> None:
        """Return a chunk that could not be done: ready again after a pause, or dead after so many attempts. Raises
        DatabaseUnavailable."""
        with self._database.transaction() as session:
            self._lock(session, claim.ref.job_id)
            self._run(
                session,
                """
                UPDATE job_chunks
                   SET state = CASE WHEN attempt >= %(attempts)s THEN 'dead' ELSE 'ready' END,
                       lease_until = NULL, problem = %(problem)s,
                       publish_after = clock_timestamp() + make_interval(secs => %(pause)s)
                 WHERE job_id = %(job_id)s AND chunk_no = %(chunk_no)s
                   AND state = 'running' AND attempt = %(attempt)s
                """,
                **_fence(claim),
                problem=problem,
                attempts=attempts,
                pause=pause_seconds,
            )
            self._finish_if_over(session, claim.ref.job_id, result_seconds)

    def cancel(self, job_id: UUID, *, result_seconds: int) -> None:
        """End an open job; one that has ended stays as it is. Raises JobNotFound, DatabaseUnavailable."""
        with self._database.transaction() as session:
            self._lock(session, job_id)
            self._run(
                session,
                """
                UPDATE jobs SET state = 'cancelled', finished_at = clock_timestamp(),
                                expires_at = clock_timestamp() + make_interval(secs => %(life)s)
                 WHERE job_id = %(job_id)s AND state IN ('accepted', 'running')
                """,
                job_id=job_id,
                life=result_seconds,
            )

    def due(self, *, most: int, first_pause_seconds: float) -> list[ChunkRef]:
        """Take up to `most` chunks that should be on the queue and may not be: never published, given back, or left
        by a worker that died. Each is due again after a pause that doubles. Safe to call from any number of workers
        at once. Raises DatabaseUnavailable."""
        with self._database.transaction() as session:
            rows = self._run(
                session,
                """
                WITH due AS (
                    SELECT chunk.job_id, chunk.chunk_no
                      FROM job_chunks AS chunk
                      JOIN jobs AS job USING (job_id)
                     WHERE chunk.publish_after <= now() AND job.state IN ('accepted', 'running')
                       AND (chunk.state = 'ready' OR (chunk.state = 'running' AND chunk.lease_until < now()))
                     ORDER BY chunk.publish_after
                     LIMIT %(most)s
                       FOR UPDATE OF chunk SKIP LOCKED
                )
                UPDATE job_chunks AS chunk
                   SET publications = publications + 1,
                       publish_after = now() + make_interval(secs => %(pause)s * 2 ^ least(publications, 10))
                  FROM due
                 WHERE chunk.job_id = due.job_id AND chunk.chunk_no = due.chunk_no
                RETURNING chunk.job_id, chunk.chunk_no
                """,
                most=most,
                pause=first_pause_seconds,
            )
        return [ChunkRef(*row) for row in rows]

    def published(self, job_id: UUID, *, pause_seconds: float) -> None:
        """Note that the job's chunks are on the queue, so that the reconciler leaves them alone for a while. Raises
        DatabaseUnavailable."""
        with self._database.transaction() as session:
            self._run(
                session,
                """
                UPDATE job_chunks
                   SET publications = 1, publish_after = now() + make_interval(secs => %(pause)s)
                 WHERE job_id = %(job_id)s AND publications = 0
                """,
                job_id=job_id,
                pause=pause_seconds,
            )

    def done_chunks(self, job_id: UUID) -> list[int]:
        """The numbers of the chunks that are done, in order. Raises DatabaseUnavailable."""
        rows = self._database.fetch(
            "SELECT chunk_no FROM job_chunks WHERE job_id = %(id)s AND state = 'done' ORDER BY chunk_no",
            {"id": job_id},
        )
        return [number for (number,) in rows]

    def chunk_users(self, ref: ChunkRef) -> list[UUID]:
        """A chunk's users, in order. Raises JobNotFound, DatabaseUnavailable."""
        rows = self._database.fetch(
            "SELECT user_ids FROM job_chunks WHERE job_id = %(job_id)s AND chunk_no = %(chunk_no)s",
            {"job_id": ref.job_id, "chunk_no": ref.chunk_no},
        )
        if not rows:
            raise JobNotFound(f"job {ref.job_id} has no chunk {ref.chunk_no}")
        return list(rows[0][0])

    def beat(self, worker: str) -> None:
        """Note that a worker is alive, and forget those not seen for an hour. Raises DatabaseUnavailable."""
        with self._database.transaction() as session:
            self._run(
                session,
                """
                INSERT INTO workers (name, seen_at) VALUES (%(name)s, now())
                ON CONFLICT (name) DO UPDATE SET seen_at = now()
                """,
                name=worker,
            )
            self._run(session, "DELETE FROM workers WHERE seen_at < now() - interval '1 hour'")

    def workers_seen(self, *, within_seconds: float) -> int:
        """How many workers said within this time that they are alive. Raises DatabaseUnavailable."""
        [(count,)] = self._database.fetch(
            "SELECT count(*) FROM workers WHERE seen_at > now() - make_interval(secs => %(seconds)s)",
            {"seconds": within_seconds},
        )
        return int(count)

    def _run(self, session: Session, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return session.run(sql, parameters, seconds=self._database.bounds.statement)

    def _lock(self, session: Session, job_id: UUID) -> JobState:
        rows = self._run(session, "SELECT state FROM jobs WHERE job_id = %(id)s FOR UPDATE", id=job_id)
        if not rows:
            raise JobNotFound(f"there is no job {job_id}")
        return JobState(rows[0][0])

    def _finish_if_over(self, session: Session, job_id: UUID, result_seconds: int) -> None:
        """With no chunk left to do, the job is over; its row is locked by the caller."""
        self._run(
            session,
            """
            UPDATE jobs AS job
               SET state = CASE WHEN sums.dead = 0 THEN 'completed' WHEN sums.done = 0 THEN 'failed'
                                ELSE 'completed_with_errors' END,
                   problem = sums.problem,
                   finished_at = clock_timestamp(),
                   expires_at = clock_timestamp() + make_interval(secs => %(life)s)
              FROM (SELECT count(*) FILTER (WHERE state = 'done') AS done,
                           count(*) FILTER (WHERE state = 'dead') AS dead,
                           count(*) FILTER (WHERE state IN ('ready', 'running')) AS open,
                           min(problem) FILTER (WHERE state = 'dead') AS problem
                      FROM job_chunks WHERE job_id = %(job_id)s) AS sums
             WHERE job.job_id = %(job_id)s AND job.state IN ('accepted', 'running') AND sums.open = 0
            """,
            job_id=job_id,
            life=result_seconds,
        )


def _fence(claim: Claim) -> dict[str, Any]:
    return {"job_id": claim.ref.job_id, "chunk_no": claim.ref.chunk_no, "attempt": claim.attempt}


def _job(row: tuple[Any, ...]) -> Job:
    job_id, state, limit, total, done, failed, fingerprint, *rest = row
    return Job(job_id, JobState(state), limit, total, int(done), int(failed), bytes(fingerprint), *rest)
