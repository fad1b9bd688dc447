"""The shapes of what callers are told, as types: contracts builds most of them; the schemas in docs/messages and at
/openapi.json come from here. More fields may come to each."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict  # pydantic reads typing's own only from Python 3.12 on

from shared.job_states import OPEN, JobState
from shared.media import Source, Strategy

JobId = Annotated[str, Field(json_schema_extra={"format": "uuid"}, description="as it was submitted")]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Users = Annotated[int, Field(ge=0)]
UserId = Annotated[str, Field(json_schema_extra={"format": "uuid"}, examples=["34d19a60-dea5-5a97-9a47-7a09d18673d6"])]
MediaId = Annotated[str, Field(json_schema_extra={"format": "uuid"}, examples=["892b222f-9a86-5e9d-9856-1581e363fbbf"])]
Score = Annotated[float, Field(ge=0, le=1, examples=[0.807])]
Cursor = Annotated[str | None, Field(description="of the next part; null after the last", examples=["AAAAAAAAAAE"])]
State = Annotated[str, WithJsonSchema({"type": "string", "enum": list(JobState)})]
Ending = Annotated[str, WithJsonSchema({"type": "string", "enum": [f"job.{s}" for s in JobState if s not in OPEN]})]
Readiness = Literal["ready", "degraded", "unavailable"]


class FieldDocument(TypedDict):
    """A field that was refused."""

    field: Annotated[str, Field(description="where it is, such as user_ids[3]")]
    message: Annotated[str, Field(description="what is wrong")]
    allowed: NotRequired[Annotated[str, Field(description="what would be right")]]


class JobProblemDocument(TypedDict):
    """Why a job did not end well, as problem details (RFC 9457)."""

    type: Annotated[str, Field(description="decide by this; an address of the gateway that explains it")]
    title: str
    detail: Annotated[str, Field(description="for people")]
    errors: NotRequired[Annotated[list[FieldDocument], Field(description="of a rejected job: the fields")]]


class JobDocument(TypedDict):
    """A job as it stands."""

    job_id: JobId
    state: State
    total: Annotated[Users, Field(description="users; 0 of a rejected job")]
    done: Annotated[Users, Field(description="users who have their titles")]
    failed: Annotated[Users, Field(description="users who could not be done")]
    limit: Annotated[int | None, Field(description="titles per user; null of a rejected job")]
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    deadline: Annotated[Time, Field(description="until then it must be done")]
    expires_at: Annotated[Time | None, Field(description="results are kept until then")]
    problem: JobProblemDocument | None


class AnnouncementDocument(TypedDict):
    """A job's end, as its `reply_to` queue and its `callback_url` get it. More fields may come: pass over those that
    you do not know. It may come more than once: `data.job_id` tells."""

    type: Annotated[Ending, Field(description="job. and the state it ended in")]
    timestamp: Annotated[Time, Field(description="when it ended")]
    data: JobDocument


class DeadLetterDocument(TypedDict):
    """What came over a queue and was no message."""

    reason: Annotated[str, Field(description="what is wrong with it")]
    queue: Annotated[str, Field(description="where it came")]
    received_at: Annotated[Time, Field(description="when it was put aside")]
    raw: Annotated[
        str,
        Field(
            description="the bytes as they came: on RabbitMQ the body; of more than 65,536 the first 1,024; of a batch "
            "that met a defect its arguments, as JSON",
            json_schema_extra={"contentEncoding": "base64"},
        ),
    ]


class ProblemDocument(TypedDict):
    """What went wrong, as problem details (RFC 9457)."""

    type: Annotated[
        str, Field(description="decide by this; an address of the gateway that explains it, or about:blank")
    ]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: Annotated[str, Field(description="for people")]
    instance: NotRequired[Annotated[str, Field(description="the path that was asked for, where it could be read")]]
    errors: NotRequired[Annotated[list[FieldDocument], Field(description="of invalid-request: the fields")]]


class ProblemKindDocument(TypedDict):
    """What a problem's type means."""

    type: str
    title: str
    status: int
    advice: Annotated[str, Field(description="what to do about it")]


class CauseDocument(TypedDict):
    """A title of the user's own history, and what the recommended title owes to it."""

    media_id: MediaId
    title: Annotated[str | None, Field(examples=["Heat"])]
    interaction: Annotated[str, WithJsonSchema({"type": "string", "enum": ["LIKE", "WATCH"]})]
    share: Annotated[Score, Field(description="of collaborative_score")]


class ReasonDocument(TypedDict):
    """Why a title is recommended."""

    text: Annotated[str, Field(description="one plain sentence", examples=["Because you liked Heat and Ronin"])]
    genres: Annotated[
        list[str], Field(description="genres of the title that the user prefers", examples=[["Action", "Thriller"]])
    ]
    history: Annotated[list[CauseDocument], Field(max_length=3, description="the largest share first")]
    history_rest: Annotated[
        float,
        Field(
            ge=0,
            description="what is owed to the rest of the history; with it the shares add up to collaborative_score",
        ),
    ]


class RecommendationDocument(TypedDict, total=False):
    """A title, and why it is here. Every field is there, unless `fields` or `explain` leave it out."""

    media_id: MediaId
    title: Annotated[str | None, Field(examples=["Hunt for Red October, The"])]
    description: Annotated[str | None, Field(examples=[None])]
    release_year: Annotated[int | None, Field(examples=[1990])]
    media_type: Annotated[str | None, Field(examples=["MOVIE"])]
    cover_url: Annotated[str | None, Field(examples=[None])]
    genres: Annotated[list[str], Field(examples=[["Action", "Adventure", "Thriller"]])]
    score: Annotated[Score, Field(description="what the list is ordered by, unless variety is asked for")]
    content_score: Annotated[Score, Field(description="matching genres / the user's genres")]
    collaborative_score: Annotated[Score, Field(description="how near it is to what the user liked and watched")]
    source: Annotated[str, WithJsonSchema({"type": "string", "enum": list(Source)})]
    reason: ReasonDocument


class ListDocument(TypedDict):
    """A part of a list."""

    recommendations: Annotated[list[RecommendationDocument], Field(description="best first")]
    count: Annotated[int, Field(ge=0, description="titles on this page", examples=[1])]
    limit: Annotated[int, Field(examples=[1])]
    offset: Annotated[int, Field(examples=[0])]
    next_cursor: Annotated[
        str | None, Field(description="the next page's, where one was asked for with `cursor`", examples=[None])
    ]
    exhausted: Annotated[bool, Field(description="the catalogue has no more titles for this list", examples=[False])]
    strategy: Annotated[str, WithJsonSchema({"type": "string", "enum": list(Strategy)})]
    model_version: Annotated[
        str | None, Field(description="null before the first training", examples=["20261122T201626Z-4eaa6e9c"])
    ]
    cached: Annotated[bool, Field(description="the list is a kept one", examples=[False])]
    degraded: Annotated[bool, Field(description="something was down: the list was made without it", examples=[False])]


class UserPageDocument(ListDocument):
    """A part of one user's list."""

    user_id: UserId


class SimilarDocument(ListDocument):
    """A part of the list of titles like one."""

    media_id: MediaId


class BatchDocument(TypedDict):
    """The pages of a few users."""

    results: Annotated[dict[str, UserPageDocument], Field(description="by user, in the order given")]
    total_users: Users


class ResultsDocument(TypedDict):
    """A part of a job's results."""

    job_id: JobId
    results: list[UserPageDocument]
    count: Users
    next_cursor: Cursor


class FailureDocument(TypedDict):
    """A user whom a job could not do."""

    user_id: UserId
    detail: Annotated[str, Field(description="why, for people")]


class FailuresDocument(TypedDict):
    """A part of the users whom a job could not do."""

    job_id: JobId
    failures: list[FailureDocument]
    count: Users
    next_cursor: Cursor


class ModelsDocument(TypedDict):
    """The versions of the model."""

    current: Annotated[str | None, Field(description="null before the first training")]
    versions: Annotated[list[str], Field(description="oldest first")]


class TrainingDocument(TypedDict):
    """A training that was asked for."""

    task: str


class RollbackDocument(TypedDict):
    """The version that was asked for."""

    version: str


class HealthDocument(TypedDict):
    """Which version runs."""

    status: Literal["healthy"]
    service: str
    version: str


class LiveDocument(TypedDict):
    """The process lives."""

    status: Literal["alive"]


class CheckDocument(TypedDict):
    """How one thing is that the service leans on."""

    state: Literal["up", "down"]
    detail: str


class ReadyDocument(TypedDict):
    """How everything is that the service leans on."""

    status: Annotated[Readiness, Field(description="unavailable: no request can be answered")]
    checks: dict[str, CheckDocument]
