"""Jobs: their state, their results, and ending them."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from flask import Response, request, url_for

from gateway import rendering
from gateway.auth.authenticator import principal
from gateway.auth.principals import JOBS
from gateway.endpoint import Answer, Endpoints, Example, Link
from gateway.limits import Budget
from shared import errors
from shared.answers import job_document, user_document
from shared.contracts import JobPath, ResultsQuery
from shared.documents import FailuresDocument, JobDocument, ResultsDocument, UserPageDocument
from shared.errors import FieldProblem, InvalidRequest
from shared.job_results import POLL_SECONDS, JobResults, Position, UserPage
from shared.job_states import Job
from shared.jobs import Jobs

_CURSOR = struct.Struct(">II")  # chunk, place


def _next(operation: str) -> Link:
    return Link(operation, {"job_id": "$response.body#/job_id", "cursor": "$response.body#/next_cursor"})


_FROM_A_JOB: Final = {"state": "jobState", "results": "jobResults", "failures": "jobFailures", "cancel": "cancelJob"}
JOB: Final = Answer(
    "The job.",
    {rendering.JSON: JobDocument},
    headers=("Retry-After",),
    links={name: Link(operation, {"job_id": "$response.body#/job_id"}) for name, operation in _FROM_A_JOB.items()},
)
ACCEPTED: Final = replace(
    JOB, description="It is written down, and comes to an end.", status=202, headers=("Location", "Retry-After")
)
_OF_A_JOB: Final = (errors.JobNotFound, errors.Unavailable, errors.PoolExhausted)


def routes(jobs: Jobs, job_results: JobResults) -> Endpoints:
    """The routes below /api/jobs."""
    api = Endpoints("jobs", "Jobs", "/api/jobs")

    def admit(path: JobPath) -> None:
        """Raises JobNotFound unless the job is the caller's."""
        if not principal().may_see(None):  # who may see a job of nobody's may see all
            _own(jobs.get(path.job_id))

    @api.address("/<job_id>", "jobState", JOB, access=JOBS, budget=Budget.JOBS, path=JobPath, problems=_OF_A_JOB)
    def state(path: JobPath) -> Response:
        """How a job stands.

        Ask as often as `Retry-After` says. A job without that header has ended.
        """
        return _state(_own(jobs.get(path.job_id)))

    @api.address(
        "/<job_id>/cancel",
        "cancelJob",
        JOB,
        access=JOBS,
        budget=Budget.JOBS,
        methods=("POST",),
        path=JobPath,
        problems=_OF_A_JOB,
    )
    def cancel(path: JobPath) -> Response:
        """End a job.

        One that has ended stays as it is, so it is safe to send twice.
        """
        admit(path)
        return _state(jobs.cancel(path.job_id))

    @api.address(
        "/<job_id>/results",
        "jobResults",
        Answer(
            "A part of the results; as NDJSON all of them, a user's page to a line.",
            {rendering.JSON: ResultsDocument, rendering.NDJSON: UserPageDocument},
            links={"next": _next("jobResults")},
        ),
        access=JOBS,
        budget=Budget.JOBS,
        path=JobPath,
        asks=ResultsQuery,
        problems=(*_OF_A_JOB, errors.ResultsNotReady, errors.ResultsNeverCame, errors.ResultsExpired),
        examples={"a few users": Example({"limit": 2}), "all": Example(headers={"Accept": rendering.NDJSON})},
    )
    def results(path: JobPath, part: ResultsQuery) -> Response | Mapping[str, Any]:
        """A job's results.

        In the order in which the users were given: pages, or one stream with `Accept: application/x-ndjson`, where
        `limit` and `cursor` do not count.
        """
        admit(path)
        if rendering.prefers_ndjson(request):
            stream = job_results.stream(path.job_id)
            return rendering.ndjson_response(_documents(pages) for pages in stream)
        pages, after = job_results.page(path.job_id, _position(part.cursor), part.limit)
        return {
            "job_id": str(path.job_id),
            "results": _documents(pages),
            "count": len(pages),
            "next_cursor": _cursor(after),
        }

    @api.address(
        "/<job_id>/failures",
        "jobFailures",
        Answer("A part of them.", {rendering.JSON: FailuresDocument}, links={"next": _next("jobFailures")}),
        access=JOBS,
        budget=Budget.JOBS,
        path=JobPath,
        asks=ResultsQuery,
        problems=(*_OF_A_JOB, errors.ResultsNotReady),
        examples={"a few users": Example({"limit": 2})},
    )
    def failures(path: JobPath, part: ResultsQuery) -> FailuresDocument:
        """The users whom a job could not do, and why.

        It can be asked as soon as the job has ended, however it ended.
        """
        admit(path)
        failed, after = job_results.failures(path.job_id, _position(part.cursor), part.limit)
        return {
            "job_id": str(path.job_id),
            "failures": [{"user_id": str(f.user_id), "detail": f.detail} for f in failed],
            "count": len(failed),
            "next_cursor": _cursor(after),
        }

    return api


def _own(job: Job) -> Job:
    """The job, if it is the caller's. Raises JobNotFound in the words of a job that is not there."""
    if not principal().may_see(job.caller):
        raise errors.JobNotFound(f"there is no job {job.job_id}")
    return job


def _documents(pages: Sequence[UserPage]) -> list[dict[str, Any]]:
    return [user_document(one.user_id, one.page, one.fields) for one in pages]


def accepted(job: Job) -> Response:
    """202 with the job, where to ask for it, and when."""
    response = _state(job)
    response.status_code = 202
    response.headers["Retry-After"] = str(POLL_SECONDS)  # also of a job that is done already
    response.headers["Location"] = url_for("jobs.state", job_id=job.job_id)
    return response


def _state(job: Job) -> Response:
    response = rendering.json_response(job_document(job))
    if job.is_open:
        response.headers["Retry-After"] = str(POLL_SECONDS)
    return response


def _cursor(position: Position | None) -> str | None:
    if position is None:
        return None
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
