"""Which titles pass a filter, and that a filtered list is the list of a catalogue that holds nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.catalogue import MOST_MEDIA_TYPES, Catalogue, Listed, Popularity
from shared.filters import passing
from shared.ids import id_array, pack_ids, to_uuids
from shared.media import name_key
from shared.options import Filters, ListOptions
from shared.scorer import Weights, rank
from shared.snapshot import Snapshot
from tests.unit.test_scorer import model, numbers, taste, title

GENRES, TYPES = ("comedy", "drama", "war"), ("movie", "series")


def catalogue(titles: list[dict[str, Any]]) -> Catalogue:
    """Titles 0 .. n-1, each with genres, media_type and year (0: not known), the first the most popular."""
    ids = [title(i) for i in range(len(titles))]
    listed = Listed.by_media_type(
        [
            (kind, pack_ids(ids[i] for i in of_kind), np.array([titles[i]["year"] for i in of_kind], dtype=np.int32))
            for kind in sorted({one["media_type"] for one in titles}, key=str)
            if (of_kind := [i for i, one in enumerate(titles) if one["media_type"] == kind])
        ]
    )
    genres = {g: pack_ids(i for i, one in zip(ids, titles, strict=True) if g in one["genres"]) for g in GENRES}
    popularity = np.arange(len(titles), 0, -1, dtype=np.float32)
    return Catalogue.build(listed, genres, Popularity(pack_ids(ids), popularity))


def passes(one: dict[str, Any], media_id: UUID, filters: Filters) -> bool:
    """The slow and obvious way."""
    genres, year = set(one["genres"]), one["year"]
    return (
        (not filters.genres_any or bool(genres & set(filters.genres_any)))
        and genres >= set(filters.genres_all)
        and not genres & set(filters.genres_none)
        and (not filters.media_type or name_key(one["media_type"]) in filters.media_type)
        and (filters.year_from is None or (year != 0 and year >= filters.year_from))
        and (filters.year_to is None or (year != 0 and year <= filters.year_to))
        and media_id not in filters.exclude
    )


a_title = st.fixed_dictionaries(
    {
        "genres": st.frozensets(st.sampled_from(GENRES)),
        "media_type": st.sampled_from([None, "MOVIE", " movie ", "Series"]),
        "year": st.sampled_from([0, 1990, 2000, 2010]),
    }
)
names = st.frozensets(st.sampled_from((*GENRES, "polka")), max_size=2).map(lambda found: tuple(sorted(found)))
years = st.sampled_from([None, 0, 1990, 1995, 2010])
any_filters = st.builds(
    Filters,
    genres_any=names,
    genres_all=names,
    genres_none=names,
    media_type=st.frozensets(st.sampled_from((*TYPES, "song")), max_size=2).map(lambda found: tuple(sorted(found))),
    year_from=years,
    year_to=years,
    exclude=st.frozensets(st.integers(0, 14).map(title), max_size=4).map(lambda found: tuple(sorted(found))),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(a_title, max_size=12), any_filters)
def test_a_title_passes_when_every_filter_says_so(titles: list[dict[str, Any]], filters: Filters) -> None:
    known = catalogue(titles)
    expected = [passes(one, title(i), filters) for i, one in enumerate(titles)]
    assert to_uuids(known.index.ids) == [title(i) for i in range(len(titles))]
    assert passing(filters, known).tolist() == expected


def test_a_title_whose_year_is_not_known_is_in_no_range() -> None:
    known = catalogue([{"genres": (), "media_type": None, "year": year} for year in (0, 1990)])
    assert passing(Filters(year_from=0), known).tolist() == [False, True]
    assert passing(Filters(year_to=9999), known).tolist() == [False, True]


def test_more_media_types_than_any_platform_has_are_dirt_and_bounded() -> None:
    many = [(f"typo {i}", pack_ids([title(i)]), np.array([0], np.int32)) for i in range(2 * MOST_MEDIA_TYPES)]
    listed = Listed.by_media_type([*many, ("MOVIE", pack_ids(map(title, (9001, 9002))), np.zeros(2, np.int32))])
    assert len(listed.media_type_codes) == MOST_MEDIA_TYPES
    assert "movie" in listed.media_type_codes
    assert len(listed.ids) == 2 * MOST_MEDIA_TYPES + 2


@settings(max_examples=200, deadline=None)
@given(st.lists(a_title, min_size=1, max_size=12), any_filters, st.integers(0, 2**20), st.data())
def test_a_filtered_list_is_the_list_of_a_catalogue_that_holds_nothing_else(
    titles: list[dict[str, Any]], filters: Filters, seed: int, data: st.DataObject
) -> None:
    """So a narrow filter still fills its page: what does not pass takes no place in the pool."""
    known = catalogue(titles)
    neighbours = model(np.random.default_rng(seed).integers(0, 2, (6, len(titles))))
    everything = Snapshot.join(known, neighbours)
    kept = passing(filters, known)
    listed = Listed(known.index.ids[kept], known.years[kept], known.media_types[kept], known.media_type_codes)
    bits = {
        g: known.index.ids[(known.genres[:, 0] >> np.uint64(b)) & np.uint64(1) > 0] for g, b in known.genre_bits.items()
    }
    popularity = Popularity(known.index.ids, known.popularity)
    nothing_else = Snapshot.join(Catalogue.build(listed, bits, popularity), neighbours)

    likes = data.draw(st.lists(st.integers(0, len(titles) - 1), unique=True, max_size=3))
    genres = data.draw(st.frozensets(st.sampled_from(GENRES)))
    weights = Weights(pool=data.draw(st.integers(1, 6)), depth=data.draw(st.integers(1, 8)))
    options = ListOptions(filters)
    [filtered] = rank([taste(everything, likes=likes, genres=genres)], everything, weights, options)
    [expected] = rank([taste(nothing_else, likes=likes, genres=genres)], nothing_else, weights)
    assert numbers(filtered) == numbers(expected)
    assert filtered.collaborative.tolist() == expected.collaborative.tolist()
    assert filtered.content.tolist() == expected.content.tolist()
    assert filtered.exhausted == expected.exhausted == (len(filtered) < weights.depth)


def test_filters_of_one_user_leave_no_trace_in_the_next() -> None:
    """A batch of many users uses one array for what is taken."""
    known = catalogue([{"genres": {"drama"}, "media_type": "MOVIE", "year": 2000} for _ in range(8)])
    snapshot = Snapshot.join(known, model(np.eye(8, dtype=int) + np.eye(8, k=1, dtype=int)))
    tastes = [taste(snapshot, likes=[i], seen=[i, (i + 1) % 8], genres={"drama"}) for i in range(8)]
    options = ListOptions(Filters(exclude=(title(3),)))
    together = rank(tastes, snapshot, Weights(), options)
    for one, ranked in zip(tastes, together, strict=True):
        [alone] = rank([one], snapshot, Weights(), options)
        assert numbers(alone) == numbers(ranked)


class TestIncludeSeen:
    def test_what_was_seen_may_be_in_the_list_and_what_was_disliked_may_not(self) -> None:
        known = catalogue([{"genres": (), "media_type": None, "year": 0} for _ in range(4)])
        snapshot = Snapshot.join(known, model(np.ones((2, 4), dtype=int)))
        mine = replace(taste(snapshot, likes=[0, 1], seen=[2]), disliked=np.array([1]))
        [without] = rank([mine], snapshot, Weights())
        [with_seen] = rank([mine], snapshot, Weights(), ListOptions(Filters(include_seen=True)))
        assert numbers(without) == [3]
        assert sorted(numbers(with_seen)) == [0, 2, 3]


@pytest.mark.parametrize("depth", [1, 3, 50])
def test_an_empty_list_is_exhausted_and_full_ones_are_not(depth: int) -> None:
    known = catalogue([{"genres": (), "media_type": None, "year": 0} for _ in range(3)])
    snapshot = Snapshot.join(known, None)
    nothing = ListOptions(Filters(genres_any=("polka",)))
    [ranked] = rank([taste(snapshot)], snapshot, Weights(depth=depth))
    [empty] = rank([taste(snapshot)], snapshot, Weights(depth=depth), nothing)
    assert ranked.exhausted == (depth > 3)
    assert (empty.exhausted, len(empty)) == (True, 0)
    assert len(Listed.by_media_type([]).ids) == len(id_array(b""))
