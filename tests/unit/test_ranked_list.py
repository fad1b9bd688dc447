"""A list in its compact form."""

from __future__ import annotations

from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ids import IdIndex, pack_ids, to_uuids
from shared.media import Kind, Strategy
from shared.ranked_list import CAUSES, STEPS, Causes, RankedList, decode, decode_many, encode, encode_many

NAMES = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1)  # of genres
KNOWN = IdIndex(pack_ids(UUID(int=i << 8) for i in range(40)))


@st.composite
def causes(draw: st.DrawFn, n: int) -> Causes:
    """Of n titles: any of a history of up to five, or none."""
    history = draw(st.lists(st.one_of(st.integers(0, 80).map(lambda i: UUID(int=i << 8)), st.uuids()), max_size=5))
    kinds = draw(st.lists(st.sampled_from([Kind.LIKE, Kind.WATCH]), min_size=len(history), max_size=len(history)))
    rows = st.lists(st.integers(0, len(history)), min_size=CAUSES, max_size=CAUSES)
    shares = st.lists(st.integers(0, 65_535), min_size=CAUSES, max_size=CAUSES)
    return Causes(
        pack_ids(history),
        np.array(kinds, dtype=np.uint8),
        np.array(draw(st.lists(rows, min_size=n, max_size=n)), dtype=np.uint16).reshape(n, CAUSES),
        np.array(draw(st.lists(shares, min_size=n, max_size=n)), dtype=np.uint16).reshape(n, CAUSES),
    )


@st.composite
def ranked_lists(draw: st.DrawFn) -> RankedList:
    """Any list: titles the model knows and others, ids that end in zeros among them."""
    uuids = draw(st.lists(st.one_of(st.integers(0, 80).map(lambda i: UUID(int=i << 8)), st.uuids()), unique=True))
    column = st.lists(st.integers(0, STEPS), min_size=len(uuids), max_size=len(uuids))
    return RankedList(
        draw(st.sampled_from(Strategy)),
        pack_ids(uuids),
        *(np.array(draw(column), dtype=np.uint16) for _ in range(3)),
        np.array(draw(st.lists(st.integers(0, 4), min_size=len(uuids), max_size=len(uuids))), dtype=np.uint8),
        draw(causes(len(uuids))),
        frozenset(draw(st.lists(NAMES, max_size=3))),
        draw(st.booleans()),
    )


def said(ranked: RankedList) -> tuple:
    """All that a list says, whatever its form."""
    columns = ("titles", "scores", "content", "collaborative", "sources")
    named = [None, *zip(to_uuids(ranked.causes.history), ranked.causes.kinds.tolist(), strict=True)]
    return (
        *(getattr(ranked, column).tolist() for column in columns),
        [[named[place] for place in row] for row in ranked.causes.places.tolist()],
        ranked.causes.shares.tolist(),
        (ranked.strategy, ranked.genres, ranked.exhausted),
    )


def a_list(titles: list[UUID], neighbours: int = 0) -> RankedList:
    """A user's list with three preferred genres; the first `neighbours` titles have a collaborative score, owed to a
    history of twenty."""
    n, random = len(titles), np.random.default_rng(0)
    content = random.choice([0, 3333, 6667, STEPS], n).astype(np.uint16)
    collaborative = np.where(np.arange(n) < neighbours, random.integers(0, STEPS, n), 0).astype(np.uint16)
    scores = np.sort((0.4 * content + 0.6 * collaborative).astype(np.uint16))[::-1]
    places = np.argsort(random.random((n, 20)), axis=1)[:, :CAUSES] + 1
    shares = random.dirichlet(np.ones(5), n)[:, :CAUSES] * collaborative[:, None]
    causes = Causes(
        pack_ids((titles * 20)[:20]),
        np.full(20, Kind.LIKE, dtype=np.uint8),
        np.where(shares > 0, places, 0).astype(np.uint16),
        shares.astype(np.uint16),
    )
    sources = np.zeros(n, dtype=np.uint8)
    genres = frozenset({"comedy", "drama", "science fiction"})
    return RankedList(
        Strategy.HYBRID, pack_ids(titles), scores, content, collaborative, sources, causes, genres, exhausted=False
    )


@given(ranked_lists(), st.sampled_from([KNOWN, None]))
def test_what_is_read_is_what_was_written(ranked: RankedList, known: IdIndex | None) -> None:
    assert said(decode(encode(ranked, known), known)) == said(ranked)


@given(st.lists(ranked_lists(), max_size=4))
def test_many_lists_in_one_value_come_back_in_order(lists: list[RankedList]) -> None:
    assert list(map(said, decode_many(encode_many(lists)))) == list(map(said, lists))


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
    assert said(decode(encode(ranked, KNOWN), KNOWN)) == said(ranked)
    with pytest.raises(ValueError, match="another model"):
        decode(encode(ranked, KNOWN), IdIndex(pack_ids([uuid4()])))
