"""A job's life, from submission to results: what both doors do with jobs. States: see shared/job_states.py.

The ledger is the truth and a message on the queue only a wake-up: losing one, or sending it ten times, changes nothing
but time.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from shared.errors import (
    BrokerUnavailable,
    DatabaseUnavailable,
    IdempotencyMismatch,
    ResultsExpired,
    ResultsNeverCame,
    ResultsNotReady,
)
from shared.job_states import WITH_RESULTS, ChunkRef, Claim, Job
from shared.media import Page
from shared.recommender import Ranking, Recommender
from shared.repositories.jobs import JobRepository
from shared.results import ChunkResult, ResultStore

POLL_SECONDS: Final = 2  # what callers are told to wait before they ask again
ATTEMPTS: Final = 3  # then a chunk is dead
_PAUSE_SECONDS: Final = 5.0  # before a chunk that was given back is published again
_REPUBLISH_SECONDS: Final = 120.0  # a chunk on the queue for longer may be lost; the pause doubles each time
_REPUBLISHED_AT_ONCE: Final = 200

_log = logging.getLogger(__name__)

Publish = Callable[[Sequence[ChunkRef]], None]
"""Puts chunks on the queue. Raises BrokerUnavailable."""


@dataclass(frozen=True)
class JobPolicy:
    """Sizes and times of jobs."""

    chunk_users: int
    lease_seconds: int
    result_seconds: int


@dataclass(frozen=True)
class Position:
    """A place in a job's results: a chunk, and a user in it."""

    chunk_no: int = 0
    place: int = 0


class Jobs:
    """Submits, works on, cancels and reads jobs."""

    def __init__(
        self,
        *,
        ledger: JobRepository,
        recommender: Recommender,
        results: ResultStore,
        publish: Publish,
        policy: JobPolicy,
    ) -> None:
        self._ledger = ledger
        self._recommender = recommender
        self._results = results
        self._publish = publish
        self._policy = policy

    def submit(
        self,
        user_ids: Sequence[UUID],
        *,
        limit: int,
        job_id: UUID | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Accept a job, durably; users listed twice count once. The same job_id or idempotency_key with the same
        request finds the job that is there.

        With the broker down the job is accepted all the same, and published by the reconciler. Raises
        IdempotencyMismatch for the same id or key with another request, DatabaseUnavailable.
        """
        users = list(dict.fromkeys(user_ids))
        fingerprint = hashlib.sha256(b"%d:" % limit + b"".join([user.bytes for user in users])).digest()
        job_id = job_id or uuid4()
        size = self._policy.chunk_users
        chunks = [users[start : start + size] for start in range(0, len(users), size)]
        added = self._ledger.add(
            job_id, chunks=chunks, limit=limit, fingerprint=fingerprint, idempotency_key=idempotency_key
        )
        if not added:
            found = self._ledger.find_by_key(idempotency_key) if idempotency_key else None
            job = found or self._ledger.get(job_id)
            if job.fingerprint != fingerprint:
                raise IdempotencyMismatch(f"job {job.job_id} was submitted under this key with another request")
            return job
        try:
            self._publish([ChunkRef(job_id, number) for number in range(len(chunks))])
            self._ledger.published(job_id, pause_seconds=_REPUBLISH_SECONDS)
        except (BrokerUnavailable, DatabaseUnavailable) as error:
            _log.warning("job %s is accepted, and published when that is possible: %s", job_id, error)
        return self._ledger.get(job_id)

    def get(self, job_id: UUID) -> Job:
        """The job as it stands. Raises JobNotFound, DatabaseUnavailable."""
        return self._ledger.get(job_id)

    def cancel(self, job_id: UUID) -> Job:
        """End an open job; a terminal state stays. Raises JobNotFound, DatabaseUnavailable."""
        self._ledger.cancel(job_id, result_seconds=self._policy.result_seconds)
        return self._ledger.get(job_id)

    def work(self, ref: ChunkRef) -> bool:
        """Do one chunk. False when there was nothing to do: done already, held by another, or the job has ended.

        What the chunk needs being down gives it back, to be tried again later, a bounded number of times. Raises
        DatabaseUnavailable when the ledger itself is, JobNotFound.
        """
        claim = self._ledger.claim(ref, lease_seconds=self._policy.lease_seconds)
        if claim is None:
            return False
        try:
            result = self._compute(claim.user_ids, claim.limit)
        except DatabaseUnavailable as error:
            self._give_back(claim, str(error))
            return False
        except Exception as error:
            self._give_back(claim, f"{type(error).__name__} while scoring; the worker's log has the details")
            raise
        self._results.put(ref, result)
        return self._ledger.close(claim, result_seconds=self._policy.result_seconds)

    def republish(self) -> int:
        """Put back on the queue what it may have lost; how many chunks that was. Raises DatabaseUnavailable,
        BrokerUnavailable."""
        refs = self._ledger.due(most=_REPUBLISHED_AT_ONCE, first_pause_seconds=_REPUBLISH_SECONDS)
        if refs:
            self._publish(refs)
        return len(refs)

    def result_page(self, job_id: UUID, start: Position, most: int) -> tuple[list[Page], Position | None]:
        """Up to `most` users' pages from `start` on, and where to go on, None at the end.

        Raises JobNotFound, ResultsNotReady, ResultsExpired, ResultsNeverCame, DatabaseUnavailable.
        """
        job = self._with_results(job_id)
        numbers = [number for number in self._ledger.done_chunks(job_id) if number >= start.chunk_no]
        pages: list[Page] = []
        for number in numbers:
            first = start.place if number == start.chunk_no else 0
            users = self._ledger.chunk_users(ChunkRef(job_id, number))
            part = slice(first, first + most - len(pages))
            pages += self._pages(job, number, users, part)
            if part.stop < len(users):
                return pages, Position(number, part.stop)
            if len(pages) == most and number != numbers[-1]:
                return pages, Position(numbers[numbers.index(number) + 1], 0)
        return pages, None

    def result_stream(self, job_id: UUID) -> Iterator[list[Page]]:
        """Every user's page, a chunk at a time, so that memory stays flat.

        Raises JobNotFound, ResultsNotReady, ResultsExpired, ResultsNeverCame, DatabaseUnavailable, all but the last
        before the first chunk is asked for.
        """
        job = self._with_results(job_id)
        numbers = self._ledger.done_chunks(job_id)

        def stream() -> Iterator[list[Page]]:
            for number in numbers:
                yield self._pages(job, number, self._ledger.chunk_users(ChunkRef(job_id, number)), slice(None))

        return stream()

    def _with_results(self, job_id: UUID) -> Job:
        job = self._ledger.get(job_id)
        if job.is_open:
            raise ResultsNotReady(
                f"job {job_id} is {job.state}: {job.done} of {job.total} users are done", retry_after=POLL_SECONDS
            )
        if job.state not in WITH_RESULTS:
            raise ResultsNeverCame(f"job {job_id} is {job.state} and has no results")
        if job.expired:
            raise ResultsExpired(f"the results of job {job_id} were kept until {job.expires_at:%Y-%m-%d %H:%M:%SZ}")
        return job

    def _pages(self, job: Job, number: int, users: Sequence[UUID], part: slice) -> list[Page]:
        """The pages of a part of a chunk, computed again when its result is lost."""
        ref = ChunkRef(job.job_id, number)
        result = self._results.get(ref)
        if result is None or len(result.lists) != len(users):
            _log.info("result of %s is lost and computed again", ref)
            result = self._compute(users, job.limit)
            self._results.put(ref, result)
        rankings = {
            user_id: Ranking(ranked=ranked, model_version=result.model_version, cached=False, degraded=False)
            for user_id, ranked in zip(users[part], result.lists[part], strict=True)
        }
        return list(self._recommender.render(rankings, limit=job.limit, offset=0, bulk=True).values())

    def _compute(self, user_ids: Sequence[UUID], limit: int) -> ChunkResult:
        lists, version = self._recommender.rank_chunk(user_ids)
        return ChunkResult(version, [ranked[:limit] for ranked in lists])

    def _give_back(self, claim: Claim, problem: str) -> None:
        _log.warning("chunk %s of job %s is given back: %s", claim.ref.chunk_no, claim.ref.job_id, problem)
        self._ledger.give_back(
            claim,
            problem=problem,
            attempts=ATTEMPTS,
            pause_seconds=_PAUSE_SECONDS,
            result_seconds=self._policy.result_seconds,
        )
