"""What is asked of the service and what it answers, as types. More fields may come to each answer."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict
from uuid import UUID

Id = UUID | str

# What may be asked.


class ListOptions(TypedDict, total=False):
    """Of every list."""

    genres_any: list[str]
    genres_all: list[str]
    genres_none: list[str]
    media_type: list[str]
    year_from: int
    year_to: int
    exclude: list[Id]
    diversity: float
    max_per_genre: int
    explore: float
    seed: int
    explain: bool
    fields: list[str]


class PageOptions(ListOptions, total=False):
    """Of a page."""

    limit: int
    offset: int
    cursor: str


class UserOptions(PageOptions, total=False):
    """Of a user's page."""

    include_seen: bool


class PreviewOptions(UserOptions, total=False):
    """Of a preview."""

    genres: list[str]
    liked: list[Id]
    disliked: list[Id]


class PopularOptions(PageOptions, total=False):
    """Of what is popular."""

    window_days: int
    half_life_days: int


class BatchOptions(ListOptions, total=False):
    """Of many users' lists."""

    limit: int
    include_seen: bool


class JobOptions(BatchOptions, total=False):
    """Of a job."""

    deadline: str
    reply_to: str
    callback_url: str


# What is answered.


class Cause(TypedDict):
    """A title of the user's own history, and what a recommendation owes to it."""

    media_id: str
    title: str | None
    interaction: Literal["LIKE", "WATCH"]
    share: float


class Reason(TypedDict):
    """Why a title is recommended. The shares and `history_rest` add up to its `collaborative_score`."""

    text: str
    genres: list[str]
    history: list[Cause]
    history_rest: float


class Recommendation(TypedDict, total=False):
    """A title. Every field is there, unless `fields` or `explain` left it out."""

    media_id: str
    title: str | None
    description: str | None
    release_year: int | None
    media_type: str | None
    cover_url: str | None
    genres: list[str]
    score: float
    content_score: float
    collaborative_score: float
    source: str
    reason: Reason


class Page(TypedDict):
    """A part of a list."""

    recommendations: list[Recommendation]
    count: int
    limit: int
    offset: int
    next_cursor: str | None
    exhausted: bool
    strategy: str
    model_version: str | None
    cached: bool
    degraded: bool


class UserPage(Page):
    """A part of a user's list."""

    user_id: str


class SimilarPage(Page):
    """A part of the list of titles like one."""

    media_id: str


class FieldProblem(TypedDict):
    """A field that was refused."""

    field: str
    message: str
    allowed: NotRequired[str]


class JobProblem(TypedDict):
    """Why a job did not end well."""

    type: str
    title: str
    detail: str
    errors: NotRequired[list[FieldProblem]]


class Job(TypedDict):
    """A job as it stands."""

    job_id: str
    state: str
    total: int
    done: int
    failed: int
    limit: int | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    deadline: str
    expires_at: str | None
    problem: JobProblem | None


class Failure(TypedDict):
    """A user whom a job could not do."""

    user_id: str
    detail: str
