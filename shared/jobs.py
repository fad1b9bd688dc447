"""A job's life, from submission to its end: what both doors do with jobs. States: see shared/job_states.py.

The ledger is the truth and a message on the queue only a wake-up: losing one, or sending it ten times, changes nothing
but time. What falls by the wayside is picked up by shared/upkeep.py.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar
from uuid import UUID, uuid4

from shared.errors import BrokerUnavailable, DatabaseUnavailable, IdempotencyMismatch, InvalidRequest, SlowStatement
from shared.job_results import JobResults
from shared.job_states import PUBLISHERS, Announce, ChunkRef, Claim, Job, JobProblem, JobProblemKind, Order
from shared.options import NOTHING
from shared.publishing import Publishing
from shared.repositories.chunks import ChunkRepository
from shared.repositories.jobs import JobRepository

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class JobPolicy:
    """Sizes, in users, and times, in seconds, of jobs."""

    chunk_users: int
    queue_users: int
    caller_users: int
    caller_jobs: int
    job_seconds: int
    lease_seconds: float
    pause_seconds: float  # before a chunk that was given back, or the ledger, is tried again


class Jobs:
    """Submits, works on and ends jobs."""

    def __init__(
        self,
        *,
        jobs: JobRepository,
        chunks: ChunkRepository,
        results: JobResults,
        publishing: Publishing,
        check_callback: Callable[[str], object],
        policy: JobPolicy,
    ) -> None:
        """check_callback: raises InvalidRequest for an address that may not be called."""
        self._jobs = jobs
        self._chunks = chunks
        self._results = results
        self._publishing = publishing
        self._check_callback = check_callback
        self._policy = policy

    def submit(
        self,
        order: Order,
        *,
        job_id: UUID | None = None,
        idempotency_key: str | None = None,
        caller: str | None = None,
    ) -> Job:
        """Accept a job, durably; users listed twice count once. The same job_id or idempotency_key with the same
        order finds the job that is there. caller: whose share of the queue it takes, None for nobody's.

        With the broker down the job is accepted all the same, and published later. Raises IdempotencyMismatch for the
        same id or key with another order, InvalidRequest for a callback that is not allowed, QueueFull, ShareExceeded,
        JobNotFound when the job that is there is forgotten at this moment, DatabaseUnavailable.
        """
        if order.announce.callback_url is not None:
            self._check_callback(order.announce.callback_url)
        order = replace(order, user_ids=list(dict.fromkeys(order.user_ids)))
        job_id = job_id or uuid4()
        fingerprint = _fingerprint(order)
        added = self._jobs.add(
            job_id,
            order,
            chunk_users=self._policy.chunk_users,
            fingerprint=fingerprint,
            idempotency_key=idempotency_key,
            caller=caller,
            job_seconds=self._policy.job_seconds,
            queue_users=self._policy.queue_users,
            caller_users=self._policy.caller_users,
            caller_jobs=None if caller == PUBLISHERS else self._policy.caller_jobs,  # users are bound enough there
        )
        if not added:
            found = self._jobs.find_by_key(idempotency_key) if idempotency_key else None
            job = found or self._jobs.get(job_id)
            if job.fingerprint != fingerprint:
                raise IdempotencyMismatch("another request was submitted under this key or id")  # perhaps by others
            return job
        self._publish_next(job_id)
        return self._jobs.get(job_id)

    def reject(self, job_id: UUID, error: InvalidRequest, announce: Announce) -> None:
        """Note a publisher's message that is refused, for it to see; a job with this id stays as it is. Raises
        DatabaseUnavailable."""
        self._jobs.reject(job_id, JobProblem(JobProblemKind.INVALID, str(error), error.problems), announce, PUBLISHERS)

    def get(self, job_id: UUID) -> Job:
        """The job as it stands. Raises JobNotFound, DatabaseUnavailable."""
        return self._jobs.get(job_id)

    def cancel(self, job_id: UUID) -> Job:
        """End an open job; a terminal state stays. Raises JobNotFound, DatabaseUnavailable."""
        self._jobs.cancel(job_id)
        return self._jobs.get(job_id)

    def work(self, ref: ChunkRef, worker: str) -> bool:
        """Do one chunk. False when there was nothing to do, or it could not be done now: it is done already, another
        worker has it, the job has ended, or something it needs is down (then it is tried again until the deadline).

        Raises DatabaseUnavailable when the ledger itself is down, JobNotFound, and whatever is wrong with the code:
        that counts as a failure of the chunk.
        """
        until = time.monotonic() + self._policy.lease_seconds / 2
        claim = self._chunks.claim(ref, worker=worker, lease_seconds=self._policy.lease_seconds)
        if claim is None:
            return False
        try:
            self._results.make(ref, claim.attempt, claim.user_ids, claim.limit, claim.asked)
        except SlowStatement as error:  # perhaps these users' own fault
            self._give_back(claim, str(error), failed=True, until=until)
            return False
        except DatabaseUnavailable as error:
            self._give_back(claim, str(error), failed=False, until=until)
            return False
        except Exception as error:
            problem = f"{type(error).__name__} while scoring; the worker's log has the details"
            self._give_back(claim, problem, failed=True, until=until)
            raise
        closed = self._noted(lambda: self._chunks.close(claim), until)
        self._publish_next(ref.job_id)
        return closed

    def lost(self, ref: ChunkRef, worker: str, problem: str) -> None:
        """The process of this worker that worked on a chunk died: a failure of the chunk. Raises JobNotFound,
        DatabaseUnavailable."""
        _log.warning("chunk %s of job %s is given back: %s", ref.chunk_no, ref.job_id, problem)
        self._chunks.lost(ref, worker=worker, problem=problem)
        self._publish_next(ref.job_id)

    def release(self, worker: str) -> int:
        """A worker that stops gives back what it holds, which is no failure; how many chunks. Raises
        DatabaseUnavailable."""
        return self._chunks.release(worker)

    def _give_back(self, claim: Claim, problem: str, *, failed: bool, until: float) -> None:
        _log.warning("chunk %s of job %s is given back: %s", claim.ref.chunk_no, claim.ref.job_id, problem)
        pause = self._policy.pause_seconds
        self._noted(lambda: self._chunks.give_back(claim, problem=problem, failed=failed, pause_seconds=pause), until)

    def _noted(self, note: Callable[[], T], until: float) -> T:
        """Note what came of an attempt, tried again while the ledger is down: else the chunk would wait for the end of
        its lease, and that counts as a failure. Noting it twice is harmless. Raises DatabaseUnavailable after
        `until`, on the monotonic clock."""
        while True:
            try:
                return note()
            except DatabaseUnavailable:
                if time.monotonic() + self._policy.pause_seconds > until:
                    raise
            time.sleep(self._policy.pause_seconds)

    def _publish_next(self, job_id: UUID) -> None:
        try:
            self._publishing.next_of(job_id)
        except (BrokerUnavailable, DatabaseUnavailable) as error:
            _log.warning("the next chunks of job %s are published when that is possible: %s", job_id, error)


def _fingerprint(order: Order) -> bytes:
    """SHA-256 of what was asked for."""
    about = [order.limit, str(order.deadline), order.announce.reply_to, order.announce.callback_url]
    if order.asked != NOTHING:  # as before there was anything to ask: a request sent again finds its job
        about.append(order.asked.to_json())
    return hashlib.sha256(json.dumps(about).encode() + b"".join([user.bytes for user in order.user_ids])).digest()
