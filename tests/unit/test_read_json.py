"""JSON from outside, read to the letter."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts import QUEUE
from shared.parsing import read_json
from tests.messages import envelope
from worker.guard.envelope import Refused, read_envelope

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_what_is_json_is_read_as_it_was_written(value: object) -> None:
    assert read_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b'{"limit": 1, "limit": 2}', "'limit' is given more than once", id="a-name-twice"),
        pytest.param(b'{"limit": 1, "l\\u0069mit": 1}', "'limit' is given more than once", id="in-another-spelling"),
        pytest.param(b'[{"a": [{"b": 1, "b": 1}]}]', "'b' is given more than once", id="far-inside"),
        pytest.param(b"[" * 999 + b"]" * 999, "it is nested more than 32 deep", id="deep"),
        pytest.param(b'{"a":' * 33 + b"1" + b"}" * 33, "it is nested more than 32 deep", id="objects-33-deep"),
        pytest.param(b'[{"a":' * 16 + b"[]" + b"}]" * 16, "it is nested more than 32 deep", id="both-33-deep"),
        pytest.param(b"[" * 100_000, "depth limit exceeded", id="deeper"),
        pytest.param(b"[NaN]", "unexpected character", id="nan"),
        pytest.param(b'"\xff"', "not valid UTF-8", id="no-utf-8"),
        pytest.param(b'"\\ud800"', "no low surrogate", id="half-a-surrogate-pair"),
        pytest.param(b"9" * 5000, "infinity", id="a-huge-number"),
        pytest.param(b"", "empty document", id="nothing"),
    ],
)
def test_what_is_no_json_or_would_lose_something_is_refused_with_the_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_json(raw)


@given(JSON)
def test_brackets_in_texts_are_no_depth(value: object) -> None:
    text = json.dumps([value, "[" * 40, {'\\"]{[' * 20: '{"\\\\"' * 20}])
    assert read_json(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    "raw", [b"[" * 32 + b"]" * 32, b'[{"a":' * 16 + b"1" + b"}]" * 16, b"[" + b"{}," * 99 + b"{}]"]
)
def test_what_is_nested_32_deep_is_read(raw: bytes) -> None:
    assert read_json(raw) == json.loads(raw)


def test_one_name_in_two_objects_is_no_name_twice() -> None:
    assert read_json(b'[{"a": 1}, {"a": {"a": 2}}]') == [{"a": 1}, {"a": {"a": 2}}]


def test_a_message_with_an_argument_twice_is_refused() -> None:
    sent = envelope({})
    sent["body"] = '[[], {"limit": 1, "limit": 2}, null]'
    with pytest.raises(Refused, match="body: not JSON: 'limit' is given more than once"):
        read_envelope(QUEUE, json.dumps(sent).encode())
