"""What is told to callers: from the nouns inside to documents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from shared.documents import AnnouncementDocument, FieldDocument, JobDocument, JobProblemDocument
from shared.errors import FieldProblem
from shared.job_states import Job, JobProblem, JobProblemKind
from shared.media import Page, Reason, Recommendation

_JOB_PROBLEM_TITLES: Final = {
    JobProblemKind.FAILED: "The job failed",
    JobProblemKind.EXPIRED: "The job's deadline passed",
    JobProblemKind.INVALID: "The request is not valid",
}


def page_document(page: Page, fields: Sequence[str] = ()) -> dict[str, Any]:
    """A list's page as callers get it. fields: of each recommendation; none named: all."""
    return {
        "recommendations": [_recommendation_document(r, fields) for r in page.recommendations],
        "count": len(page.recommendations),
        "limit": page.limit,
        "offset": page.offset,
        "next_cursor": page.next_cursor,
        "exhausted": page.exhausted,
        "strategy": page.strategy.value,
        "model_version": page.model_version,
        "cached": page.cached,
        "degraded": page.degraded,
    }


def user_document(user_id: UUID, page: Page, fields: Sequence[str] = ()) -> dict[str, Any]:
    """A page of a user's own list."""
    return {"user_id": str(user_id)} | page_document(page, fields)


def similar_document(media_id: UUID, page: Page, fields: Sequence[str] = ()) -> dict[str, Any]:
    """A page of the list of titles like one."""
    return {"media_id": str(media_id)} | page_document(page, fields)


def _recommendation_document(recommendation: Recommendation, fields: Sequence[str]) -> dict[str, Any]:
    title, reason = recommendation.title, recommendation.reason
    document: dict[str, Any] = {
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
    if reason is not None:
        document["reason"] = _reason_document(reason)
    return {name: document[name] for name in document if name in fields} if fields else document


def _reason_document(reason: Reason) -> dict[str, Any]:
    return {
        "text": reason.text,
        "genres": list(reason.genres),
        "history": [
            {
                "media_id": str(cause.media_id),
                "title": cause.title,
                "interaction": cause.kind.name,
                "share": cause.share,
            }
            for cause in reason.history
        ],
        "history_rest": reason.rest,
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
