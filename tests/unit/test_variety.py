"""Varied lists, each function beside a slow and obvious version of itself."""

from __future__ import annotations

import math
from collections import Counter
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from shared.catalogue import Catalogue, Listed, Popularity
from shared.ids import IdArray, pack_ids
from shared.model import Model
from shared.snapshot import Snapshot
from shared.variety import capped, diversify, drawn, explored, genre_similarity, similarity
from tests.genres import masks
from tests.models import model_of

USER = UUID(int=7).bytes


def ids(*numbers: int) -> IdArray:
    return pack_ids(UUID(int=number + 1) for number in numbers)


def catalogue(genres: list[set[str]]) -> Catalogue:
    """Titles 0 .. n-1 with these genres; their indices are their numbers."""
    names = sorted({name for some in genres for name in some})
    titles = {name: ids(*(i for i, some in enumerate(genres) if name in some)) for name in names}
    return Catalogue.build(Listed.ids_only(ids(*range(len(genres)))), titles, Popularity.unknown())


def model(neighbours: list[list[float]], titles: list[int] | None = None) -> Model:
    """A model of titles 0 .. m-1, or of these, with these neighbours."""
    return model_of(sparse.csr_array(np.array(neighbours, dtype=np.float32)), ids(*(titles or range(len(neighbours)))))


class TestSimilarity:
    def test_genres_count_by_how_many_are_common_of_those_either_has(self) -> None:
        snapshot = Snapshot.join(catalogue([{"a", "b"}, {"b", "c"}, {"a", "b"}, set(), set()]), None)
        assert similarity(np.arange(5), snapshot, 0.4).tolist() == [
            [1, 1 / 3, 1, 0, 0],
            [1 / 3, 1, 1 / 3, 0, 0],
            [1, 1 / 3, 1, 0, 0],
            [0, 0, 0, 1, 0],
            [0, 0, 0, 0, 1],
        ]

    def test_neighbours_count_against_the_strongest_one_and_the_nearer_direction_holds(self) -> None:
        neighbours = [[0, 8, 4], [1, 0, 0], [1, 2, 0]]
        snapshot = Snapshot.join(catalogue([{"a"}, {"b"}, {"c"}]), model(neighbours))
        assert similarity(np.arange(3), snapshot, 0.0).tolist() == [[1, 1, 0.5], [1, 1, 1], [0.5, 1, 1]]

    def test_the_strongest_neighbour_need_not_be_listed(self) -> None:
        snapshot = Snapshot.join(catalogue([{"a"}, {"b"}, {"c"}]), model([[0, 8, 4], [0, 0, 0], [0, 0, 0]]))
        assert similarity(np.array([2, 0]), snapshot, 0.0).tolist() == [[1, 0.5], [0.5, 1]]

    def test_the_two_are_weighed(self) -> None:
        snapshot = Snapshot.join(catalogue([{"a"}, {"a", "b"}]), model([[0, 1], [0, 0]]))
        assert similarity(np.arange(2), snapshot, 0.4)[0, 1] == pytest.approx(0.4 * 0.5 + 0.6 * 1)

    def test_a_title_the_model_does_not_know_has_its_genres_only(self) -> None:
        snapshot = Snapshot.join(catalogue([{"a"}, {"a", "b"}, {"c"}]), model([[0, 1], [1, 0]], titles=[0, 2]))
        assert similarity(np.arange(3), snapshot, 0.4)[0, 1] == 0.5

    def test_a_title_without_genres_has_its_neighbours_only(self) -> None:
        snapshot = Snapshot.join(catalogue([{"a"}, set()]), model([[0, 1], [1, 0]]))
        assert similarity(np.arange(2), snapshot, 0.4)[0, 1] == 1

    def test_what_speaks_against_a_title_does_not_make_it_similar(self) -> None:
        snapshot = Snapshot.join(catalogue([set()] * 3), model([[0, -1, 2], [-1, 0, 0], [-1, -2, 0]]))
        assert similarity(np.arange(3), snapshot, 0.4).tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]

    def test_of_no_titles_it_is_empty(self) -> None:
        snapshot = Snapshot.join(catalogue([{"a"}]), model([[0]]))
        assert similarity(np.empty(0, dtype=np.int64), snapshot, 0.4).shape == (0, 0)

    @settings(max_examples=100, deadline=None)
    @given(st.data(), st.integers(1, 7), st.floats(0, 1))
    def test_it_is_what_the_definition_says(self, data: st.DataObject, n: int, weight: float) -> None:
        genres = data.draw(st.lists(st.sets(st.sampled_from("abc")), min_size=n, max_size=n))
        known = data.draw(st.lists(st.integers(0, n), unique=True, min_size=1).map(sorted))  # n: not in the catalogue
        row = st.lists(st.integers(-2, 5), min_size=len(known), max_size=len(known))
        neighbours = data.draw(st.lists(row, min_size=len(known), max_size=len(known)))
        listed = data.draw(st.permutations(range(n)))[: data.draw(st.integers(1, n))]
        snapshot = Snapshot.join(catalogue(genres), model(neighbours, known))

        def relative(i: int, j: int) -> float:
            mine = neighbours[known.index(i)]
            return max(0.0, mine[known.index(j)] / max(mine)) if max(mine) > 0 else 0.0

        def expected(i: int, j: int) -> float:
            if i == j:
                return 1.0
            by_genre = len(genres[i] & genres[j]) / len(genres[i] | genres[j]) if genres[i] | genres[j] else 0.0
            if i not in known or j not in known:
                return by_genre
            by_neighbour = max(relative(i, j), relative(j, i))
            return weight * by_genre + (1 - weight) * by_neighbour if genres[i] and genres[j] else by_neighbour

        found = similarity(np.array(listed), snapshot, weight)
        np.testing.assert_allclose(found, [[expected(i, j) for j in listed] for i in listed], rtol=1e-6)
        assert found.min() >= 0 and found.max() <= 1


def test_genres_in_several_words_are_compared_as_one_set() -> None:
    alike = genre_similarity(masks([{0, 64, 129}, {64, 129, 130}], words=3))
    assert alike.tolist() == [[1, 0.5], [0.5, 1]]


def test_several_lists_are_compared_at_once() -> None:
    both = [masks([{0}, {0, 1}, set()]), masks([{5}, {6}, {5, 6}])]
    assert genre_similarity(np.stack(both)).tolist() == [genre_similarity(one).tolist() for one in both]


class TestDiversity:
    def test_at_0_the_order_is_the_one_given_even_if_scores_rise(self) -> None:
        assert diversify(np.array([0.1, 0.9, 0.5]), np.ones((3, 3)), 0).tolist() == [0, 1, 2]

    def test_a_title_like_the_first_gives_way_to_another_kind(self) -> None:
        alike = np.array([[1, 0.9, 0.1], [0.9, 1, 0], [0.1, 0, 1]])
        assert diversify(np.array([1, 0.9, 0.8]), alike, 0.5).tolist() == [0, 2, 1]
        assert diversify(np.array([1, 0.9, 0.8]), alike, 0.1).tolist() == [0, 1, 2]

    def test_at_1_scores_do_not_count_beyond_the_order(self) -> None:
        alike = np.array([[1, 0.5, 0.2, 0.2], [0.5, 1, 0, 0], [0.2, 0, 1, 0], [0.2, 0, 0, 1]])
        assert diversify(np.array([1, 0.9, 0.5, 0.4]), alike, 1).tolist() == [0, 2, 3, 1]

    @settings(max_examples=100, deadline=None)
    @given(st.integers(0, 12), st.integers(0, 2**20), st.floats(0, 1, exclude_min=True))
    def test_each_place_goes_to_the_best_of_the_rest(self, n: int, seed: int, diversity: float) -> None:
        draw = np.random.default_rng(seed)
        scores = np.sort(draw.integers(0, 5, n) / 4)[::-1]
        alike = draw.integers(0, 5, (n, n)) / 4
        alike = np.maximum(alike, alike.T)
        order: list[int] = []
        while len(order) < n:

            def value(i: int) -> float:
                nearest = max((diversity * alike[i, j] for j in order), default=0.0)
                return (1 - diversity) * scores[i] - nearest

            order.append(max((i for i in range(n) if i not in order), key=value))
        assert diversify(scores, alike, diversity).tolist() == order


class TestCap:
    def test_no_genre_has_more_titles_than_it_may(self) -> None:
        listed = masks([{0}, {0, 1}, {0}, {1}, {1}, {2}, set(), {0, 2}, set()])
        assert capped(listed, 2, 9).tolist() == [0, 1, 3, 5, 6, 8]
        assert capped(listed, 2, 4).tolist() == [0, 1, 3, 5]

    def test_titles_that_are_in_the_list_anyway_count(self) -> None:
        assert capped(masks([{0}, {0}, {1}, {1}, {2}]), 2, 9, beside=masks([{0}, {1, 3}, {1}, {1}])).tolist() == [0, 4]

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(st.sets(st.integers(0, 140), max_size=4), max_size=8),
        st.integers(0, 2**20), st.integers(0, 400), st.integers(2, 141), st.integers(1, 9), st.integers(0, 450),
    )  # fmt: skip
    def test_it_is_the_walk_it_stands_for(
        self, beside: list[set[int]], seed: int, n: int, genres: int, most: int, depth: int
    ) -> None:
        draw = np.random.default_rng(seed)
        listed = [set(draw.integers(0, genres, draw.integers(0, 4)).tolist()) for _ in range(n)]
        counts = Counter(genre for some in beside for genre in some)
        kept: list[int] = []
        for place, mine in enumerate(listed):
            if len(kept) < depth and all(counts[genre] < most for genre in mine):
                kept.append(place)
                counts.update(mine)
        assert capped(masks(listed, 3), most, depth, beside=masks(beside, 3)).tolist() == kept


class TestDraw:
    def test_the_same_seed_and_user_draw_the_same_titles_anywhere(self) -> None:
        assert drawn(ids(*range(100)), 5, seed=3, user=USER).tolist() == [41, 98, 87, 31, 24]

    def test_another_user_and_another_seed_draw_others(self) -> None:
        draws = {
            tuple(drawn(ids(*range(100)), 5, seed=seed, user=UUID(int=user).bytes).tolist())
            for seed in range(20)
            for user in range(20)
        }
        assert len(draws) == 400

    def test_fewer_titles_are_the_first_of_more(self) -> None:
        everything = drawn(ids(*range(50)), 50, seed=1, user=USER).tolist()
        assert sorted(everything) == list(range(50))
        for most in (0, 1, 7, 49, 60):
            assert drawn(ids(*range(50)), most, seed=1, user=USER).tolist() == everything[:most]

    def test_a_title_that_comes_leaves_the_others_in_their_order(self) -> None:
        before = drawn(ids(*range(30)), 30, seed=1, user=USER).tolist()
        after = drawn(ids(*range(31)), 31, seed=1, user=USER).tolist()
        assert [place for place in after if place != 30] == before

    def test_every_title_is_as_likely_in_every_place(self) -> None:
        firsts = Counter(drawn(ids(*range(10)), 1, seed=seed, user=USER).item() for seed in range(4000))
        assert len(firsts) == 10
        assert sum((count - 400) ** 2 / 400 for count in firsts.values()) < 33.7  # chi-squared, 9 degrees, p = .0001

    def test_nothing_is_drawn_of_nothing(self) -> None:
        assert drawn(ids(), 5, seed=1, user=USER).tolist() == []


class TestExploration:
    LISTED = np.arange(100, 120)
    NEW = np.arange(20)

    @pytest.mark.parametrize("share", [0, 0.01, 0.05, 0.1, 0.29, 0.3, 1 / 3, 0.5, 0.7, 0.99, 1])
    def test_every_beginning_of_the_list_holds_its_share(self, share: float) -> None:
        titles, places = explored(np.arange(1000, 1100), np.arange(100), share, 100)
        for length in range(101):
            assert (places[:length] < 0).sum() == math.floor(round(share * length, 6))
        assert titles[places < 0].tolist() == list(range((places < 0).sum()))
        assert titles[places >= 0].tolist() == list(range(1000, 1000 + (places >= 0).sum()))
        assert places[places >= 0].tolist() == list(range((places >= 0).sum()))

    def test_the_first_place_is_not_given_away_unless_all_are(self) -> None:
        assert explored(self.LISTED, self.NEW, 0.99, 20)[1][:3].tolist() == [0, -1, -1]
        assert explored(self.LISTED, self.NEW, 1, 20)[1].tolist() == [-1] * 20

    def test_without_enough_new_titles_the_rest_is_the_ordinary_list(self) -> None:
        titles, places = explored(self.LISTED, self.NEW[:2], 0.5, 8)
        assert titles.tolist() == [100, 0, 101, 1, 102, 103, 104, 105]
        assert places.tolist() == [0, -1, 1, -1, 2, 3, 4, 5]

    def test_a_short_list_is_filled_up_with_new_titles(self) -> None:
        assert explored(self.LISTED[:2], self.NEW, 0.25, 6)[0].tolist() == [100, 101, 0, 1, 2, 3]

    def test_a_title_that_is_both_is_shown_once_where_it_comes_first(self) -> None:
        titles, places = explored(np.array([5, 6, 7, 8]), np.array([8, 5, 9]), 0.5, 9)
        assert titles.tolist() == [5, 8, 6, 9, 7]
        assert places.tolist() == [0, -1, 1, -1, 2]

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(st.integers(0, 15), unique=True, max_size=12), st.lists(st.integers(0, 15), unique=True, max_size=12),
        st.floats(0, 1), st.integers(0, 20),
    )  # fmt: skip
    def test_no_title_is_repeated_or_lost(self, listed: list[int], new: list[int], share: float, depth: int) -> None:
        titles, places = explored(np.array(listed, dtype=np.int64), np.array(new, dtype=np.int64), share, depth)
        assert len(set(titles.tolist())) == len(titles) == min(depth, len({*listed, *new}))
        for title, place in zip(titles.tolist(), places.tolist(), strict=True):
            assert title in new if place < 0 else listed[place] == title
