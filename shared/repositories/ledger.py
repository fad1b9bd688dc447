"""jobs_db, the one database the service owns, and what more than one of its repositories does with it.

The database's clock is the only one that counts. Whatever may end a job first locks the job's row, so that two workers
that close the last two chunks see each other, and a cancel and a close have one winner.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from shared.databases import Database
from shared.errors import JobNotFound
from shared.job_states import JobState
from shared.migrations import migrate
from shared.session import Row, Session


class Ledger:
    """The database, its tables made before they are first used: also when it was down while this process started."""

    def __init__(self, database: Database, *, result_seconds: int) -> None:
        """result_seconds: how long results are kept after a job's end."""
        self._database = database
        self._migrated = False
        self._result_seconds = result_seconds

    def prepare(self) -> None:
        """Make or upgrade the tables, once. Raises DatabaseUnavailable; ConfigurationError when they are newer."""
        if not self._migrated:
            migrate(self._database)
            self._migrated = True

    def fetch(self, sql: str, **parameters: Any) -> list[Row]:
        """One reading statement, all its rows. Raises DatabaseUnavailable."""
        self.prepare()
        return self._database.fetch(sql, parameters)

    def run(self, sql: str, **parameters: Any) -> list[Row]:
        """One writing statement in a transaction of its own, the rows it returns. Raises DatabaseUnavailable; whether
        it was done is then not known."""
        with self.transaction() as transaction:
            return transaction.run(sql, **parameters)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """All or nothing. Raises DatabaseUnavailable; whether it was done is then not known."""
        self.prepare()
        with self._database.transaction() as session:
            yield Transaction(session, self._database.bounds.statement, self._result_seconds)


class Transaction:
    """Statements that happen together."""

    def __init__(self, session: Session, statement_seconds: float, result_seconds: int) -> None:
        self._session = session
        self._seconds = statement_seconds
        self._result_seconds = result_seconds

    def run(self, sql: str, **parameters: Any) -> list[Row]:
        """Run one statement, return its rows. Raises DatabaseUnavailable."""
        return self._session.run(sql, parameters, seconds=self._seconds)

    def lock(self, job_id: UUID) -> JobState:
        """Let nobody else change the job until this is over; its state. Raises JobNotFound, DatabaseUnavailable."""
        rows = self.run("SELECT state FROM jobs WHERE job_id = %(id)s FOR UPDATE", id=job_id)
        if not rows:
            raise JobNotFound(f"there is no job {job_id}")
        return JobState(rows[0][0])

    def finish_if_over(self, job_id: UUID) -> None:
        """With no chunk left to do, the job is over; its row is locked by the caller. Raises DatabaseUnavailable."""
        self.run(
            """
            UPDATE jobs AS job
               SET state = CASE WHEN sums.dead = 0 THEN 'completed' WHEN sums.done = 0 THEN 'failed'
                                ELSE 'completed_with_errors' END,
                   problem = CASE WHEN sums.dead > 0 THEN jsonb_build_object(
                       'kind', 'job-failed',
                       'detail', format('%%s of %%s users failed: %%s', sums.failed, job.total, sums.problem)) END,
                   finished_at = clock_timestamp(),
                   expires_at = clock_timestamp() + make_interval(secs => %(life)s)
              FROM (SELECT count(*) FILTER (WHERE state = 'done') AS done,
                           count(*) FILTER (WHERE state = 'dead') AS dead,
                           sum(users) FILTER (WHERE state = 'dead') AS failed,
                           count(*) FILTER (WHERE state IN ('waiting', 'queued', 'running')) AS open,
                           min(problem) FILTER (WHERE state = 'dead') AS problem
                      FROM job_chunks WHERE job_id = %(job_id)s) AS sums
             WHERE job.job_id = %(job_id)s AND job.state IN ('accepted', 'running') AND sums.open = 0
            """,
            job_id=job_id,
            life=self._result_seconds,
        )

    def end_early(self, job_ids: list[UUID], state: JobState, problem: str | None = None) -> None:
        """End jobs whose rows are locked by the caller; those that have ended stay as they are. Nobody holds their
        chunks any more. problem: JSON. Raises DatabaseUnavailable."""
        ids = [str(job_id) for job_id in job_ids]
        self.run(
            """
            UPDATE jobs
               SET state = %(state)s, problem = %(problem)s::jsonb, finished_at = clock_timestamp(),
                   expires_at = clock_timestamp() + make_interval(secs => %(life)s)
             WHERE job_id = ANY(%(ids)s::uuid[]) AND state IN ('accepted', 'running')
            """,
            ids=ids,
            state=state.value,
            problem=problem,
            life=self._result_seconds,
        )
        self.run(
            """
            UPDATE job_chunks SET state = 'waiting', claimed_by = NULL
             WHERE job_id = ANY(%(ids)s::uuid[]) AND state = 'running'
            """,
            ids=ids,
        )
