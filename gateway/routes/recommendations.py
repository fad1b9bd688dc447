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
from gateway.auth.authenticator import principal
from gateway.auth.principals import KNOWN, MANY_LISTS, OWN_LIST, Scope
from gateway.endpoint import EXAMPLE_TITLE, EXAMPLE_USERS, PRIVATE, Answer, Endpoints, Example, RequestHeader
from gateway.limits import Budget
from gateway.recent_pages import RecentPages, wants_fresh
from gateway.routes.jobs import ACCEPTED, accepted
from gateway.routes.listing import FRESH, NOTHING_ANSWERS, OF_A_LIST, next_page
from shared import errors
from shared.answers import page_document, user_document
from shared.contracts import BatchRequest, PreviewRequest, UserPageRequest, UserPath, parse_batch
from shared.discovery import Discovery, Profile
from shared.documents import BatchDocument, ListDocument, UserPageDocument
from shared.errors import FieldProblem, InvalidRequest
from shared.job_states import Order
from shared.jobs import Jobs
from shared.recommender import Recommender


class UserSegment(BaseConverter):
    """The part of a path that names a user: anything but our own words, so that GET .../batch is 405, not a bad id."""

    regex = "(?!(?:batch|preview)$)[^/]+"
    part_isolating = True  # it never reaches beyond a slash


_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_AS_A_JOB: Final = RequestHeader(
    "Prefer", "`respond-async`: a job, however few the users (RFC 7240)", {"type": "string"}
)
_IDEMPOTENCY_KEY: Final = RequestHeader(
    "Idempotency-Key",
    "of a job: the same key and request find the same job, so it is safe to send again",
    {"type": "string", "pattern": f"^{_KEY.pattern}$"},
)


def routes(
    recommender: Recommender,
    discovery: Discovery,
    jobs: Jobs,
    recent: RecentPages,
    *,
    users_at_once: int,
    users_per_job: int,
) -> Endpoints:
    """The routes below /api/recommendations."""
    api = Endpoints("recommendations", "Recommendations", "/api/recommendations")

    @api.address(
        "/<user:user_id>",
        "userRecommendations",
        Answer(
            "A part of the user's list.",
            {rendering.JSON: UserPageDocument},
            links=next_page("userRecommendations", user_id="$response.body#/user_id"),
        ),
        access=OWN_LIST,
        budget=Budget.SINGLE,
        methods=("GET", "POST"),
        path=UserPath,
        asks=UserPageRequest,
        problems=OF_A_LIST,
        headers=(FRESH,),
        cache=PRIVATE,
        recent=recent,
        examples={
            "the best two": Example({"limit": 2}),
            "the next two": Example({"limit": 2, "offset": 2}),
            "comedies or dramas of the nineties": Example(
                {"genres_any": ["Comedy", "Drama"], "year_from": 1990, "year_to": 1999, "limit": 2}
            ),
            "ids alone": Example({"fields": ["media_id", "score"], "limit": 2}),
            "varied": Example({"diversity": 0.5, "max_per_genre": 5, "limit": 2}),
        },
    )
    def of_user(path: UserPath, asked: UserPageRequest) -> Mapping[str, Any]:
        """One user's titles.

        A user nobody knows gets popular titles. A page that reaches beyond the end of the list is short, one behind it
        empty. A POST takes the same in a body, for what is too long for an address.
        """
        page = recommender.page(
            path.user_id, asked.part, asked.options, explain=asked.view.reasons, fresh=wants_fresh(request)
        )
        return user_document(path.user_id, page, asked.fields)

    @api.address(
        "/preview",
        "previewRecommendations",
        Answer("A part of the list.", {rendering.JSON: ListDocument}),
        access=KNOWN,
        budget=Budget.SINGLE,
        methods=("POST",),
        asks=PreviewRequest,
        problems=OF_A_LIST,
        headers=(FRESH,),
        examples={
            "of somebody who signs up": Example({"genres": ["Comedy", "Drama"], "liked": [EXAMPLE_TITLE], "limit": 2}),
            "of nobody": Example({"limit": 2}),
        },
    )
    def preview(asked: PreviewRequest) -> Mapping[str, Any]:
        """What somebody would get who likes and dislikes this.

        Nothing is stored of them: for sign-up screens and try-outs. A title in both lists is disliked.
        """
        page = discovery.preview(
            Profile(asked.genre_keys, asked.liked, asked.disliked),
            asked.part,
            asked.options,
            explain=asked.view.reasons,
            fresh=wants_fresh(request),
        )
        return page_document(page, asked.fields)

    @api.address(
        "/batch",
        "batchRecommendations",
        Answer(
            "The lists of a few users; as NDJSON a user's page to a line.",
            {rendering.JSON: BatchDocument, rendering.NDJSON: UserPageDocument},
        ),
        replace(ACCEPTED, headers=(*ACCEPTED.headers, "Preference-Applied")),
        access=MANY_LISTS,
        budget=Budget.BATCH,
        methods=("POST",),
        asks=BatchRequest,
        parse=partial(parse_batch, most_users=users_per_job),
        problems=(*NOTHING_ANSWERS, errors.IdempotencyMismatch, errors.ShareExceeded, errors.QueueFull),
        headers=(_AS_A_JOB, _IDEMPOTENCY_KEY),
        examples={
            "at once": Example({"user_ids": EXAMPLE_USERS, "limit": 1}),
            "as a job": Example({"user_ids": EXAMPLE_USERS, "limit": 1}, {"Prefer": "respond-async"}, status=202),
            "filtered": Example({"user_ids": EXAMPLE_USERS, "genres_none": ["Horror"], "limit": 1}),
        },
    )
    def of_many(batch: BatchRequest) -> Response | Mapping[str, Any]:
        """Many users' titles.

        A few users are answered at once. More become a job, and so do any with `Prefer: respond-async`, a `deadline`,
        a `reply_to` or a `callback_url`: look at the status, 200 or 202. A user listed twice counts once.

        The first needs the scope `recommendations:read`, the second `jobs:submit`.
        """
        caller, key = principal(), _idempotency_key()
        users = list(dict.fromkeys(batch.user_ids))
        preferred = _prefers_a_job()
        if preferred or batch.only_as_a_job or len(users) > users_at_once:
            caller.require(Scope.SUBMIT)
            order = Order(users, batch.limit, batch.deadline, batch.announce, batch.asked)
            response = accepted(jobs.submit(order, idempotency_key=caller.own_key(key), caller=caller.name))
            if preferred:
                response.headers["Preference-Applied"] = "respond-async"
            return response
        caller.require(Scope.READ)
        pages = recommender.pages(users, limit=batch.limit, options=batch.options, explain=batch.view.reasons)
        documents = {user: user_document(user, page, batch.fields) for user, page in pages.items()}
        if rendering.prefers_ndjson(request):
            return rendering.ndjson_response([documents.values()])
        return {"results": {str(user): document for user, document in documents.items()}, "total_users": len(documents)}

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
