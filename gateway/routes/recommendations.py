"""One user's recommendations, and many users'."""

from __future__ import annotations

import re

from flask import Blueprint, Response, request
from werkzeug.routing import BaseConverter

from gateway import rendering
from gateway.routes.jobs import accepted
from shared.answers import page_document
from shared.contracts import BatchRequest, NoQuery, PageQuery, UserPath
from shared.errors import FieldProblem, InvalidRequest
from shared.job_states import Order
from shared.jobs import Jobs
from shared.parsing import parse
from shared.recommender import Recommender


class UserSegment(BaseConverter):
    """The part of a path that names a user: anything but our own word, so that GET .../batch is 405, not a bad id."""

    regex = "(?!batch$)[^/]+"
    part_isolating = True  # it never reaches beyond a slash


_KEY = re.compile(r"[\x21-\x7e]{1,200}")


def routes(recommender: Recommender, jobs: Jobs, *, users_at_once: int, users_per_job: int) -> Blueprint:
    """The routes below /api/recommendations."""
    blueprint = Blueprint("recommendations", __name__, url_prefix="/api/recommendations")

    @blueprint.get("/<user:user_id>")
    def of_user(user_id: str) -> Response:
        user = parse(UserPath, {"user_id": user_id}).user_id
        part = parse(PageQuery, rendering.query(request))
        fresh = "no-cache" in request.headers.get("Cache-Control", "").lower()  # directives have no case
        pages = recommender.pages([user], limit=part.limit, offset=part.offset, fresh=fresh)
        return rendering.json_response(page_document(pages[user]))

    @blueprint.post("/batch")
    def of_many() -> Response:
        parse(NoQuery, rendering.query(request))
        batch = parse(BatchRequest, rendering.body(request), most_users=users_per_job)
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
        return rendering.json_response({"results": results, "total_users": len(results)})

    return blueprint


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
