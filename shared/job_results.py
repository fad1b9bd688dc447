"""Results of jobs: made a chunk at a time, kept in Redis, read page by page or as a stream, made again when lost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID

from shared.errors import ResultsExpired, ResultsNeverCame, ResultsNotReady
from shared.job_states import WITH_RESULTS, ChunkRef, ChunkState, Job
from shared.list_name import ListName
from shared.media import Page
from shared.options import Asked
from shared.pages import Pages, Ranking
from shared.recommender import Recommender
from shared.repositories.chunks import ChunkRepository
from shared.repositories.jobs import JobRepository
from shared.results import ChunkResult, ResultStore

POLL_SECONDS: Final = 2  # what callers are told to wait before they ask again

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Position:
    """A place in a job's results: a chunk, and a user in it."""

    chunk_no: int = 0
    place: int = 0


@dataclass(frozen=True)
class UserPage:
    """A user's titles, and which of their fields are shown; none named: all."""

    user_id: UUID
    page: Page
    fields: Sequence[str]


@dataclass(frozen=True)
class Failure:
    """A user who could not be done, and why."""

    user_id: UUID
    detail: str


class JobResults:
    """Makes and reads results."""

    def __init__(
        self,
        *,
        jobs: JobRepository,
        chunks: ChunkRepository,
        recommender: Recommender,
        store: ResultStore,
        pages: Pages,
    ) -> None:
        self._jobs = jobs
        self._chunks = chunks
        self._recommender = recommender
        self._store = store
        self._rendering = pages

    def make(self, ref: ChunkRef, attempt: int, user_ids: Sequence[UUID], limit: int, asked: Asked) -> ChunkResult:
        """Compute a chunk's result and keep it as this attempt's: what a worker that came too late wrote is never
        read. Raises DatabaseUnavailable when anything it needs can't be read."""
        lists, version = self._recommender.rank_chunk(
            user_ids, limit=limit, options=asked.options, explain=asked.view.reasons
        )
        result = ChunkResult(version, lists)
        self._store.put(ref, attempt, result)
        return result

    def page(self, job_id: UUID, start: Position, most: int) -> tuple[list[UserPage], Position | None]:
        """Up to `most` users' pages from `start` on, and where to go on, None at the end.

        Raises JobNotFound, ResultsNotReady, ResultsExpired, ResultsNeverCame, DatabaseUnavailable.
        """
        job = self._with_results(job_id)
        numbers = self._chunks.numbers(job_id, ChunkState.DONE, start=start.chunk_no)
        return _cut(numbers, start, most, lambda number, part: self._pages(job, number, part, bulk=False))

    def failures(self, job_id: UUID, start: Position, most: int) -> tuple[list[Failure], Position | None]:
        """Up to `most` users who could not be done from `start` on, and where to go on, None at the end.

        Raises JobNotFound, ResultsNotReady, DatabaseUnavailable.
        """
        self._ended(job_id)

        def part_of(number: int, part: slice) -> tuple[list[Failure], int]:
            chunk = self._chunks.get(ChunkRef(job_id, number))
            return [Failure(user, chunk.problem or "") for user in chunk.user_ids[part]], len(chunk.user_ids)

        return _cut(self._chunks.numbers(job_id, ChunkState.DEAD, start=start.chunk_no), start, most, part_of)

    def stream(self, job_id: UUID) -> Iterator[list[UserPage]]:
        """Every user's page, a chunk at a time, so that memory stays flat.

        Raises JobNotFound, ResultsNotReady, ResultsExpired, ResultsNeverCame, DatabaseUnavailable, all but the last
        before the first chunk is asked for.
        """
        job = self._with_results(job_id)
        numbers = self._chunks.numbers(job_id, ChunkState.DONE)
        return (self._pages(job, number, slice(None), bulk=True)[0] for number in numbers)

    def _ended(self, job_id: UUID) -> Job:
        job = self._jobs.get(job_id)
        if job.is_open:
            raise ResultsNotReady(
                f"job {job_id} is {job.state}: {job.done} of {job.total} users are done", retry_after=POLL_SECONDS
            )
        return job

    def _with_results(self, job_id: UUID) -> Job:
        job = self._ended(job_id)
        if job.state not in WITH_RESULTS:
            raise ResultsNeverCame(f"job {job_id} is {job.state} and has no results")
        if job.expired:
            raise ResultsExpired(f"the results of job {job_id} were kept until {job.expires_at:%Y-%m-%d %H:%M:%SZ}")
        return job

    def _pages(self, job: Job, number: int, part: slice, *, bulk: bool) -> tuple[list[UserPage], int]:
        """The pages of a part of a chunk, and how many users the whole chunk has. bulk: reading titles may take as long
        as a chunk's queries, else as a request's."""
        ref = ChunkRef(job.job_id, number)
        chunk = self._chunks.get(ref)
        result = self._store.get(ref, chunk.attempt)
        if result is None or len(result.lists) != len(chunk.user_ids):
            _log.info("result of chunk %s of job %s is lost and computed again", number, job.job_id)
            result = self.make(ref, chunk.attempt, chunk.user_ids, job.limit, job.asked)
        names = [ListName.of_user(user_id, job.asked.options) for user_id in chunk.user_ids[part]]
        rankings = {
            name: Ranking(ranked=ranked, model_version=result.model_version, cached=False, degraded=False)
            for name, ranked in zip(names, result.lists[part], strict=True)
        }
        explain = job.asked.view.reasons
        with self._rendering.asked(rankings, limit=job.limit, explain=explain, bulk=bulk) as asked:
            pages = asked()
        found = [
            UserPage(user_id, pages[name], job.asked.view.fields)
            for user_id, name in zip(chunk.user_ids[part], names, strict=True)
        ]
        return found, len(chunk.user_ids)


def _cut(
    numbers: Sequence[int], start: Position, most: int, part_of: Callable[[int, slice], tuple[list[T], int]]
) -> tuple[list[T], Position | None]:
    """Up to `most` things of these chunks from `start` on, and where to go on. part_of: a part of a chunk's things, and
    how many it has in all."""
    found: list[T] = []
    for place, number in enumerate(numbers):
        first = start.place if number == start.chunk_no else 0
        part = slice(first, first + most - len(found))
        things, count = part_of(number, part)
        found += things
        if part.stop < count:
            return found, Position(number, part.stop)
        if len(found) == most and place + 1 < len(numbers):
            return found, Position(numbers[place + 1], 0)
    return found, None
