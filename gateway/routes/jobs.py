"""Jobs: their state, their results, and ending them."""

from __future__ import annotations

import base64
import struct
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request, url_for

from gateway import rendering
from shared.answers import job_document, user_document
from shared.contracts import JobPath, NoQuery, ResultsQuery
from shared.errors import FieldProblem, InvalidRequest
from shared.job_results import POLL_SECONDS, JobResults, Position
from shared.job_states import Job
from shared.jobs import Jobs
from shared.parsing import parse

_CURSOR = struct.Struct(">II")  # chunk, place


def routes(jobs: Jobs, job_results: JobResults) -> Blueprint:
    """The routes below /api/jobs."""
    blueprint = Blueprint("jobs", __name__, url_prefix="/api/jobs")

    @blueprint.get("/<job_id>")
    def state(job_id: str) -> Response:
        parse(NoQuery, rendering.query(request))
        return _state(jobs.get(parse(JobPath, {"job_id": job_id}).job_id))

    @blueprint.post("/<job_id>/cancel")
    def cancel(job_id: str) -> Response:
        parse(NoQuery, rendering.query(request))
        return _state(jobs.cancel(parse(JobPath, {"job_id": job_id}).job_id))

    @blueprint.get("/<job_id>/results")
    def results(job_id: str) -> Response:
        job = parse(JobPath, {"job_id": job_id}).job_id
        part = parse(ResultsQuery, rendering.query(request))
        if request.accept_mimetypes.best_match([rendering.JSON, rendering.NDJSON]) == rendering.NDJSON:
            stream = job_results.stream(job)
            return rendering.ndjson_response(
                [user_document(p.user_id, p.page, p.fields) for p in pages] for pages in stream
            )
        pages, after = job_results.page(job, _position(part.cursor), part.limit)
        return _part(job, "results", [user_document(p.user_id, p.page, p.fields) for p in pages], after)

    @blueprint.get("/<job_id>/failures")
    def failures(job_id: str) -> Response:
        job = parse(JobPath, {"job_id": job_id}).job_id
        part = parse(ResultsQuery, rendering.query(request))
        failed, after = job_results.failures(job, _position(part.cursor), part.limit)
        return _part(job, "failures", [{"user_id": str(f.user_id), "detail": f.detail} for f in failed], after)

    return blueprint


def accepted(job: Job) -> Response:
    """202 with the job, where to ask for it, and when."""
    response = _state(job)
    response.status_code = 202
    response.headers["Retry-After"] = str(POLL_SECONDS)  # also of a job that is done already
    response.headers["Location"] = url_for("jobs.state", job_id=job.job_id)
    return response


def _state(job: Job) -> Response:
    response = rendering.json_response(job_document(job))
    response.headers["Cache-Control"] = "no-store"
    if job.is_open:
        response.headers["Retry-After"] = str(POLL_SECONDS)
    return response


def _part(job_id: UUID, name: str, documents: list[dict[str, Any]], after: Position | None) -> Response:
    return rendering.json_response(
        {
            "job_id": str(job_id),
            name: documents,
            "count": len(documents),
            "next_cursor": _cursor(after) if after else None,
        }
    )


def _cursor(position: Position) -> str:
    return base64.urlsafe_b64encode(_CURSOR.pack(position.chunk_no, position.place)).decode().rstrip("=")


def _position(cursor: str | None) -> Position:
    if cursor is None:
        return Position()
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return Position(*_CURSOR.unpack(raw))
    except (ValueError, struct.error):
        raise InvalidRequest(
            "cursor: not one that this job gave",
            [FieldProblem("cursor", "not one that this job gave", "the `next_cursor` of the page before")],
        ) from None
