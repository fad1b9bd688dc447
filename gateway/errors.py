"""The one table from what went wrong to what the caller is told (RFC 9457 problem details)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from gateway.rendering import PROBLEM, json_response
from shared import errors
from shared.answers import field_documents
from shared.documents import FieldDocument, ProblemDocument

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    """A kind of problem: its address is /problems/<name>."""

    status: int
    name: str
    title: str
    advice: str
    tells: bool = True  # the error's own sentence is meant for the caller; otherwise it goes to the log alone

    @property
    def address(self) -> str:
        """Its `type`."""
        return f"/problems/{self.name}" if self.name in PROBLEMS else _ABOUT_BLANK


# The most particular class wins.
_ERRORS: Final[dict[type[errors.ServiceError], Problem]] = {
    errors.InvalidRequest: Problem(400, "invalid-request", "The request is not valid", "Mend the fields in `errors`."),
    errors.IdempotencyMismatch: Problem(
        422, "idempotency-mismatch", "The key was used for another request", "Send a new Idempotency-Key."
    ),
    errors.Unauthenticated: Problem(
        401, "unauthenticated", "It is not known who you are", "Send `Authorization: Bearer` and a token or an API key."
    ),
    errors.Forbidden: Problem(403, "forbidden", "You may not do this", "Ask for a token or key with the right scope."),
    errors.NoSuchModel: Problem(404, "model-not-found", "There is no such model", "See `GET /api/models`."),
    errors.ModelRejected: Problem(
        503, "model-unusable", "The model cannot be used", "Tell whoever runs the service.", tells=False
    ),
    errors.JobNotFound: Problem(
        404, "job-not-found", "There is no such job", "Check the id, and that the job is yours."
    ),
    errors.TitleNotFound: Problem(
        404, "title-not-found", "There is no such title", "Check the id; a title just added is known within a minute."
    ),
    errors.CursorExpired: Problem(
        410, "cursor-expired", "The list is no longer kept", "Ask for the first page again, with `cursor=*`."
    ),
    errors.ResultsNotReady: Problem(
        409, "results-not-ready", "The job is not finished", "Poll the job, and ask again when it is completed."
    ),
    errors.ResultsNeverCame: Problem(
        409, "no-results", "The job ended without results", "Look at the job's `problem`, and submit a new one."
    ),
    errors.ResultsExpired: Problem(410, "results-expired", "The results are gone", "Submit the job again."),
    errors.ShareExceeded: Problem(
        429, "too-much-at-once", "You have too many users in open jobs", "Submit again after `Retry-After` seconds."
    ),
    errors.QueueFull: Problem(
        503, "queue-full", "There are too many users in open jobs", "Submit again after `Retry-After` seconds."
    ),
    errors.PoolExhausted: Problem(
        503, "busy", "Too many requests at once", "Try again after `Retry-After` seconds.", tells=False
    ),
    errors.Unavailable: Problem(
        503, "unavailable", "Something the service needs is down", "Try again after `Retry-After` seconds.", tells=False
    ),
}
_HTTP: Final[dict[int, Problem]] = {
    400: Problem(400, "bad-request", "The request can't be read", "Send valid HTTP and JSON."),
    404: Problem(404, "not-found", "There is nothing here", "See docs/INTEGRATION.md for the addresses."),
    405: Problem(405, "method-not-allowed", "The method is not allowed here", "Use one of the methods in `Allow`."),
    408: Problem(408, "too-slow", "The body came too slowly", "Send the body without long pauses."),
    413: Problem(413, "body-too-large", "The body is too large", "Split the request."),
    414: Problem(414, "address-too-long", "The address is too long", "Ask by POST, with the same in the body."),
    415: Problem(415, "unsupported-media-type", "The body is not JSON", "Send `Content-Type: application/json`."),
    429: Problem(429, "rate-limited", "You ask too often", "Ask again after `Retry-After` seconds; see `RateLimit`."),
}
_INTERNAL: Final = Problem(
    500, "internal", "The service failed", "Try again; if it stays, tell whoever runs it.", tells=False
)
_OF_JOBS: Final = (  # the `problem` of a job that is asked for with success
    Problem(200, "job-failed", "The job failed", "`detail` says why; submit it again when that is mended."),
    Problem(200, "job-expired", "The job's deadline passed", "Submit it again with a later deadline, or with none."),
)

_ABOUT_BLANK: Final = "about:blank"  # RFC 9457: the status says it all

PROBLEMS: Final = {p.name: p for p in (*_ERRORS.values(), *_HTTP.values(), _INTERNAL, *_OF_JOBS)}

_REALM: Final = 'Bearer realm="recommendations"'

# What tells when to come back, as a Retry-After.
_TELLS_WHEN: Final = (errors.Unavailable, errors.ResultsNotReady, errors.ShareExceeded)


def problem_of(kind: type[errors.ServiceError]) -> Problem:
    """What becomes of an error. Without a row of its own in the table it is a defect."""
    return next((_ERRORS[one] for one in kind.__mro__ if one in _ERRORS), _INTERNAL)


def of_http(status: int) -> Problem:
    """The problem that HTTP itself has a status for."""
    return _INTERNAL if status == _INTERNAL.status else _HTTP[status]


def of_any_status(status: int) -> Problem:
    """The same of any status there is; of some HTTP says all that there is to say."""
    if status == _INTERNAL.status or status in _HTTP:
        return of_http(status)
    phrase = HTTPStatus(status).phrase
    return Problem(status, _ABOUT_BLANK, phrase, phrase)


def tells_when(problem: Problem) -> bool:
    """Whether a problem comes with when to try again."""
    return problem is _HTTP[HTTPStatus.TOO_MANY_REQUESTS] or any(
        issubclass(kind, _TELLS_WHEN) for kind, one in _ERRORS.items() if one is problem
    )


def register(app: Flask) -> None:
    """Let the table answer for everything that is raised in `app`."""
    app.register_error_handler(errors.ServiceError, _service_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _defect)


def _service_error(error: errors.ServiceError) -> Response:
    problem = problem_of(type(error))
    if problem is _INTERNAL:
        return _defect(error)
    headers = {}
    if isinstance(error, _TELLS_WHEN):
        headers["Retry-After"] = str(error.retry_after)
    headers |= _challenge(error)
    if not problem.tells:
        _log.warning("%s %s: %s", request.method, request.path, error)
    fields = field_documents(error.problems) if isinstance(error, errors.InvalidRequest) else []
    return _answer(problem, str(error) if problem.tells else problem.advice, headers, fields)


def _challenge(error: errors.ServiceError) -> dict[str, str]:
    """What RFC 6750 wants to be said of a credential that is missing, wrong or too weak."""
    if isinstance(error, errors.Unauthenticated):
        why = f', error="invalid_token", error_description="{error}"' if error.given else ""
        return {"WWW-Authenticate": _REALM + why}
    if isinstance(error, errors.Forbidden):
        return {"WWW-Authenticate": f'{_REALM}, error="insufficient_scope", scope="{error.scope}"'}
    return {}


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:  # a redirect is no problem
        return Response(status=status, headers=dict(error.get_headers()))
    problem = of_any_status(status)
    detail = problem.advice if error.description == type(error).description else error.description or problem.advice
    if isinstance(error, RequestEntityTooLarge):
        detail = f"the body may have at most {current_app.config['MAX_CONTENT_LENGTH']} bytes"
    allow = getattr(error, "valid_methods", None)
    return _answer(problem, detail, {"Allow": ", ".join(sorted(allow))} if allow else {})


def _defect(error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.path, exc_info=error)
    return _answer(_INTERNAL, _INTERNAL.advice)


def _answer(
    problem: Problem,
    detail: str,
    headers: dict[str, str] | None = None,
    fields: list[FieldDocument] | None = None,
) -> Response:
    document: ProblemDocument = {
        "type": problem.address,
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        "instance": request.path,
    }
    if fields:
        document["errors"] = fields
    response = json_response(document, problem.status, media_type=PROBLEM)
    response.headers.update(headers or {})
    response.headers["Cache-Control"] = "no-store"
    return response
