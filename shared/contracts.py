"""What other programs ask of the service, over HTTP and over the queue, and the names of queues and tasks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from shared.callbacks import CallbackTarget
from shared.errors import FieldProblem, InvalidRequest
from shared.job_states import Announce
from shared.media import name_key
from shared.options import START, Asked, Filters, ListOptions, Part, Variety, View
from shared.parsing import WHOLE, Contract, Flag, Id, Instant, Name, Share, Whole, parse

QUEUE: Final = "recommendations"  # what other services publish on
WORK_QUEUE: Final = "recommendations.work"  # the service's own messages
DEAD_SUFFIX: Final = ".dead"  # <queue>.dead holds what was no message for <queue>
REPLY_PREFIX: Final = "recommendations.reply."  # of queues that are told of a job's end
BATCH_TASK: Final = "recommendations.batch.v1"
CHUNK_TASK: Final = "recommendations.chunk.v1"
TRAIN_TASK: Final = "model.train.v1"
BLOCK_TASK: Final = "model.block.v1"
ROLLBACK_TASK: Final = "model.rollback.v1"

MOST_TITLES: Final = 100  # of one page
MOST_RESULTS: Final = 1000  # users of one page of results


def _callback_url(value: object) -> object:
    return CallbackTarget.parse(value if isinstance(value, str) else "").url


def _keys(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({key for name in names if (key := name_key(name))}))


def _ids(ids: Iterable[UUID]) -> tuple[UUID, ...]:
    return tuple(sorted(set(ids)))


ReplyQueue = Annotated[str, Field(pattern=rf"^{re.escape(REPLY_PREFIX)}[a-z0-9_.-]{{1,64}}$")]
VersionName = Annotated[str, Field(pattern=r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$")]  # a name, never a path
CallbackUrl = Annotated[str, BeforeValidator(_callback_url), Field(max_length=2000)]
Year = Annotated[int, Field(ge=0, le=9999), WHOLE]
Cursor = Annotated[str, Field(max_length=64, pattern=r"^(\*|[A-Za-z0-9_-]+)$")]
RecommendationField = Literal[
    "media_id",
    "title",
    "description",
    "release_year",
    "media_type",
    "cover_url",
    "genres",
    "score",
    "content_score",
    "collaborative_score",
    "source",
    "reason",
]


class UserPath(Contract):
    """The user in a path."""

    user_id: Id


class TitlePath(Contract):
    """The title in a path."""

    media_id: Id


class JobPath(Contract):
    """The job in a path."""

    job_id: Id


class ResultsQuery(Contract):
    """Which part of a job's results."""

    limit: Whole = Field(100, ge=1, le=MOST_RESULTS)
    cursor: str | None = Field(None, max_length=64)


class NoQuery(Contract):
    """A request that takes no parameters."""


class ListRequest(Contract):
    """What may be asked of any list."""

    genres_any: list[Name] = Field([], max_length=50, description="titles with at least one of these genres")
    genres_all: list[Name] = Field([], max_length=50, description="titles with all of these genres")
    genres_none: list[Name] = Field([], max_length=50, description="titles with none of these genres")
    media_type: list[Name] = Field([], max_length=20, description="titles of one of these media types")
    year_from: Year | None = Field(None, description="titles released in this year or later")
    year_to: Year | None = Field(None, description="titles released in this year or earlier")
    exclude: list[Id] = Field([], max_length=500, description="ids of titles that are not wanted")
    diversity: Share = Field(0.0, description="0: the best first; 1: each as unlike those before it as can be")
    max_per_genre: Annotated[int, Field(ge=1, le=100), WHOLE] | None = Field(
        None, description="most titles of one genre in the whole list"
    )
    explore: Share = Field(0.0, description="share of places for titles that nobody has liked yet")
    seed: Whole = Field(0, ge=0, le=2**31 - 1, description="another seed, other titles in these places")
    explain: Flag = Field(True, description="with each title's `reason`")
    fields: list[RecommendationField] = Field([], max_length=20, description="of each title only these; none: all")

    @field_validator("year_to")
    @classmethod
    def _ends_after_it_begins(cls, value: int | None, others: ValidationInfo) -> int | None:
        begin = others.data.get("year_from")
        if value is not None and begin is not None and value < begin:
            raise ValueError(f"before year_from, {begin}")
        return value

    @property
    def view(self) -> View:
        """What is shown of each title, as it is used inside."""
        return View(self.explain, tuple(self.fields))

    @property
    def asked(self) -> Asked:
        """All that is asked of a list, as it is used inside."""
        return Asked(self.options, self.view)

    @property
    def options(self) -> ListOptions:
        """What is asked of the list, as it is used inside."""
        return ListOptions(
            Filters(
                genres_any=_keys(self.genres_any),
                genres_all=_keys(self.genres_all),
                genres_none=_keys(self.genres_none),
                media_type=_keys(self.media_type),
                year_from=self.year_from,
                year_to=self.year_to,
                exclude=_ids(self.exclude),
                include_seen=getattr(self, "include_seen", False),
            ),
            Variety(self.diversity, self.max_per_genre, self.explore, self.seed),
        )


class _Page(ListRequest):
    """A part of a list."""

    limit: Whole = Field(10, ge=1, le=MOST_TITLES, description="titles on the page")
    offset: Whole = Field(0, ge=0, le=1_000_000, description="titles before the page")
    cursor: Cursor | None = Field(
        None, description="`*` on the first page asks for a `next_cursor`; then the one of the page before"
    )

    @field_validator("cursor")
    @classmethod
    def _knows_its_place(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value not in (None, START) and others.data.get("offset"):
            raise ValueError("it knows its place in the list: leave `offset` out")
        return value

    @property
    def part(self) -> Part:
        """Which part of the list."""
        return Part(self.limit, self.offset, self.cursor)


class UserPageRequest(_Page):
    """A part of a user's list."""

    include_seen: Flag = Field(False, description="also what the user has seen, unless disliked")


class PreviewRequest(_Page):
    """A part of the list of somebody who says what they like."""

    include_seen: Flag = Field(False, description="also the titles in `liked`")
    genres: list[Name] = Field([], max_length=50, description="genres that are preferred")
    liked: list[Id] = Field([], max_length=500, description="ids of titles that are liked")
    disliked: list[Id] = Field([], max_length=500, description="ids of titles that are disliked")

    @property
    def genre_keys(self) -> frozenset[str]:
        """The genres, as they are used inside."""
        return frozenset(_keys(self.genres))


class SimilarRequest(_Page):
    """A part of the list of titles like one."""


class PopularRequest(_Page):
    """A part of the list of popular titles."""

    window_days: Annotated[int, Field(ge=1, le=365), WHOLE] | None = Field(
        None,
        description="count only the last so many days; without it and `half_life_days`, what is popular in general",
    )
    half_life_days: Annotated[int, Field(ge=1, le=3650), WHOLE] | None = Field(
        None, description="age at which a like or a watch counts half; without `window_days`, within a year"
    )


class BatchRequest(ListRequest):
    """Many users at once, over HTTP. Each of the last three makes it a job, however few the users."""

    user_ids: list[Id] = Field(min_length=1, description="each a UUID; one listed twice counts once")
    limit: Whole = Field(10, ge=1, le=MOST_TITLES, description="titles per user")
    include_seen: Flag = Field(False, description="also what a user has seen, unless disliked")
    deadline: Instant | None = Field(None, description="a job that is not done by then expires; RFC 3339")
    reply_to: ReplyQueue | None = Field(None, description="queue that is told of the job's end")
    callback_url: CallbackUrl | None = Field(None, description="address that is told of the job's end")

    @property
    def only_as_a_job(self) -> bool:
        """Whether it asks for what only a job can do."""
        return (self.deadline, self.reply_to, self.callback_url) != (None, None, None)

    @property
    def announce(self) -> Announce:
        """Who wants to hear of the job's end."""
        return Announce(self.reply_to, self.callback_url)


class BatchMessage(BatchRequest):
    """Many users at once, over the queue: the arguments of the task recommendations.batch.v1."""

    job_id: Id = Field(description="chosen by the publisher; published again with the same id, it is the same job")


class RollbackRequest(Contract):
    """Going back to an earlier model, over HTTP."""

    version: VersionName | None = Field(None, description="without it, the one before the current one")


class Addressed(Contract):
    """What must be readable of a batch message for it to become a job at all, if only a rejected one."""

    model_config = ConfigDict(extra="ignore")

    job_id: Id


class ChunkMessage(Contract):
    """One chunk of a job that is in the ledger: the arguments of the task recommendations.chunk.v1."""

    job_id: Id
    chunk_no: int = Field(ge=0, lt=2**31, strict=True)


class TrainMessage(Contract):
    """Train now: the task model.train.v1 takes no arguments."""


class RollbackMessage(Contract):
    """Make an earlier version current: the arguments of the task model.rollback.v1."""

    version: VersionName


class BlockMessage(Contract):
    """One block of a training that is split: the arguments of the task model.block.v1."""

    training_id: Id
    block_no: int = Field(ge=0, lt=2**31, strict=True)


_BatchT = TypeVar("_BatchT", bound=BatchRequest)


def parse_batch(contract: type[_BatchT], data: Mapping[str, Any], *, most_users: int) -> _BatchT:
    """A batch of at most so many users. Raises InvalidRequest."""
    batch = parse(contract, data)
    users = len(set(batch.user_ids))  # listed twice, counted once
    if users > most_users:
        problem = FieldProblem("user_ids", f"{users} users are too many", f"1 to {most_users} users")
        raise InvalidRequest(f"user_ids: {problem.message}", [problem])
    return batch
