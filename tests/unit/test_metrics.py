"""How good ranked lists are."""

from __future__ import annotations

from itertools import combinations
from math import isnan, log2
from statistics import mean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from tests.genres import masks
from worker.training.metrics import Truth, coverage, interval, intervals, per_user, ratio

TITLES = 12
KS = (1, 3, 5, 10)
NAN = float("nan")


def truth(
    relevant: list[set[int]],
    disliked: list[set[int]] | None = None,
    popularity: list[float] | None = None,
    users: int = 10,
    history_popularity: list[float] | None = None,
    titles: int = TITLES,
    genres: list[set[int]] | None = None,
) -> Truth:
    def matrix(of_users: list[set[int]]) -> sparse.csr_array:
        dense = np.zeros((len(of_users), titles))
        for user, some in enumerate(of_users):
            dense[user, sorted(some)] = 1
        return sparse.csr_array(dense)

    return Truth(
        relevant=matrix(relevant),
        disliked=matrix(disliked or [set()] * len(relevant)),
        genres=masks(genres or [set()] * titles, words=2),
        popularity=np.array(popularity if popularity is not None else [1.0] * titles),
        users=users,
        history_popularity=np.array(history_popularity or [1.0] * len(relevant)),
    )


def lists(*rows: list[int], depth: int = max(KS)) -> np.ndarray:
    return np.array([row + [-1] * (depth - len(row)) for row in rows])


def metric(name: str, row: list[int], liked: set[int], **known: object) -> float:
    """Of one user's list."""
    return float(per_user(lists(row), truth([liked], **known), KS)[name][0])


def obvious(row: list[int], user: int, known: Truth, k: int) -> dict[str, float]:
    """As the docstring of metrics.py says it."""
    wanted = set(np.flatnonzero(known.relevant.toarray()[user]).tolist())
    unwanted = set(np.flatnonzero(known.disliked.toarray()[user]).tolist())
    shown = [title for title in row[:k] if title >= 0]
    places = [place for place, title in enumerate(shown, 1) if title in wanted]
    ideal = sum(1 / log2(place + 1) for place in range(1, min(k, len(wanted)) + 1))
    bits = [-log2(max(known.popularity[title], 0.5) / known.users) for title in shown]
    usual = known.history_popularity[user]
    own = [{bit for bit in range(128) if int(known.genres[title][bit // 64]) >> bit % 64 & 1} for title in shown]
    unlike = [1 - len(one & other) / len(one | other) for one, other in combinations(filter(None, own), 2)]
    lift = mean(known.popularity[title] for title in shown) / usual - 1 if shown and usual > 0 else NAN
    return {
        f"recall@{k}": len(places) / len(wanted),
        f"capped_recall@{k}": len(places) / min(k, len(wanted)),
        f"ndcg@{k}": sum(1 / log2(place + 1) for place in places) / ideal,
        f"mrr@{k}": 1 / places[0] if places else 0.0,
        f"disliked@{k}": len(unwanted & set(shown)) / len(unwanted) if unwanted else NAN,
        f"novelty@{k}": mean(bits) if bits else NAN,
        f"popularity_bias@{k}": lift,
        f"ild@{k}": mean(unlike) if unlike else NAN,
    }


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, Truth]:
    users = draw(st.integers(1, 5))
    titles = st.sets(st.integers(0, TITLES - 1))
    known = truth(
        [draw(titles.filter(bool)) for _ in range(users)],
        [draw(titles) for _ in range(users)],
        draw(st.lists(st.sampled_from([0.0, 1.0, 3.0, 9.0]), min_size=TITLES, max_size=TITLES)),
        draw(st.integers(9, 20)),
        draw(st.lists(st.sampled_from([NAN, 0.0, 1.0, 2.5]), min_size=users, max_size=users)),
        genres=draw(st.lists(st.sets(st.sampled_from([0, 1, 63, 64, 99])), min_size=TITLES, max_size=TITLES)),
    )
    rows = [draw(st.permutations(range(TITLES)))[: draw(st.integers(0, max(KS)))] for _ in range(users)]
    return lists(*rows), known


@settings(max_examples=50, deadline=None)
@given(cases())
def test_each_metric_is_what_it_says(case: tuple[np.ndarray, Truth]) -> None:
    rows, known = case
    found = per_user(rows, known, KS)
    for user, row in enumerate(rows.tolist()):
        for k in KS:
            for name, value in obvious(row, user, known, k).items():
                assert found[name][user] == pytest.approx(value, nan_ok=True), name


class TestByHand:
    def test_an_ideal_list_has_an_ndcg_of_one(self) -> None:
        assert metric("ndcg@5", [4, 2, 7, 0, 1], {2, 4, 7}) == 1
        assert metric("ndcg@3", [4, 2, 7], {2, 4, 7, 8, 9}) == 1

    def test_a_single_hit_at_place_three_is_worth_half(self) -> None:
        assert metric("ndcg@5", [0, 1, 9], {9}) == 0.5
        assert metric("ndcg@1", [0, 1, 9], {9}) == 0
        assert metric("mrr@5", [0, 1, 9], {9}) == pytest.approx(1 / 3)

    def test_one_hit_of_four_recalls_a_quarter_and_the_half_of_what_two_places_hold(self) -> None:
        assert metric("recall@3", [9, 0, 1], {9, 8, 7, 6}) == 0.25
        assert metric("capped_recall@3", [9, 0, 1], {9, 8}) == 0.5
        assert metric("capped_recall@1", [9, 0, 1], {9, 8}) == 1

    def test_a_list_without_a_hit_is_worth_nothing(self) -> None:
        assert {metric(f"{name}@10", [0, 1], {9}) for name in ("recall", "capped_recall", "ndcg", "mrr")} == {0}

    def test_a_title_of_half_the_users_is_news_of_one_bit_and_one_nobody_likes_counts_as_half_a_user(self) -> None:
        assert metric("novelty@1", [0], {9}, popularity=[5.0] * TITLES, users=10) == 1
        assert metric("novelty@1", [0], {9}, popularity=[0.0] * TITLES, users=8) == 4

    def test_titles_twice_as_popular_as_the_history_have_a_bias_of_one(self) -> None:
        assert metric("popularity_bias@3", [0, 1], {9}, popularity=[6.0] * TITLES, history_popularity=[3.0]) == 1

    def test_titles_that_share_one_of_three_genres_are_two_thirds_unlike(self) -> None:
        genres = [{0, 1}, {1, 2}, {0, 1}, set(), *[{5}] * 8]
        assert metric("ild@3", [0, 1], {9}, genres=genres) == pytest.approx(2 / 3)
        assert metric("ild@3", [0, 2], {9}, genres=genres) == 0
        assert metric("ild@3", [0, 3, 4], {9}, genres=genres) == 1  # nothing is known of title 3
        assert metric("ild@3", [0, 1, 2, 4], {9}, genres=genres) == pytest.approx((2 / 3 + 0 + 2 / 3) / 3)

    def test_all_disliked_titles_in_the_list_are_the_worst_there_is(self) -> None:
        assert metric("disliked@3", [5, 0, 6], {9}, disliked=[{5, 6}]) == 1
        assert metric("disliked@1", [5, 0, 6], {9}, disliked=[{5, 6}]) == 0.5

    def test_coverage_is_the_share_of_the_catalogue_that_anybody_is_shown(self) -> None:
        found = intervals(lists([0, 1, 2], [2, 3]), truth([{1}, {1}], titles=8), seed=0, ks=(1, 3))
        assert found["coverage@1"].value == 2 / 8
        assert found["coverage@3"].value == 4 / 8


NOT_APPLICABLE = {
    "dislikes, of a user without any": ("disliked@5", [0, 1], {}),
    "diversity of a single title": ("ild@5", [0], {"genres": [{1}] * TITLES}),
    "diversity of titles without genres": ("ild@5", [0, 1, 2], {}),
    "novelty of an empty list": ("novelty@5", [], {}),
    "popularity of an empty list": ("popularity_bias@5", [], {}),
    "popularity, for a user without history": ("popularity_bias@5", [0], {"history_popularity": [NAN]}),
    "popularity, after a history that nobody else likes": ("popularity_bias@5", [0], {"history_popularity": [0.0]}),
}


@pytest.mark.parametrize(("name", "row", "known"), NOT_APPLICABLE.values(), ids=NOT_APPLICABLE.keys())
def test_a_metric_that_does_not_apply_to_a_user_is_no_number(name: str, row: list[int], known: dict) -> None:
    assert isnan(metric(name, row, {9}, **known))


class TestIntervals:
    def drawn(self, users: int) -> tuple[np.ndarray, Truth]:
        draw = np.random.default_rng(users)
        rows = np.array([draw.permutation(TITLES)[: max(KS)] for _ in range(users)])
        liked, disliked = ([set(draw.choice(TITLES, 2).tolist()) for _ in range(users)] for _ in range(2))
        disliked = [some if user % 3 else set() for user, some in enumerate(disliked)]
        popularity = draw.integers(1, 9, TITLES).astype(float).tolist()
        genres = [set(draw.integers(0, 4, 2).tolist()) for _ in range(TITLES)]
        return rows, truth(liked, disliked, popularity, users, draw.uniform(1, 9, users).tolist(), genres=genres)

    @pytest.mark.parametrize("users", [1, 2, 7, 100])
    def test_they_contain_the_value_and_are_numbers(self, users: int) -> None:
        found = intervals(*self.drawn(users), seed=1, ks=KS)
        assert all(figure.low <= figure.value <= figure.high for figure in found.values())

    def test_values_are_the_means_over_the_users_a_metric_applies_to(self) -> None:
        rows, known = self.drawn(50)
        found = intervals(rows, known, seed=1, ks=KS)
        values = per_user(rows, known, KS)
        assert set(values) - set(found) == {"ild@1"}  # a title alone is unlike no other
        for name in set(values) & set(found):
            assert found[name].value == pytest.approx(np.nanmean(values[name]))

    @pytest.mark.parametrize("name", ["ndcg@5", "disliked@5", "novelty@3", "popularity_bias@10", "coverage@1", "ild@5"])
    def test_they_shrink_with_more_users(self, name: str) -> None:
        few, many = (intervals(*self.drawn(users), seed=1, ks=KS)[name] for users in (20, 2000))
        assert many.high - many.low < 0.5 * (few.high - few.low)

    def test_they_are_about_as_wide_as_the_normal_approximation(self) -> None:
        rows, known = self.drawn(400)
        found, values = intervals(rows, known, seed=1, ks=KS)["ndcg@5"], per_user(rows, known, KS)["ndcg@5"]
        assert (found.high - found.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.15)

    def test_the_same_seed_gives_the_same_and_another_others(self) -> None:
        rows, known = self.drawn(50)
        first, again, other = (intervals(rows, known, seed=seed, ks=KS) for seed in (1, 1, 2))
        assert first == again
        assert first["ndcg@5"] != other["ndcg@5"]

    def test_users_of_whom_a_metric_says_nothing_do_not_widen_it(self) -> None:
        """One user of thirty disliked anything: no resample may count the others as if they had."""
        rows, known = lists(*([[0, 1]] * 30)), truth([{9}] * 30, [{0}, *([set()] * 29)])
        found = intervals(rows, known, seed=1, ks=KS)["disliked@5"]
        assert (found.low, found.value, found.high) == (1, 1, 1)

    def test_a_metric_that_applies_to_nobody_is_left_out(self) -> None:
        found = intervals(lists([0], [1]), truth([{9}, {9}], history_popularity=[NAN, NAN]), seed=1, ks=(1,))
        assert set(found) == {f"{name}@1" for name in ("recall", "capped_recall", "ndcg", "mrr", "novelty", "coverage")}

    def test_the_interval_of_one_metric_is_the_same_way_made(self) -> None:
        rows, known = self.drawn(50)
        values = per_user(rows, known, KS)["ndcg@5"]
        one, among = interval(values, seed=1), intervals(rows, known, seed=1, ks=KS)["ndcg@5"]
        assert one.model_dump() == pytest.approx(among.model_dump())

    def test_of_two_metrics_of_the_same_users_the_ratio_is_surer_than_either(self) -> None:
        draw = np.random.default_rng(1)
        others = draw.uniform(0, 1, 400)
        values = 0.9 * others + draw.uniform(-0.02, 0.02, 400)
        found, alone = ratio(values, others, seed=1), interval(values, seed=1)
        assert found.value == pytest.approx(values.mean() / others.mean())
        assert 0.89 < found.low < found.value < found.high < 0.91
        assert found.high - found.low < 0.1 * (alone.high - alone.low) / alone.value


def test_coverage_counts_each_title_once_and_no_ended_list() -> None:
    assert coverage(lists([0, 1, 2], [2]), truth([{1}, {1}], titles=8), 3) == 3 / 8
