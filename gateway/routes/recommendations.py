"""One user's recommendations, and many users'."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from flask import Response, request
from werkzeug.routing import BaseConverter

from gateway import rendering
from gateway.endpoint import EXAMPLE_USERS, PRIVATE, Answer, Endpoints, Example, RequestHeader
from gateway.routes.jobs import ACCEPTED, accepted
from shared import errors
from shared.contracts import BatchRequest, PageQuery, UserPath, page_document, parse
from shared.documents import BatchDocument, PageDocument
from shared.errors import FieldProblem, InvalidRequest
from shared.job_states import Order
from shared.jobs import Jobs
from shared.recommender import Recommender


class UserSegment(BaseConverter):
    """The part of a path that names a user: anything but our own word, so that GET .../batch is 405, not a bad id."""

    regex = "(?!batch$)[^/]+"
    part_isolating = True  # it never reaches beyond a slash


_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_NOTHING_ANSWERS: Final = (errors.Unavailable, errors.PoolExhausted)
_FRESH: Final = RequestHeader(
    "Cache-Control", "`no-cache`: make the list anew, and keep it for the next", {"type": "string"}
)
_AS_A_JOB: Final = RequestHeader(
    "Prefer", "`respond-async`: a job, however few the users (RFC 7240)", {"type": "string"}
)
_IDEMPOTENCY_KEY: Final = RequestHeader(
    "Idempotency-Key",
    "of a job: the same key and request find the same job, so it is safe to send again",
    {"type": "string", "pattern": f"^{_KEY.pattern}$"},
)


def routes(recommender: Recommender, jobs: Jobs, *, users_at_once: int, users_per_job: int) -> Endpoints:
    """The routes below /api/recommendations."""
    api = Endpoints("recommendations", "Recommendations", "/api/recommendations")

    @api.address(
        "/<user:user_id>",
        "userRecommendations",
        Answer("A part of the user's list.", {rendering.JSON: PageDocument}),
        path=UserPath,
        asks=PageQuery,
        problems=_NOTHING_ANSWERS,
        headers=(_FRESH,),
        cache=PRIVATE,
        examples={"the best two": Example({"limit": 2}), "the next two": Example({"limit": 2, "offset": 2})},
    )
    def of_user(path: UserPath, part: PageQuery) -> Mapping[str, Any]:
        """One user's titles.

        A user nobody knows gets popular titles. A page that reaches beyond the end of the list is short, one behind it
        empty.
        """
        fresh = "no-cache" in request.headers.get("Cache-Control", "").lower()  # directives have no case
        pages = recommender.pages([path.user_id], limit=part.limit, offset=part.offset, fresh=fresh)
        return page_document(pages[path.user_id])

    @api.address(
        "/batch",
        "batchRecommendations",
        Answer("The lists of a few users.", {rendering.JSON: BatchDocument}),
        replace(ACCEPTED, headers=(*ACCEPTED.headers, "Preference-Applied")),
        methods=("POST",),
        asks=BatchRequest,
        parse=partial(parse, most_users=users_per_job),
        problems=(*_NOTHING_ANSWERS, errors.IdempotencyMismatch, errors.ShareExceeded, errors.QueueFull),
        headers=(_AS_A_JOB, _IDEMPOTENCY_KEY),
        examples={
            "at once": Example({"user_ids": EXAMPLE_USERS, "limit": 1}),
            "as a job": Example({"user_ids": EXAMPLE_USERS, "limit": 1}, {"Prefer": "respond-async"}, status=202),
        },
    )
    def of_many(batch: BatchRequest) -> Response | Mapping[str, Any]:
        """Many users' titles.

        A few users are answered at once. More become a job, and so do any with `Prefer: respond-async`, a `deadline`,
        a `reply_to` or a `callback_url`: look at the status, 200 or 202. A user listed twice counts once.
        """
        users = list(dict.fromkeys(batch.user_ids))
        preferred = _prefers_a_job()
        if preferred or batch.only_as_a_job or len(users) > users_at_once:
            order = Order(users, batch.limit, batch.deadline, batch.announce)
            response = accepted(jobs.submit(order, idempotency_key=_idempotency_key(), caller=request.remote_addr))
            if preferred:
                response.headers["Preference-Applied"] = "respond-async"
            return response
        pages = recommender.pages(users, limit=batch.limit)
        results = {str(user): page_document(page) for user, page in pages.items()}
        return {"results": results, "total_users": len(results)}

    return api


def _prefers_a_job() -> bool:
    """Whether Prefer (RFC 7240) names respond-async, among other preferences or with parameters."""
    preferences = request.headers.get("Prefer", "").lower().split(",")
    return any(preference.partition(";")[0].strip() == "respond-async" for preference in preferences)


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        allowed = "1 to 200 visible ASCII characters"
        raise InvalidRequest(
            f"Idempotency-Key: not {allowed}", [FieldProblem("Idempotency-Key", "not a valid key", allowed)]
        )
    return key
