"""A query string says what a body says: the contract takes the same, and refuses the rest in the same words."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from flask import Request
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from werkzeug.test import EnvironBuilder

from gateway import query
from shared.contracts import PopularRequest, ResultsQuery, SimilarRequest, UserPageRequest
from shared.errors import InvalidRequest
from shared.json_schema import Schema
from shared.parsing import parse
from tests.contracts import JOB, USER
from tests.fitting import fitting


def values(text: str, contract: type = UserPageRequest) -> dict[str, Any]:
    """What a query string says. text: as it stands behind the question mark."""
    return query.values(contract, Request(EnvironBuilder(query_string=text).get_environ()))


# What is no number, no share and no flag in a query string, though one of them may be elsewhere.
NUMBERS = {
    "empty": "",
    "word": "ten",
    "fraction": "10.0",
    "exponent": "1e1",
    "plus": "%2B10",
    "blank-before": "%2010",
    "blank-after": "10%20",
    "newline-after": "10%0A",
    "nul-after": "10%00",
    "underscore": "1_0",
    "hexadecimal": "0x10",
    "arabic-digits": "%D9%A1%D9%A0",
    "two-signs": "--1",
    "nineteen-digits": "1" * 19,
    "five-thousand-digits": "9" * 5000,
    "a-list": "1,2",
    "null": "null",
    "true": "true",
    "sql": "1%3BDROP%20TABLE%20jobs",
}
SHARES = {
    "empty": "",
    "word": "half",
    "exponent-alone": "e-1",
    "nan": "nan",
    "infinity": "inf",
    "plus": "%2B0.5",
    "without-a-zero": ".5",
    "without-a-fraction-behind-the-point": "0.",
    "comma": "0,5",
    "blank-before": "%200.5",
    "newline-after": "0.5%0A",
    "arabic-digits": "%D9%A0",
    "true": "true",
    "thirty-one-digits": "0." + "1" * 31,
}
FLAGS = {
    "empty": "",
    "one": "1",
    "zero": "0",
    "yes": "yes",
    "capitals": "TRUE",
    "first-capital": "True",
    "blank-after": "true%20",
    "null": "null",
}
NO_VALUES = {
    **{f"limit-{name}": ("limit", text, "not a whole number", "1 to 100") for name, text in NUMBERS.items()},
    **{f"year_to-{name}": ("year_to", text, "not a whole number", "0 to 9999") for name, text in NUMBERS.items()},
    **{f"explore-{name}": ("explore", text, "not a number", "0 to 1") for name, text in SHARES.items()},
    **{f"explain-{name}": ("explain", text, "neither true nor false", None) for name, text in FLAGS.items()},
    "limit-too-large": ("limit", "101", "less than or equal to 100", "1 to 100"),
    "offset-minus-1": ("offset", "-1", "greater than or equal to 0", "0 to 1000000"),
    "diversity-minus": ("diversity", "-0.5", "greater than or equal to 0", "0 to 1"),
    "cursor-empty": ("cursor", "", "match pattern", "at most 64 characters"),
    "year_from-too-large": ("year_from", "1" * 18, "less than or equal to 9999", "0 to 9999"),
}


@pytest.mark.parametrize(("field", "text", "message", "allowed"), NO_VALUES.values(), ids=NO_VALUES)
def test_what_is_no_such_value_is_left_for_the_contract_to_refuse(
    field: str, text: str, message: str, allowed: str | None
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(UserPageRequest, values(f"{field}={text}"))
    [problem] = caught.value.problems
    assert (problem.field, problem.allowed) == (field, allowed)
    assert message in problem.message


NO_ITEMS = {
    "an-empty-name": ("genres_any=Comedy,,Drama", "genres_any[1]"),
    "a-comma-at-the-end": ("media_type=MOVIE,", "media_type[1]"),
    "a-comma-alone": ("genres_none=,", "genres_none[0]"),
    "a-nul": ("genres_all=Comedy%00", "genres_all[0]"),
    "no-id": (f"exclude={USER},1", "exclude[1]"),
    "a-blank-before-an-id": (f"exclude={USER},%20{JOB}", "exclude[1]"),
    "no-field": ("fields=title,colour", "fields[1]"),
}


@pytest.mark.parametrize(("text", "field"), NO_ITEMS.values(), ids=NO_ITEMS)
def test_what_is_wrong_in_a_list_is_named_by_its_place(text: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(UserPageRequest, values(text))
    assert caught.value.problems[0].field == field


def _written(value: Any) -> str:
    """A value as a query string has it."""
    if isinstance(value, list):
        return ",".join(value)
    return value if isinstance(value, str) else f"{value:.17f}" if isinstance(value, float) else json.dumps(value)


@pytest.mark.parametrize("contract", [UserPageRequest, SimilarRequest, PopularRequest, ResultsQuery])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_query_string_says_what_a_body_says(contract: type, data: st.DataObject) -> None:
    said = data.draw(fitting(TypeAdapter(contract).json_schema(schema_generator=Schema)))
    said = {name: value for name, value in said.items() if value is not None}  # there is no null in a query string
    assume(not any("," in item for value in said.values() if isinstance(value, list) for item in value))
    said = {name: float(f"{value:.17f}") if isinstance(value, float) else value for name, value in said.items()}
    text = urlencode({name: _written(value) for name, value in said.items()}, quote_via=quote)
    assert values(text, contract) == said


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(codec="ascii"), max_size=60) | st.text(max_size=20).map(quote))
def test_any_query_string_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        parse(UserPageRequest, values(text.replace("#", "")))
    except InvalidRequest as error:
        assert error.problems
