"""Interactions as training sees them: settled, with strengths, in order, and how popular titles are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.ids import pack_ids
from shared.media import Kind
from shared.strengths import Strengths
from tests.interactions import DAY, STRENGTHS, interactions, likes, numbers, table, uid
from worker.training.coded_rows import CodedRows, Parts, dense
from worker.training.interactions import Interactions

LIKE, WATCH, DISLIKE, OTHER = Kind.LIKE, Kind.WATCH, Kind.DISLIKE, Kind.OTHER


class TestHistories:
    def test_likes_and_watches_have_their_strengths_and_titles_that_nobody_likes_are_left_out(self) -> None:
        read = interactions((1, 7, LIKE, 0), (2, 7, WATCH, 0), (2, 8, DISLIKE, 0), (2, 5, OTHER, 0), (1, 9, LIKE, 0))
        histories = read.histories()
        assert numbers(histories.title_ids) == [7, 9]
        assert histories.matrix.toarray().tolist() == [[1, 1], [0.5, 0]]

    def test_a_watch_of_no_strength_is_not_learnt_from(self) -> None:
        found = [(1, 7, LIKE, 0), (1, 8, WATCH, 0)]
        assert numbers(interactions(*found, strengths=Strengths(1, 0, 0)).histories().title_ids) == [7]

    def test_a_user_without_likes_has_an_empty_row(self) -> None:
        matrix = interactions((1, 7, LIKE, 0), (2, 7, DISLIKE, 0), (3, 7, LIKE, 0)).histories().matrix
        assert matrix.toarray().tolist() == [[1], [0], [1]]

    def test_places_count_from_a_users_oldest_and_what_has_no_time_comes_first(self) -> None:
        histories = interactions(
            (1, 5, LIKE, 30), (1, 6, LIKE, 10), (1, 7, DISLIKE, 5), (1, 8, WATCH, None), (2, 6, LIKE, 40)
        ).histories()
        assert numbers(histories.title_ids) == [5, 6, 8]
        assert histories.places.tolist() == [2, 1, 0, 0]

    def test_of_two_at_the_same_time_the_smaller_id_of_the_table_is_older(self) -> None:
        assert interactions((1, 9, LIKE, 5), (1, 6, LIKE, 5)).histories().places.tolist() == [1, 0]

    def test_degrees_count_titles_and_users_and_are_at_least_one(self) -> None:
        histories = interactions((1, 7, WATCH, 0), (2, 7, LIKE, 0), (2, 8, LIKE, 0), (3, 8, DISLIKE, 0)).histories()
        assert histories.title_degree.tolist() == [2, 1]
        assert histories.user_degree.tolist() == [1, 2, 1]

    @settings(max_examples=20, deadline=None)
    @given(st.randoms(use_true_random=False))
    def test_the_order_of_the_rows_does_not_matter(self, random: object) -> None:
        found = [(u, t, kind, time) for u in range(3) for t, kind, time in ((1, LIKE, 5), (1, WATCH, 9), (2, WATCH, 7))]
        shuffled = table(*found)
        order = list(range(len(found)))
        random.shuffle(order)
        shuffled = type(shuffled)(*(getattr(shuffled, name)[order] for name in shuffled.__dataclass_fields__))
        one, other = interactions(*found), Interactions.of(CodedRows.of(shuffled), STRENGTHS)
        for name in ("users", "titles", "kinds", "times", "rows", "strengths"):
            assert getattr(one, name).tolist() == getattr(other, name).tolist()

    def test_as_rows_of_the_table_they_are_what_they_were(self) -> None:
        read = interactions((2, 8, LIKE, 3), (1, 7, WATCH, None))
        again = Interactions.of(CodedRows.of(read.found()), STRENGTHS)
        for name in ("users", "titles", "kinds", "times", "rows", "strengths", "user_ids", "title_ids"):
            assert getattr(again, name).tolist() == getattr(read, name).tolist()


ORDERED = {
    "all times are known": ([1, 2, 3], True),
    "most are": ([1, 2, None], True),
    "half are": ([1, None], False),
    "none is": ([None, None], False),
    "there is nothing": ([], False),
}


@pytest.mark.parametrize(("times", "ordered"), ORDERED.values(), ids=ORDERED.keys())
def test_it_is_known_what_came_first_where_most_times_are(times: list[int | None], ordered: bool) -> None:
    assert interactions(*((1, title, LIKE, time) for title, time in enumerate(times))).ordered is ordered


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=16, max_size=16).filter(lambda raw: raw != bytes(16)), max_size=30))
def test_dense_numbers_ids_as_sorting_them_does(raw: list[bytes]) -> None:
    ids = np.array(raw * 2, dtype="S16")
    distinct, places = dense(ids)
    expected, there = np.unique(ids, return_inverse=True)
    assert distinct.tolist() == expected.tolist()
    assert places.tolist() == there.tolist()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans(), st.integers(0, 3)), max_size=40))
def test_rows_that_come_in_parts_are_as_if_they_had_come_at_once(found: list[tuple[int, int, bool, int]]) -> None:
    rows = [(user, title, LIKE, None) for user, title, _, _ in found]
    kept = np.array([row[2] for row in found], dtype=np.bool_)
    whole = CodedRows.of(table(*rows))
    parts = Parts()
    for part in range(4):
        parts.add(whole, kept & (np.array([row[3] for row in found], dtype=np.int64) == part))
    joined = parts.joined()
    order = np.argsort(joined.rows)
    assert joined.rows[order].tolist() == np.flatnonzero(kept).tolist()
    for ids, places in (("user_ids", "users"), ("title_ids", "titles")):
        mine = getattr(joined, ids)[getattr(joined, places)[order]]
        assert mine.tolist() == getattr(whole, ids)[getattr(whole, places)[kept]].tolist()
        assert getattr(joined, ids).tolist() == np.unique(mine).tolist(), "sorted, distinct, and none without a row"


class TestPopularity:
    def of(self, *found: tuple, half_life: float = 10, now: float = 99) -> dict[int, float]:
        read = interactions(*found)
        popularity = read.popularity(half_life_days=half_life, now=int(now * DAY))
        return dict(zip(numbers(read.title_ids), popularity.tolist(), strict=True))

    def test_it_halves_with_each_half_life_and_an_unknown_age_is_the_oldests(self) -> None:
        found = [(1, 7, LIKE, 20 * DAY), (2, 8, LIKE, 10 * DAY), (3, 9, LIKE, 0), (4, 6, LIKE, None)]
        assert self.of(*found) == {7: 1, 8: 0.5, 9: 0.25, 6: 0.25}

    def test_without_any_time_it_counts_users(self) -> None:
        assert self.of((1, 7, LIKE, None), (2, 7, LIKE, None), (2, 8, LIKE, None)) == {7: 2, 8: 1}

    def test_likes_and_watches_count_alike_and_nothing_else_does(self) -> None:
        found = [(1, 7, LIKE, 0), (2, 7, WATCH, 0), (3, 7, DISLIKE, 0), (4, 7, OTHER, 0), (5, 8, DISLIKE, 0)]
        assert self.of(*found) == {7: 2, 8: 0}

    def test_a_time_in_the_future_makes_nothing_else_old(self) -> None:
        assert self.of((1, 7, LIKE, 500 * DAY), (2, 8, LIKE, 10 * DAY), (3, 9, LIKE, 0), now=50) == {7: 1, 8: 1, 9: 0.5}

    def test_a_user_counts_once_for_a_title(self) -> None:
        assert self.of((1, 7, WATCH, 0), (1, 7, LIKE, 0), (1, 7, WATCH, 0)) == {7: 1}

    def test_titles_are_those_of_the_interactions_whatever_part_is_looked_at(self) -> None:
        read = likes([1, 2], [2, 3])
        first = read.part(read.users == 0)
        assert first.popularity(half_life_days=1e9, now=99 * DAY).round(3).tolist() == [1, 1, 0]
        assert read.title_ids.tolist() == pack_ids(map(uid, (1, 2, 3))).tolist()
