"""What may not be asked of a list, and what the refusal says."""

from __future__ import annotations

import math
from typing import Any

import pytest

from shared.contracts import PopularRequest, PreviewRequest, SimilarRequest, UserPageRequest
from tests.contracts import ASKS_NOTHING, LEAST, PAGED, USER, refusal

LISTING_FIELDS = ", ".join([*ASKS_NOTHING, "limit", "offset", "cursor"])
TOO_SMALL, TOO_LARGE = "greater than or equal to", "less than or equal to"
NO_NAME, NO_ID, NO_LIST, NO_NUMBER = "not a name", "not a UUID such as", "valid list", "not a whole number"
NO_SHARE, NO_FLAG, NO_CURSOR = "not a number", "neither true nor false", "match pattern"
SHARES, YEARS, CURSORS = "0 to 1", "0 to 9999", "at most 64 characters"


def _bad_names(field: str, most: int) -> dict[str, tuple[dict[str, Any], str, str, str | None]]:
    """A list of names that is wrong, the field that is named, what is said of it, and what is allowed."""
    item, allowed = f"{field}[1]", f"at most {most}"
    return {
        f"{field}-text": ({field: "Comedy"}, field, NO_LIST, allowed),
        f"{field}-null": ({field: None}, field, NO_LIST, allowed),
        f"{field}-object": ({field: {"Comedy": True}}, field, NO_LIST, allowed),
        f"{field}-too-many": ({field: ["x"] * (most + 1)}, field, f"at most {most} items", allowed),
        f"{field}-number": ({field: ["Comedy", 7]}, item, NO_NAME, None),
        f"{field}-item-null": ({field: ["Comedy", None]}, item, NO_NAME, None),
        f"{field}-nested": ({field: ["Comedy", ["Drama"]]}, item, NO_NAME, None),
        f"{field}-item-empty": ({field: ["Comedy", ""]}, item, NO_NAME, None),
        f"{field}-item-blank": ({field: ["Comedy", " \u2003"]}, item, NO_NAME, None),
        f"{field}-item-nul": ({field: ["Comedy", "Dra\0ma"]}, item, NO_NAME, None),
        f"{field}-item-newline": ({field: ["Comedy", "Drama\n"]}, item, NO_NAME, None),
        f"{field}-item-half-a-pair": ({field: ["Comedy", "\ud800"]}, item, "unicode", None),
        f"{field}-item-too-long": ({field: ["Comedy", "x" * 201]}, item, "at most 200 characters", None),
    }


def _bad_ids(field: str) -> dict[str, tuple[dict[str, Any], str, str, str | None]]:
    allowed = "at most 500"
    return {
        f"{field}-text": ({field: USER}, field, NO_LIST, allowed),
        f"{field}-null": ({field: None}, field, NO_LIST, allowed),
        f"{field}-501": ({field: [USER] * 501}, field, "at most 500 items", allowed),
        f"{field}-word": ({field: [USER, "x"]}, f"{field}[1]", NO_ID, None),
        f"{field}-number": ({field: [USER, 7]}, f"{field}[1]", NO_ID, None),
    }


def _bad_numbers(field: str, least: int, most: int) -> dict[str, tuple[dict[str, Any], str, str, str | None]]:
    allowed = f"{least} to {most}"
    return {
        f"{field}-too-small": ({field: least - 1}, field, TOO_SMALL, allowed),
        f"{field}-too-large": ({field: most + 1}, field, TOO_LARGE, allowed),
        f"{field}-huge": ({field: 10**400}, field, TOO_LARGE, allowed),
        f"{field}-true": ({field: True}, field, NO_NUMBER, allowed),
        f"{field}-text": ({field: str(most)}, field, NO_NUMBER, allowed),
        f"{field}-fraction": ({field: least + 0.5}, field, NO_NUMBER, allowed),
        f"{field}-nan": ({field: math.nan}, field, NO_NUMBER, allowed),
        f"{field}-list": ({field: [most]}, field, NO_NUMBER, allowed),
    }


def _bad_shares(field: str) -> dict[str, tuple[dict[str, Any], str, str, str | None]]:
    return {
        f"{field}-too-small": ({field: -0.0001}, field, TOO_SMALL, SHARES),
        f"{field}-too-large": ({field: 1.0001}, field, TOO_LARGE, SHARES),
        f"{field}-nan": ({field: math.nan}, field, "finite", SHARES),
        f"{field}-infinite": ({field: math.inf}, field, "finite", SHARES),
        f"{field}-minus-infinite": ({field: -math.inf}, field, "finite", SHARES),
        f"{field}-huge": ({field: 10**400}, field, "valid number", SHARES),
        f"{field}-true": ({field: True}, field, NO_SHARE, SHARES),
        f"{field}-text": ({field: "0.5"}, field, NO_SHARE, SHARES),
        f"{field}-null": ({field: None}, field, NO_SHARE, SHARES),
    }


def _bad_flags(field: str) -> dict[str, tuple[dict[str, Any], str, str, str | None]]:
    values = {"text": "true", "number": 1, "null": None, "list": [True]}
    return {f"{field}-{name}": ({field: value}, field, NO_FLAG, None) for name, value in values.items()}


BAD_OF_ANY_LIST = {
    **_bad_names("genres_any", 50),
    **_bad_names("genres_all", 50),
    **_bad_names("genres_none", 50),
    **_bad_names("media_type", 20),
    **_bad_numbers("year_from", 0, 9999),
    **_bad_numbers("year_to", 0, 9999),
    "years-backwards": ({"year_from": 2000, "year_to": 1999}, "year_to", "before year_from, 2000", YEARS),
    **_bad_ids("exclude"),
    **_bad_shares("diversity"),
    **_bad_numbers("max_per_genre", 1, 100),
    **_bad_shares("explore"),
    **_bad_numbers("seed", 0, 2**31 - 1),
    "seed-null": ({"seed": None}, "seed", NO_NUMBER, "0 to 2147483647"),
    **_bad_flags("explain"),
    "fields-unknown": ({"fields": ["title", "colour"]}, "fields[1]", "'media_id', 'title'", None),
    "fields-number": ({"fields": [1]}, "fields[0]", "'media_id', 'title'", None),
    "fields-list": ({"fields": [["title"]]}, "fields[0]", "'media_id', 'title'", None),
    "fields-text": ({"fields": "title"}, "fields", NO_LIST, "at most 20"),
    "fields-too-many": ({"fields": ["title"] * 21}, "fields", "at most 20 items", "at most 20"),
    **_bad_numbers("limit", 1, 100),
    "limit-null": ({"limit": None}, "limit", NO_NUMBER, "1 to 100"),
}


@pytest.mark.parametrize(("data", "field", "message", "allowed"), BAD_OF_ANY_LIST.values(), ids=BAD_OF_ANY_LIST)
@pytest.mark.parametrize("contract", LEAST)
def test_what_may_not_be_asked_of_any_list_is_refused_with_what_is_allowed(
    contract: type, data: dict[str, Any], field: str, message: str, allowed: str | None
) -> None:
    _is_refused(contract, LEAST[contract] | data, field, message, allowed)


BAD_OF_A_PAGE = {
    **_bad_numbers("offset", 0, 1_000_000),
    "cursor-empty": ({"cursor": ""}, "cursor", NO_CURSOR, CURSORS),
    "cursor-two-stars": ({"cursor": "**"}, "cursor", NO_CURSOR, CURSORS),
    "cursor-newline": ({"cursor": "abc\n"}, "cursor", NO_CURSOR, CURSORS),
    "cursor-sql": ({"cursor": "' OR 1=1 --"}, "cursor", NO_CURSOR, CURSORS),
    "cursor-other-letters": ({"cursor": "\u0660"}, "cursor", NO_CURSOR, CURSORS),
    "cursor-too-long": ({"cursor": "a" * 65}, "cursor", "at most 64 characters", CURSORS),
    "cursor-number": ({"cursor": 7}, "cursor", "valid string", CURSORS),
    "cursor-and-offset": ({"cursor": "abc", "offset": 1}, "cursor", "leave `offset` out", CURSORS),
    "unknown": ({"limt": 5}, "limt", "unknown field", None),
}


@pytest.mark.parametrize(("data", "field", "message", "allowed"), BAD_OF_A_PAGE.values(), ids=BAD_OF_A_PAGE)
@pytest.mark.parametrize("contract", PAGED)
def test_what_is_no_part_of_a_list_is_refused_with_what_is_allowed(
    contract: type, data: dict[str, Any], field: str, message: str, allowed: str | None
) -> None:
    _is_refused(contract, data, field, message, allowed or ", ".join(contract.model_fields))


BAD_OF_ONE = {
    **{name: (PreviewRequest, *row) for name, row in _bad_names("genres", 50).items()},
    **{name: (PreviewRequest, *row) for name, row in _bad_ids("liked").items()},
    **{name: (PreviewRequest, *row) for name, row in _bad_ids("disliked").items()},
    **{name: (PopularRequest, *row) for name, row in _bad_numbers("window_days", 1, 365).items()},
    **{name: (PopularRequest, *row) for name, row in _bad_numbers("half_life_days", 1, 3650).items()},
    **{name: (UserPageRequest, *row) for name, row in _bad_flags("include_seen").items()},
    "similar-to-whom": (SimilarRequest, {"liked": [USER]}, "liked", "unknown field", LISTING_FIELDS),
    "window-of-a-user": (
        UserPageRequest,
        {"window_days": 7},
        "window_days",
        "unknown field",
        f"{LISTING_FIELDS}, include_seen",
    ),
}


@pytest.mark.parametrize(("contract", "data", "field", "message", "allowed"), BAD_OF_ONE.values(), ids=BAD_OF_ONE)
def test_what_may_not_be_asked_of_one_kind_of_list_is_refused_with_what_is_allowed(
    contract: type, data: dict[str, Any], field: str, message: str, allowed: str | None
) -> None:
    _is_refused(contract, data, field, message, allowed)


def _is_refused(contract: type, data: dict[str, Any], field: str, message: str, allowed: str | None) -> None:
    error = refusal(contract, data)
    [problem] = error.problems
    assert (problem.field, problem.allowed) == (field, allowed)
    assert message in problem.message
    assert str(error) == f"{field}: {problem.message}"


def test_every_wrong_option_is_named_at_once() -> None:
    data = {"year_from": -1, "diversity": 2, "genres_any": ["", "x"], "colour": 1, "limit": 0}
    fields = {problem.field for problem in refusal(UserPageRequest, data).problems}
    assert fields == {"year_from", "diversity", "genres_any[0]", "colour", "limit"}


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("x" * 1_000_000 + "\n", id="newline-at-the-end"),
        pytest.param(" " * 1_000_000, id="blank"),
        pytest.param("x " * 500_000, id="many-words"),
    ],
)
def test_a_name_of_a_million_characters_is_refused_at_once(name: str) -> None:
    """A pattern that begins anew at each character would take hours."""
    [problem] = refusal(UserPageRequest, {"genres_any": [name]}).problems
    assert len(problem.message) < 200
