"""What may be asked of a list, whosever it is, and what it becomes inside. What may not is in test_list_refusals.py."""

from __future__ import annotations

from typing import Any, get_args
from uuid import UUID

import pytest

from shared.contracts import (
    BatchMessage,
    BatchRequest,
    PopularRequest,
    PreviewRequest,
    RecommendationField,
    SimilarRequest,
    UserPageRequest,
)
from shared.documents import RecommendationDocument
from shared.options import NOTHING, PLAIN, Filters, Part, Variety, View
from shared.parsing import parse
from tests.contracts import ASKS_NOTHING, JOB, LEAST, PAGED, USER, refusal

PAGE = ASKS_NOTHING | {"limit": 10, "offset": 0, "cursor": None}
ID, OTHER_ID = UUID(USER), UUID(JOB)

DEFAULTS = {
    UserPageRequest: PAGE | {"include_seen": False},
    PreviewRequest: PAGE | {"include_seen": False, "genres": [], "liked": [], "disliked": []},
    SimilarRequest: PAGE,
    PopularRequest: PAGE | {"window_days": None, "half_life_days": None},
}


@pytest.mark.parametrize(("contract", "expected"), DEFAULTS.items())
def test_nothing_need_be_said_to_get_a_list(contract: type, expected: dict[str, Any]) -> None:
    assert parse(contract, {}).model_dump() == expected


@pytest.mark.parametrize(("contract", "least"), LEAST.items())
def test_who_asks_for_nothing_has_no_options(contract: type, least: dict[str, Any]) -> None:
    parsed = parse(contract, least)
    assert (parsed.asked, parsed.options, parsed.options.digest) == (NOTHING, PLAIN, b"")
    assert parse(contract, least | ASKS_NOTHING).asked == NOTHING


FILTERS = {
    "genres-any": ({"genres_any": ["Comedy"]}, Filters(genres_any=("comedy",))),
    "genres-all": ({"genres_all": ["Comedy", "Drama"]}, Filters(genres_all=("comedy", "drama"))),
    "genres-none": ({"genres_none": ["Horror"]}, Filters(genres_none=("horror",))),
    "media-type": ({"media_type": ["MOVIE"]}, Filters(media_type=("movie",))),
    "names-without-case-and-surplus-blanks": (
        {"genres_any": [" Science  Fiction", "SCIENCE FICTION", "Stra\u00dfe"]},
        Filters(genres_any=("science fiction", "strasse")),
    ),
    "names-in-any-order": ({"genres_any": ["b", "A", "c", "a"]}, Filters(genres_any=("a", "b", "c"))),
    "a-name-with-a-comma": ({"genres_any": ["Comedy, Drama"]}, Filters(genres_any=("comedy, drama",))),
    "the-longest-name": ({"genres_any": ["x" * 200]}, Filters(genres_any=("x" * 200,))),
    "fifty-names": (
        {"genres_none": [f"{n:02}" for n in range(50)]},
        Filters(genres_none=tuple(f"{n:02}" for n in range(50))),
    ),
    "first-year": ({"year_from": 0}, Filters(year_from=0)),
    "last-year": ({"year_to": 9999}, Filters(year_to=9999)),
    "one-year": ({"year_from": 1994, "year_to": 1994}, Filters(year_from=1994, year_to=1994)),
    "exclude": ({"exclude": [JOB, USER, JOB.upper()]}, Filters(exclude=(ID, OTHER_ID))),
    "exclude-500": (
        {"exclude": [str(UUID(int=n)) for n in reversed(range(500))]},
        Filters(exclude=tuple(UUID(int=n) for n in range(500))),
    ),
}


@pytest.mark.parametrize(("said", "expected"), FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("contract", LEAST)
def test_filters_are_taken_as_they_are_used_inside(contract: type, said: dict[str, Any], expected: Filters) -> None:
    parsed = parse(contract, LEAST[contract] | said)
    assert (parsed.options.filters, parsed.options.variety) == (expected, Variety())
    assert parsed.view == View()


VARIETY = {
    "diversity-least": ({"diversity": 0}, Variety()),
    "diversity": ({"diversity": 0.25}, Variety(diversity=0.25)),
    "diversity-most": ({"diversity": 1}, Variety(diversity=1.0)),
    "max-per-genre-least": ({"max_per_genre": 1}, Variety(max_per_genre=1)),
    "max-per-genre-most": ({"max_per_genre": 100}, Variety(max_per_genre=100)),
    "explore": ({"explore": 0.5, "seed": 2**31 - 1}, Variety(explore=0.5, seed=2**31 - 1)),
}


@pytest.mark.parametrize(("said", "expected"), VARIETY.values(), ids=VARIETY)
@pytest.mark.parametrize("contract", LEAST)
def test_variety_is_taken_as_it_is_used_inside(contract: type, said: dict[str, Any], expected: Variety) -> None:
    options = parse(contract, LEAST[contract] | said).options
    assert (options.variety, options.filters) == (expected, Filters())


@pytest.mark.parametrize("contract", [UserPageRequest, PreviewRequest, BatchRequest, BatchMessage])
def test_what_was_seen_may_be_asked_for_where_there_is_somebody_who_saw_it(contract: type) -> None:
    assert parse(contract, LEAST[contract] | {"include_seen": True}).options.filters == Filters(include_seen=True)


@pytest.mark.parametrize("contract", [SimilarRequest, PopularRequest])
def test_nobody_has_seen_what_is_similar_or_popular(contract: type) -> None:
    [problem] = refusal(contract, {"include_seen": True}).problems
    assert (problem.field, problem.message) == ("include_seen", "unknown field")


VIEWS = {
    "no-reasons": ({"explain": False}, View(explain=False), False),
    "reasons-of-some-fields": ({"fields": ["title", "reason"]}, View(fields=("title", "reason")), True),
    "some-fields": ({"fields": ["media_id"]}, View(fields=("media_id",)), False),
    "a-field-twice": ({"fields": ["score", "score"]}, View(fields=("score", "score")), False),
}


@pytest.mark.parametrize(("said", "expected", "reasons"), VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("contract", LEAST)
def test_what_is_shown_is_no_matter_of_which_list_it_is(
    contract: type, said: dict[str, Any], expected: View, *, reasons: bool
) -> None:
    parsed = parse(contract, LEAST[contract] | said)
    assert (parsed.view, parsed.view.reasons) == (expected, reasons)
    assert parsed.options.digest == b""


def test_every_field_of_a_recommendation_may_be_asked_for_alone() -> None:
    assert set(get_args(RecommendationField)) == set(RecommendationDocument.__annotations__)


PARTS = {
    "least": ({"limit": 1, "offset": 0}, Part(1)),
    "most": ({"limit": 100, "offset": 1_000_000}, Part(100, 1_000_000)),
    "first-of-many": ({"cursor": "*"}, Part(10, 0, "*")),
    "first-of-many-from-further-on": ({"cursor": "*", "offset": 20}, Part(10, 20, "*")),
    "another": ({"cursor": "A-z_9" * 12 + "abcd"}, Part(10, 0, "A-z_9" * 12 + "abcd")),
    "another-and-the-offset-of-none": ({"cursor": "abc", "offset": 0}, Part(10, 0, "abc")),
}


@pytest.mark.parametrize(("said", "expected"), PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("contract", PAGED)
def test_a_part_is_a_limit_and_a_place(contract: type, said: dict[str, Any], expected: Part) -> None:
    assert parse(contract, said).part == expected


def test_a_profile_is_what_somebody_says_of_themselves() -> None:
    said = {"genres": ["Drama", " drama", "Film  Noir"], "liked": [USER, USER], "disliked": [JOB]}
    profile = parse(PreviewRequest, said)
    assert profile.genre_keys == {"drama", "film noir"}
    assert (profile.liked, profile.disliked) == ([ID, ID], [OTHER_ID])
