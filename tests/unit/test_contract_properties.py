"""Every contract, whatever comes: it is taken or refused with the fields named, and what is taken is of use inside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from shared import contracts
from shared.contracts import Addressed, BatchRequest, parse_batch
from shared.errors import InvalidRequest
from shared.json_schema import Schema
from shared.options import Asked, ListOptions
from shared.parsing import Contract, parse
from tests.contracts import JOB, LEAST, USER
from tests.fitting import fitting


def _below(contract: type[Contract]) -> Iterator[type[Contract]]:
    for one in contract.__subclasses__():
        yield one
        yield from _below(one)


CONTRACTS = [c for c in _below(Contract) if c.__module__ == contracts.__name__ and not c.__name__.startswith("_")]
SCHEMAS = {contract: TypeAdapter(contract).json_schema(schema_generator=Schema) for contract in CONTRACTS}
WITH_FIELDS = [contract for contract in CONTRACTS if contract.model_fields]
FIELDS = sorted({name for contract in CONTRACTS for name in contract.model_fields})
NAMES = st.sampled_from(FIELDS)
TEXT = st.text(st.characters())  # halves of surrogate pairs too: JSON can carry them
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | TEXT
    | st.sampled_from([USER, JOB, USER.upper(), "10", "-1", "", "*", "\0", "media_id"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | TEXT, inner, max_size=4),
    max_leaves=12,
)


def test_every_contract_is_looked_at() -> None:
    assert {*LEAST, Addressed} < set(CONTRACTS)
    assert len(CONTRACTS) >= 14


@pytest.mark.parametrize("contract", CONTRACTS)
@settings(max_examples=50, deadline=None)
@given(data=st.dictionaries(NAMES | TEXT, JSON, max_size=5) | JSON)
@example(data={"\ud800": 1})
@example(data={"\0": 1})
@example(data={"user_ids": [USER], "limit": 10**5000})
@example(data={"user_ids": [USER], "diversity": 10**5000})
@example(data={"user_ids": [USER], "year_from": 1, "year_to": float("nan")})
def test_anything_that_json_can_say_is_taken_or_refused_and_nothing_else(contract: type[Contract], data: Any) -> None:
    try:
        taken = parse(contract, data)
    except InvalidRequest as error:
        assert str(error)
        assert 1 <= len(error.problems) <= 20
        for problem in error.problems:
            assert problem.message
            assert any(problem.field.startswith(name) for name in _nameable(contract, data))
    else:
        assert set(data) <= set(contract.model_fields) or contract is Addressed  # which reads what it needs alone
        _is_of_use(taken)


def _nameable(contract: type[Contract], data: Any) -> set[str]:
    """What a problem may begin to name: a field, what came as one, or nothing where that has no name to write down."""
    if not isinstance(data, dict):
        return {""}
    came = {name[:100] for name in data}
    return {*contract.model_fields, *came} | ({""} if any("\ud800" <= c <= "\udfff" for c in "".join(came)) else set())


# What the schema of a field cannot say: whether a moment or an address exists, and what one field is to another.
UNSAID = {"year_to", "cursor", "deadline", "callback_url"}


@pytest.mark.parametrize("contract", WITH_FIELDS)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_where_one_field_is_wrong_that_field_is_named(contract: type[Contract], data: st.DataObject) -> None:
    said = data.draw(fitting(SCHEMAS[contract]))
    name = data.draw(st.sampled_from(sorted(contract.model_fields)))
    spoilt = data.draw(JSON)
    within = isinstance(said.get(name), list) and data.draw(st.booleans())
    said[name] = [*said[name], spoilt] if within else spoilt
    try:
        _is_of_use(parse(contract, said))
    except InvalidRequest as error:
        assert {problem.field.partition("[")[0] for problem in error.problems} <= {name} | UNSAID


@pytest.mark.parametrize("contract", WITH_FIELDS)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_what_fits_the_schema_is_taken_but_for_what_a_schema_cannot_say(
    contract: type[Contract], data: st.DataObject
) -> None:
    said = data.draw(fitting(SCHEMAS[contract]))
    try:
        taken = parse(contract, said)
    except InvalidRequest as error:
        assert {problem.field for problem in error.problems} <= UNSAID
    else:
        _is_of_use(taken)


@settings(max_examples=50, deadline=None)
@given(users=st.lists(st.integers(0, 5).map(lambda n: str(UUID(int=n))), max_size=8), most=st.integers(1, 6))
def test_a_batch_is_taken_exactly_if_it_has_no_more_users_than_allowed(users: list[str], most: int) -> None:
    try:
        parse_batch(BatchRequest, {"user_ids": users}, most_users=most)
    except InvalidRequest:
        assert not 1 <= len(set(users)) <= most
    else:
        assert 1 <= len(set(users)) <= most


def _is_of_use(taken: Contract) -> None:
    """It can be kept, found again by its digest, and is then the same."""
    if not isinstance(taken, contracts.ListRequest):
        return
    written = taken.asked.to_json()
    assert "\\u0000" not in written  # jsonb has no place for it
    again = Asked.from_ledger(json.loads(written))
    assert again == taken.asked
    assert again.options.digest == taken.options.digest
    assert (taken.options.digest == b"") == (taken.options == ListOptions())
    hash(taken.asked)


# The words that JSON Schema and pydantic's descriptions of it use for what a contract's fields may be.
WORDS = {
    "type", "format", "pattern", "enum", "const", "anyOf", "items", "properties", "required", "additionalProperties",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems",
    "default", "description", "title", "$schema",
}  # fmt: skip


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_schema_has_no_word_that_other_programs_would_pass_over(contract: type[Contract]) -> None:
    assert set(_words(SCHEMAS[contract])) <= WORDS


def _words(schema: dict[str, Any]) -> Iterator[str]:
    yield from schema
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", []), *filter(None, [schema.get("items")])]
    for one in inner:
        yield from _words(one)
