"""A query string as a contract reads it: what becomes a value, and what stays a text that the contract refuses."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

import pytest
from flask import Request
from pydantic import BaseModel, Field
from werkzeug.test import EnvironBuilder

from gateway.query import values
from shared.contracts import Id, ResultsQuery, UserPageRequest
from shared.errors import InvalidRequest
from shared.media import Source

ONE, OTHER = "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


class Everything(BaseModel):
    """A field of every kind that contracts have."""

    whole: int = Field(1, ge=1)
    bounded: Annotated[int, Field(ge=1)] = 1
    perhaps: int | None = None
    perhaps_bounded: Annotated[int, Field(ge=1)] | None = None
    share: float = 0.0
    perhaps_share: Annotated[float | None, Field(ge=0)] = None
    flag: bool = False
    perhaps_flag: bool | None = None
    text: str = ""
    perhaps_text: str | None = None
    word: Literal["a", "b"] = "a"
    source: Source = Source.HYBRID
    one: UUID | None = None
    names: list[str] = []
    ids: list[Id] = []
    numbers: list[Annotated[int, Field(ge=1)]] = []
    perhaps_names: Annotated[list[Annotated[str, Field(max_length=9)]], Field(max_length=50)] | None = None
    pair: tuple[float, ...] = ()
    number_or_word: int | Literal["all"] = "all"


def read(contract: type[BaseModel], query: str) -> dict[str, Any]:
    return values(contract, Request(EnvironBuilder(query_string=query).get_environ()))


WHOLE = {"0": 0, "7": 7, "007": 7, "-1": -1, "9" * 18: int("9" * 18)}
NO_WHOLE = ["", "ten", "1.0", "1e1", "+1", " 1", "1 ", "1\n", "1_0", "0x1", "\u0661", "9" * 19, "true", "null", "--1"]
DECIMAL = {"0": 0.0, "0.5": 0.5, "-0.25": -0.25, "1.000": 1.0, "00.5": 0.5, "1e-3": 0.001, "2.5E+1": 25.0}
NO_DECIMAL = ["", "half", "nan", "inf", "-inf", "Infinity", "1e", "1e1.5", "1e1000", ".5", "1.", "0,5", "+0.5", "1.0\n"]
BOOLEAN = {"true": True, "false": False}
NO_BOOLEAN = ["", "True", "FALSE", "1", "0", "yes", "on", "true ", "null"]
AS_THEY_ARE = ["", "null", "true", "7", "a,b", " blanks ", "é"]
FIELDS = {
    ("whole", "bounded", "perhaps", "perhaps_bounded"): (WHOLE, NO_WHOLE),
    ("share", "perhaps_share"): (DECIMAL, NO_DECIMAL),
    ("flag", "perhaps_flag"): (BOOLEAN, NO_BOOLEAN),
    ("text", "perhaps_text", "word", "source", "one"): ({}, AS_THEY_ARE),
    ("number_or_word",): (WHOLE, ["all", "some", ""]),
}
CASES = [
    (field, text, value)
    for fields, (converted, unchanged) in FIELDS.items()
    for field in fields
    for text, value in [*converted.items(), *((text, text) for text in unchanged)]
]


@pytest.mark.parametrize(("field", "text", "value"), CASES)
def test_a_text_becomes_what_it_stands_for_or_stays_as_it_is(field: str, text: str, value: Any) -> None:
    found = read(Everything, urlencode({field: text}))
    assert found == {field: value}
    assert type(found[field]) is type(value)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("names", "", []),
        ("names", "Comedy", ["Comedy"]),
        ("names", "Comedy,Drama", ["Comedy", "Drama"]),
        ("names", "Science Fiction, Drama ", ["Science Fiction", " Drama "]),
        ("names", ",", ["", ""]),
        ("names", "7,true", ["7", "true"]),
        ("perhaps_names", "", []),
        ("perhaps_names", "Comedy,Drama", ["Comedy", "Drama"]),
        ("ids", f"{ONE},{OTHER}", [ONE, OTHER]),
        ("ids", "42", ["42"]),
        ("numbers", "1,-2,three", [1, -2, "three"]),
        ("pair", "0.5,1", [0.5, 1.0]),
    ],
)
@pytest.mark.parametrize("comma", [",", "%2C"], ids=["comma", "escaped-comma"])
def test_a_list_is_separated_by_commas(field: str, text: str, value: list[Any], comma: str) -> None:
    assert read(Everything, f"{field}={text.replace(' ', '+').replace(',', comma)}") == {field: value}


def test_nothing_given_is_nothing_found() -> None:
    assert read(Everything, "") == {}


def test_a_name_that_the_contract_does_not_know_is_left_for_it_to_refuse() -> None:
    assert read(UserPageRequest, "limt=5&limit=5") == {"limt": "5", "limit": 5}


def test_texts_of_a_real_contract_stay_texts() -> None:
    assert read(ResultsQuery, "cursor=00000000000&limit=3") == {"cursor": "00000000000", "limit": 3}


@pytest.mark.parametrize("query", ["names=a&names=b", "whole=1&whole=1", "unknown=1&unknown=2", "text&text"])
def test_a_parameter_given_twice_is_refused(query: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        read(Everything, query)
    [problem] = refusal.value.problems
    assert (problem.field, problem.message) == (query.partition("&")[0].partition("=")[0], "given more than once")
