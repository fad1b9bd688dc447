"""What crosses the HTTP and queue borders: requests, messages, answers, and the names of queues and tasks."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from shared.callbacks import CallbackTarget
from shared.documents import AnnouncementDocument, FieldDocument, JobDocument, JobProblemDocument
from shared.errors import FieldProblem, InvalidRequest
from shared.job_states import Announce, Job, JobProblem, JobProblemKind
from shared.media import Page, Recommendation

QUEUE: Final = "recommendations"  # what other services publish on
WORK_QUEUE: Final = "recommendations.work"  # the service's own messages
DEAD_SUFFIX: Final = ".dead"  # <queue>.dead holds what was no message for <queue>
REPLY_PREFIX: Final = "recommendations.reply."  # of queues that are told of a job's end
BATCH_TASK: Final = "recommendations.batch.v1"
CHUNK_TASK: Final = "recommendations.chunk.v1"
TRAIN_TASK: Final = "model.train.v1"

MOST_TITLES: Final = 100  # of one page
MOST_RESULTS: Final = 1000  # users of one page of results

_JOB_PROBLEM_TITLES: Final = {
    JobProblemKind.FAILED: "The job failed",
    JobProblemKind.EXPIRED: "The job's deadline passed",
    JobProblemKind.INVALID: "The request is not valid",
}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DIGITS = re.compile(r"-?[0-9]{1,18}")


def _canonical_uuid(value: object) -> object:
    if isinstance(value, UUID) or (isinstance(value, str) and _UUID.fullmatch(value)):
        return value
    raise ValueError("not a UUID such as 1b4e28ba-2fa1-11d2-883f-0016d3cca427")


def _query_integer(value: object) -> object:
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("not a whole number")
    return int(value) if isinstance(value, str) else value


def _instant(value: object) -> object:
    """RFC 3339 with an offset; a number or a time without an offset could mean several moments."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        with contextlib.suppress(ValueError, OverflowError):  # February 30; a moment before the year 1
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
    raise ValueError("not a time with its offset such as 2026-11-23T06:00:00Z")


def _callback_url(value: object) -> object:
    return CallbackTarget.parse(value if isinstance(value, str) else "").url


Id = Annotated[UUID, BeforeValidator(_canonical_uuid)]
Instant = Annotated[datetime, BeforeValidator(_instant)]
ReplyQueue = Annotated[str, Field(pattern=rf"^{re.escape(REPLY_PREFIX)}[a-z0-9_.-]{{1,64}}$")]
CallbackUrl = Annotated[str, BeforeValidator(_callback_url), Field(max_length=2000)]
QueryInteger = Annotated[int, BeforeValidator(_query_integer)]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class UserPath(_Contract):
    """The user in a path."""

    user_id: Id


class JobPath(_Contract):
    """The job in a path."""

    job_id: Id


class PageQuery(_Contract):
    """Which part of a list."""

    limit: QueryInteger = Field(10, ge=1, le=MOST_TITLES)
    offset: QueryInteger = Field(0, ge=0, le=1_000_000)


class ResultsQuery(_Contract):
    """Which part of a job's results."""

    limit: QueryInteger = Field(100, ge=1, le=MOST_RESULTS)
    cursor: str | None = Field(None, max_length=64)


class NoQuery(_Contract):
    """A request that takes no parameters."""


class BatchRequest(_Contract):
    """Many users at once, over HTTP. Each of the last three makes it a job, however few the users."""

    user_ids: list[Id] = Field(min_length=1, description="each a UUID; one listed twice counts once")
    limit: int = Field(10, ge=1, le=MOST_TITLES, strict=True, description="titles per user")
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


class Addressed(_Contract):
    """What must be readable of a batch message for it to become a job at all, if only a rejected one."""

    model_config = ConfigDict(extra="ignore")

    job_id: Id


class ChunkMessage(_Contract):
    """One chunk of a job that is in the ledger: the arguments of the task recommendations.chunk.v1."""

    job_id: Id
    chunk_no: int = Field(ge=0, lt=2**31, strict=True)


class TrainMessage(_Contract):
    """Train now: the task model.train.v1 takes no arguments."""


_ContractT = TypeVar("_ContractT", bound=_Contract)


def parse(contract: type[_ContractT], data: Mapping[str, Any], *, most_users: int | None = None) -> _ContractT:
    """Data from outside as a contract. Raises InvalidRequest with every field that is wrong and what is allowed."""
    try:
        parsed = contract.model_validate(data)
    except ValidationError as error:
        problems = [_problem(contract, dict(e)) for e in error.errors(include_url=False, include_input=False)[:20]]
        raise InvalidRequest("; ".join(f"{p.field}: {p.message}" for p in problems[:3]), problems) from None
    users = len(set(parsed.user_ids)) if isinstance(parsed, BatchRequest) else 0  # listed twice, counted once
    if most_users is not None and users > most_users:
        problem = FieldProblem("user_ids", f"{users} users are too many", f"1 to {most_users} users")
        raise InvalidRequest(f"user_ids: {problem.message}", [problem])
    return parsed


def _problem(contract: type[BaseModel], error: Mapping[str, Any]) -> FieldProblem:
    """pydantic's account of one error in our words. What the caller named the field is cut to a readable length."""
    location = error["loc"]
    name = str(location[0])[:100] if location else ""
    field = name + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location[1:])
    if error["type"] == "extra_forbidden":
        return FieldProblem(field, "unknown field", ", ".join(contract.model_fields) or "no fields")
    message = str(error["msg"]).removeprefix("Value error, ").replace(" after validation", "")
    whole = name in contract.model_fields and len(location) == 1
    return FieldProblem(
        field, message[:1].lower() + message[1:], _allowed(contract.model_fields[name]) if whole else None
    )


def _allowed(field: FieldInfo) -> str | None:
    """A field's range in words, from its constraints."""
    bounds = {
        bound: value
        for constraint in field.metadata
        for bound in ("ge", "le", "min_length", "max_length")
        if (value := getattr(constraint, bound, None)) is not None
    }
    match bounds:
        case {"ge": least, "le": most}:
            return f"{least} to {most}"
        case {"ge": least} | {"min_length": least}:
            return f"{least} or more"
        case {"max_length": most}:
            return f"at most {most} characters"
        case _:
            return None


def page_document(page: Page) -> dict[str, Any]:
    """One user's page as callers get it."""
    return {
        "user_id": str(page.user_id),
        "recommendations": [_recommendation_document(r) for r in page.recommendations],
        "count": len(page.recommendations),
        "limit": page.limit,
        "offset": page.offset,
        "strategy": page.strategy.value,
        "model_version": page.model_version,
        "cached": page.cached,
        "degraded": page.degraded,
    }


def _recommendation_document(recommendation: Recommendation) -> dict[str, Any]:
    title = recommendation.title
    return {
        "media_id": str(title.media_id),
        "title": title.title,
        "description": title.description,
        "release_year": title.release_year,
        "media_type": title.media_type,
        "cover_url": title.cover_url,
        "genres": list(title.genres),
        "score": recommendation.score,
        "content_score": recommendation.content_score,
        "collaborative_score": recommendation.collaborative_score,
        "source": recommendation.source.value,
    }


def job_document(job: Job) -> JobDocument:
    """A job as callers get it; times in UTC, RFC 3339."""
    return {
        "job_id": str(job.job_id),
        "state": job.state.value,
        "total": job.total,
        "done": job.done,
        "failed": job.failed,
        "limit": job.limit or None,
        "created_at": rfc3339(job.created_at),
        "started_at": rfc3339(job.started_at) if job.started_at else None,
        "finished_at": rfc3339(job.finished_at) if job.finished_at else None,
        "deadline": rfc3339(job.deadline),
        "expires_at": rfc3339(job.expires_at) if job.expires_at else None,
        "problem": job_problem_document(job.problem) if job.problem else None,
    }


def job_problem_document(problem: JobProblem) -> JobProblemDocument:
    """Why a job did not end well, as problem details (RFC 9457)."""
    document: JobProblemDocument = {
        "type": f"/problems/{problem.kind}",
        "title": _JOB_PROBLEM_TITLES[problem.kind],
        "detail": problem.detail,
    }
    if problem.fields:
        document["errors"] = field_documents(problem.fields)
    return document


def field_documents(problems: Sequence[FieldProblem]) -> list[FieldDocument]:
    """The fields that were refused, as callers get them."""
    documents: list[FieldDocument] = []
    for problem in problems:
        document: FieldDocument = {"field": problem.field, "message": problem.message}
        if problem.allowed:
            document["allowed"] = problem.allowed
        documents.append(document)
    return documents


def announcement_document(job: Job) -> AnnouncementDocument:
    """A job's end as it is announced to `reply_to` and `callback_url`: the type says how it ended."""
    if job.finished_at is None:
        raise ValueError(f"job {job.job_id} has not ended")
    return {"type": f"job.{job.state}", "timestamp": rfc3339(job.finished_at), "data": job_document(job)}


def rfc3339(value: datetime) -> str:
    """A moment as it is written in every document, in UTC. value: aware."""
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
