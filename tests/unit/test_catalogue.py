"""Titles as arrays."""

from __future__ import annotations

from uuid import UUID

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shared.catalogue import MOST_GENRES, Catalogue, Listed, Popularity
from shared.ids import IdIndex, pack_ids, to_uuids

IDS = st.lists(st.one_of(st.integers(0, (1 << 16) - 1).map(lambda i: UUID(int=i << 112)), st.uuids()), unique=True)


@given(IDS, IDS)
def test_an_id_is_found_where_it_stands_and_nowhere_else(here: list[UUID], asked: list[UUID]) -> None:
    found = IdIndex(pack_ids(here)).find(pack_ids(asked + here))
    assert found.tolist() == [here.index(i) if i in here else -1 for i in asked + here]


@given(IDS)
def test_ids_come_back_as_they_went_in(ids: list[UUID]) -> None:
    assert to_uuids(pack_ids(ids)) == ids


def test_titles_stand_in_order_of_popularity_then_id() -> None:
    titles = [UUID(int=i) for i in (4, 2, 9, 1)]
    popularity = Popularity(pack_ids([UUID(int=9), UUID(int=2)]), np.array([1, 5], dtype=np.float32))
    catalogue = Catalogue.build(Listed.ids_only(pack_ids(titles)), {}, popularity)
    assert [i.int for i in to_uuids(catalogue.index.ids)] == [2, 9, 1, 4]
    assert catalogue.popularity.tolist() == [5, 1, 0, 0]


@given(st.lists(st.frozensets(st.integers(0, 150)), min_size=1, max_size=8), st.frozensets(st.integers(0, 160)))
def test_matches_are_the_genres_in_common(titles: list[frozenset[int]], wanted: frozenset[int]) -> None:
    """Also beyond the 64 genres of one word."""
    ids = [UUID(int=i) for i in range(len(titles))]
    genres = {f"g{g}": pack_ids(i for i, of in zip(ids, titles, strict=True) if g in of) for g in range(150)}
    catalogue = Catalogue.build(Listed.ids_only(pack_ids(ids)), genres, Popularity.unknown())
    matches = catalogue.matches(catalogue.mask(f"g{g}" for g in wanted), slice(None))
    assert matches.tolist() == [len({g for g in of if g < 150} & wanted) for of in titles]


def test_more_genres_than_any_platform_has_are_dirt_and_bounded() -> None:
    ids = pack_ids([UUID(int=1), UUID(int=2)])
    genres = {"drama": ids} | {f"typo {i}": ids[:1] for i in range(2 * MOST_GENRES)}
    catalogue = Catalogue.build(Listed.ids_only(ids), genres, Popularity.unknown())
    assert len(catalogue.genre_bits) == MOST_GENRES
    assert "drama" in catalogue.genre_bits
