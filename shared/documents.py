"""The shapes of what callers are told of a job, as types: contracts builds them, docs/messages has their schemas."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict  # pydantic reads typing's own only from Python 3.12 on

from shared.job_states import OPEN, JobState

JobId = Annotated[str, Field(json_schema_extra={"format": "uuid"}, description="as it was submitted")]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Users = Annotated[int, Field(ge=0)]
State = Annotated[str, WithJsonSchema({"type": "string", "enum": list(JobState)})]
Ending = Annotated[str, WithJsonSchema({"type": "string", "enum": [f"job.{s}" for s in JobState if s not in OPEN]})]


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
