"""Titles by themselves: what is like one, and what is popular."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import request

from gateway import rendering
from gateway.auth.principals import KNOWN
from gateway.endpoint import BRIEFLY, Answer, Endpoints, Example
from gateway.limits import Budget
from gateway.recent_pages import RecentPages, wants_fresh
from gateway.routes.listing import FRESH, OF_A_LIST, next_page
from shared import errors
from shared.answers import page_document, similar_document
from shared.contracts import PopularRequest, SimilarRequest, TitlePath
from shared.discovery import Discovery
from shared.documents import ListDocument, SimilarDocument


def routes(discovery: Discovery, recent: RecentPages) -> Endpoints:
    """The routes below /api/titles."""
    api = Endpoints("titles", "Titles", "/api/titles")

    @api.address(
        "/<media_id>/similar",
        "similarTitles",
        Answer(
            "A part of the list.",
            {rendering.JSON: SimilarDocument},
            links=next_page("similarTitles", media_id="$response.body#/media_id"),
        ),
        access=KNOWN,
        budget=Budget.SINGLE,
        methods=("GET", "POST"),
        path=TitlePath,
        asks=SimilarRequest,
        problems=(*OF_A_LIST, errors.TitleNotFound),
        headers=(FRESH,),
        cache=BRIEFLY,
        recent=recent,
        examples={
            "more like this": Example({"limit": 2}),
            "comedies like this": Example({"genres_all": ["Comedy"], "limit": 2}),
        },
    )
    def similar(path: TitlePath, asked: SimilarRequest) -> Mapping[str, Any]:
        """Titles like this one.

        The list of somebody who likes nothing but this title, and its genres. For a title that nobody has liked yet,
        the genres alone decide.
        """
        page = discovery.similar(
            path.media_id, asked.part, asked.options, explain=asked.view.reasons, fresh=wants_fresh(request)
        )
        return similar_document(path.media_id, page, asked.fields)

    @api.address(
        "/popular",
        "popularTitles",
        Answer("A part of the list.", {rendering.JSON: ListDocument}, links=next_page("popularTitles")),
        access=KNOWN,
        budget=Budget.SINGLE,
        methods=("GET", "POST"),
        asks=PopularRequest,
        problems=OF_A_LIST,
        headers=(FRESH,),
        cache=BRIEFLY,
        recent=recent,
        examples={
            "the most popular": Example({"limit": 2}),
            "films of the eighties": Example({"media_type": ["MOVIE"], "year_from": 1980, "year_to": 1989, "limit": 2}),
            "lately": Example({"window_days": 30, "half_life_days": 7, "limit": 2}),
        },
    )
    def popular(asked: PopularRequest) -> Mapping[str, Any]:
        """What is liked most.

        In general, or within the last days: then only titles that somebody liked or watched in them.
        """
        page = discovery.popular(
            asked.window_days,
            asked.half_life_days,
            asked.part,
            asked.options,
            explain=asked.view.reasons,
            fresh=wants_fresh(request),
        )
        return page_document(page, asked.fields)

    return api
