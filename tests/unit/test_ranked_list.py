"""A list in its compact form."""

from __future__ import annotations

from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ids import IdIndex, pack_ids
from shared.media import Strategy
from shared.ranked_list import STEPS, RankedList, decode, decode_many, encode, encode_many

KNOWN = IdIndex(pack_ids(UUID(int=i << 8) for i in range(40)))


@st.composite
def ranked_lists(draw: st.DrawFn) -> RankedList:
    """Any list: titles the model knows and others, ids that end in zeros among them."""
    uuids = draw(st.lists(st.one_of(st.integers(0, 80).map(lambda i: UUID(int=i << 8)), st.uuids()), unique=True))
    column = st.lists(st.integers(0, STEPS), min_size=len(uuids), max_size=len(uuids))
    return RankedList(
        draw(st.sampled_from(Strategy)),
        pack_ids(uuids),
        *(np.array(draw(column), dtype=np.uint16) for _ in range(3)),
        np.array(draw(st.lists(st.integers(0, 2), min_size=len(uuids), max_size=len(uuids))), dtype=np.uint8),
    )


def same(one: RankedList, other: RankedList) -> bool:
    columns = ("titles", "scores", "content", "collaborative", "sources")
    return one.strategy == other.strategy and all(
        getattr(one, c).tolist() == getattr(other, c).tolist() for c in columns
    )


def a_list(titles: list[UUID], neighbours: int = 0) -> RankedList:
    """A user's list with three preferred genres; the first `neighbours` titles have a collaborative score."""
    n, random = len(titles), np.random.default_rng(0)
    content = random.choice([0, 3333, 6667, STEPS], n).astype(np.uint16)
    collaborative = np.where(np.arange(n) < neighbours, random.integers(0, STEPS, n), 0).astype(np.uint16)
    scores = np.sort((0.4 * content + 0.6 * collaborative).astype(np.uint16))[::-1]
    return RankedList(Strategy.HYBRID, pack_ids(titles), scores, content, collaborative, np.zeros(n, dtype=np.uint8))


@given(ranked_lists(), st.sampled_from([KNOWN, None]))
def test_what_is_read_is_what_was_written(ranked: RankedList, known: IdIndex | None) -> None:
    assert same(decode(encode(ranked, known), known), ranked)


@given(st.lists(ranked_lists(), max_size=4))
def test_many_lists_in_one_value_come_back_in_order(lists: list[RankedList]) -> None:
    back = decode_many(encode_many(lists))
    assert len(back) == len(lists)
    assert all(map(same, back, lists))


@pytest.mark.parametrize("in_model", [200, 100, 0])
def test_two_hundred_titles_take_less_than_4_kb(in_model: int) -> None:
    titles = [uuid4() for _ in range(200)]
    known = IdIndex(np.sort(pack_ids(titles[:in_model] + [uuid4() for _ in range(5000)])))
    assert len(encode(a_list(titles, in_model), known)) <= 4096


@given(st.binary(max_size=200))
def test_bytes_that_are_no_list_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="ranked list"):
        decode(raw, None)


def test_a_list_that_was_cut_off_is_refused() -> None:
    raw = encode(a_list([uuid4() for _ in range(20)]), None)
    for end in range(len(raw)):
        with pytest.raises(ValueError, match="ranked list"):
            decode(raw[:end], None)


def test_a_list_of_another_model_is_refused() -> None:
    ranked = a_list([UUID(int=39 << 8)])
    with pytest.raises(ValueError, match="another model"):
        decode(encode(ranked, KNOWN), IdIndex(pack_ids([uuid4()])))
