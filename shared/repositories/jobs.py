"""jobs: what was asked for, and how it ended. The chunks of a job are next door, in chunks.py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from shared.errors import FieldProblem, JobNotFound, QueueFull, ShareExceeded
from shared.job_states import Announce, Job, JobProblem, JobProblemKind, JobState, Order
from shared.options import NOTHING, Asked
from shared.repositories import uuid_array
from shared.repositories.ledger import Ledger, Transaction
from shared.session import Row

_JOB: Final = """
    SELECT job.job_id, job.caller, job.state, job.title_limit, job.total,
           coalesce((SELECT sum(users) FROM job_chunks AS chunk
                      WHERE chunk.job_id = job.job_id AND chunk.state = 'done'), 0) AS done,
           coalesce((SELECT sum(users) FROM job_chunks AS chunk
                      WHERE chunk.job_id = job.job_id AND chunk.state = 'dead'), 0) AS failed,
           job.fingerprint, job.problem, job.created_at, job.started_at, job.finished_at, job.deadline, job.expires_at,
           coalesce(job.expires_at < now(), false) AS expired, job.asked
      FROM jobs AS job
"""
_AT_ONCE: Final = 100  # jobs expired or removed in one transaction


class JobRepository:
    """Reads and writes jobs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def add(
        self,
        job_id: UUID,
        order: Order,
        *,
        chunk_users: int,
        fingerprint: bytes,
        idempotency_key: str | None,
        caller: str | None,
        job_seconds: int,
        queue_users: int,
        caller_users: int,
        caller_jobs: int | None,
    ) -> bool:
        """Write a job and its chunks, all or nothing. False when its id or key is there already.

        Raises QueueFull and ShareExceeded when with this job more users than that would be in open jobs (a job alone is
        always taken; those written in the same moment do not see each other), or the caller would have more open jobs
        than that (None: any number); DatabaseUnavailable: whether the job was written is then not known.
        """
        with self._ledger.transaction() as transaction:
            added = transaction.run(
                """
                INSERT INTO jobs (job_id, title_limit, total, fingerprint, idempotency_key, caller, deadline,
                                  reply_to, callback_url, asked)
                VALUES (%(job_id)s, %(limit)s, %(total)s, %(fingerprint)s, %(key)s, %(caller)s,
                        least(%(deadline)s::timestamptz, now() + make_interval(secs => %(job_seconds)s)),
                        %(reply_to)s, %(callback_url)s, %(asked)s::jsonb)
                ON CONFLICT DO NOTHING
                RETURNING job_id
                """,
                job_id=job_id,
                limit=order.limit,
                total=len(order.user_ids),
                fingerprint=fingerprint,
                key=idempotency_key,
                caller=caller,
                deadline=order.deadline,
                job_seconds=job_seconds,
                reply_to=order.announce.reply_to,
                callback_url=order.announce.callback_url,
                asked=None if order.asked == NOTHING else order.asked.to_json(),
            )
            if not added:
                return False
            _refuse_too_many(transaction, len(order.user_ids), caller, queue_users, caller_users, caller_jobs)
            transaction.run(
                """
                INSERT INTO job_chunks (job_id, chunk_no, user_ids, users)
                SELECT %(job_id)s, number, part, cardinality(part)
                  FROM (SELECT %(ids)s::uuid[] AS ids OFFSET 0) AS job,
                       generate_series(0, (%(total)s - 1) / %(size)s) AS number,
                       LATERAL (SELECT job.ids[number * %(size)s + 1 : (number + 1) * %(size)s] AS part) AS slice
                """,
                job_id=job_id,
                ids=uuid_array(order.user_ids),
                total=len(order.user_ids),
                size=chunk_users,
            )
        return True

    def reject(self, job_id: UUID, problem: JobProblem, announce: Announce, caller: str) -> None:
        """Write a job that never was accepted; one with this id stays as it is. Raises DatabaseUnavailable."""
        self._ledger.run(
            """
            INSERT INTO jobs (job_id, state, title_limit, total, fingerprint, problem, deadline, finished_at,
                              caller, reply_to, callback_url)
            VALUES (%(job_id)s, 'rejected', 0, 0, '', %(problem)s::jsonb, now(), now(),
                    %(caller)s, %(reply_to)s, %(callback_url)s)
            ON CONFLICT DO NOTHING
            """,
            job_id=job_id,
            problem=_problem_json(problem),
            caller=caller,
            reply_to=announce.reply_to,
            callback_url=announce.callback_url,
        )

    def get(self, job_id: UUID) -> Job:
        """The job as it stands. Raises JobNotFound, DatabaseUnavailable."""
        rows = self._ledger.fetch(f"{_JOB} WHERE job.job_id = %(id)s", id=job_id)
        if not rows:
            raise JobNotFound(f"there is no job {job_id}")
        return _job(rows[0])

    def find_by_key(self, idempotency_key: str) -> Job | None:
        """The job that was submitted under this key. Raises DatabaseUnavailable."""
        rows = self._ledger.fetch(f"{_JOB} WHERE job.idempotency_key = %(key)s", key=idempotency_key)
        return _job(rows[0]) if rows else None

    def cancel(self, job_id: UUID) -> None:
        """End an open job; one that has ended stays as it is. Raises JobNotFound, DatabaseUnavailable."""
        with self._ledger.transaction() as transaction:
            transaction.lock(job_id)
            transaction.end_early([job_id], JobState.CANCELLED)

    def expire(self) -> int:
        """End open jobs whose deadline has passed; how many. Safe for any number of workers at once. Raises
        DatabaseUnavailable."""
        with self._ledger.transaction() as transaction:
            rows = transaction.run(
                """
                SELECT job_id FROM jobs
                 WHERE state IN ('accepted', 'running') AND deadline <= now()
                 LIMIT %(most)s FOR UPDATE SKIP LOCKED
                """,
                most=_AT_ONCE,
            )
            problem = JobProblem(JobProblemKind.EXPIRED, "it was not done by its deadline")
            if rows:
                transaction.end_early([job_id for (job_id,) in rows], JobState.EXPIRED, _problem_json(problem))
        return len(rows)

    def remove_old(self, *, retention_seconds: int) -> int:
        """Forget jobs that ended so long ago; how many. Safe for any number of workers at once. Raises
        DatabaseUnavailable."""
        rows = self._ledger.run(
            """
            DELETE FROM jobs WHERE job_id IN (
                SELECT job_id FROM jobs WHERE finished_at < now() - make_interval(secs => %(retention)s)
                 LIMIT %(most)s FOR UPDATE SKIP LOCKED)
            RETURNING job_id
            """,
            retention=retention_seconds,
            most=_AT_ONCE,
        )
        return len(rows)


def _refuse_too_many(
    transaction: Transaction,
    users: int,
    caller: str | None,
    queue_users: int,
    caller_users: int,
    caller_jobs: int | None,
) -> None:
    """The sums hold the job just written, too."""
    [(all_users, callers_users, callers_jobs)] = transaction.run(
        """
        SELECT sum(total), coalesce(sum(total) FILTER (WHERE caller = %(caller)s), 0),
               count(*) FILTER (WHERE caller = %(caller)s)
          FROM jobs WHERE state IN ('accepted', 'running')
        """,
        caller=caller,
    )
    if all_users > max(queue_users, users):
        raise QueueFull(f"{all_users - users} users are in open jobs already, and {queue_users} may be")
    if callers_users > max(caller_users, users):
        raise ShareExceeded(
            f"{callers_users - users} users are in your open jobs already, and {caller_users} of one caller may be"
        )
    if caller_jobs is not None and callers_jobs > caller_jobs:
        raise ShareExceeded(
            f"{callers_jobs - 1} jobs of yours are open already, and {caller_jobs} of one caller may be"
        )


def _problem_json(problem: JobProblem) -> str:
    fields = [
        {"field": _storable(p.field), "message": _storable(p.message), "allowed": p.allowed} for p in problem.fields
    ]
    return json.dumps({"kind": problem.kind, "detail": _storable(problem.detail), "fields": fields})


def _storable(text: str) -> str:
    """What callers named their fields may hold what PostgreSQL's text does not: NUL, and halves of pairs."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _job(row: Row) -> Job:
    job_id, caller, state, limit, total, done, failed, fingerprint, problem, *times, asked = row
    return Job(
        job_id,
        caller,
        JobState(state),
        limit,
        total,
        int(done),
        int(failed),
        bytes(fingerprint),
        Asked.from_ledger(asked),
        _problem(problem),
        *times,
    )


def _problem(document: dict[str, Any] | None) -> JobProblem | None:
    if document is None:
        return None
    fields: Sequence[dict[str, Any]] = document.get("fields", ())
    return JobProblem(
        JobProblemKind(document["kind"]),
        document["detail"],
        tuple(FieldProblem(f["field"], f["message"], f["allowed"]) for f in fields),
    )
