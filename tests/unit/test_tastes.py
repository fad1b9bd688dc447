"""From rows of engagement_db to what the scorer needs of each user."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from shared.catalogue import Catalogue, Listed, Popularity
from shared.ids import IdIndex, pack_ids
from shared.interactions import InteractionRows
from shared.media import Kind
from shared.model import Manifest, Model
from shared.scorer import Weights, rank
from shared.snapshot import Snapshot
from shared.strengths import Strengths
from shared.taste import Taste
from shared.tastes import tastes
from tests.interactions import DAY, STRENGTHS, Row, numbers, table, uid
from tests.slow_scorer import collaborative_scores

LIKE, WATCH, DISLIKE, OTHER = Kind.LIKE, Kind.WATCH, Kind.DISLIKE, Kind.OTHER
TITLES = 8


def snapshot(recency: float = 0.0, *, model: list[int] | None = None, catalogue: range = range(TITLES)) -> Snapshot:
    """Titles 0 .. 7, all in the catalogue; in the model those named, each the neighbour of the one before it."""
    known = list(range(TITLES)) if model is None else model
    ids, n = pack_ids(map(uid, known)), len(known)
    ring = sparse.csr_array((np.ones(n, dtype=np.float32), (np.arange(n), (np.arange(n) + 1) % n)), shape=(n, n))
    manifest = Manifest(
        version="v", created_at=datetime.now(UTC), estimator="test", parameters={}, recency=recency,
        users=1, titles=n, interactions=n, neighbours=n, checksums={},
    )  # fmt: skip
    titles = pack_ids(map(uid, catalogue))
    return Snapshot.join(
        Catalogue.build(Listed.ids_only(titles), {}, Popularity.unknown()),
        Model.of(IdIndex(ids), np.zeros(n), ring, manifest),
    )


def known_of(
    found: InteractionRows | None,
    joined: Snapshot,
    users: list[int],
    *,
    strengths: Strengths = STRENGTHS,
    most: int = 500,
) -> list[Taste]:
    return tastes([uid(u) for u in users], {}, found, joined, strengths=strengths, most=most)


def one(joined: Snapshot, *found: Row, **settings: object) -> Taste:
    [taste] = known_of(table(*found), joined, [1], **settings)
    return taste


def weights(taste: Taste) -> dict[int, float]:
    """By title, of a model that knows titles 0 .. 7."""
    return dict(zip(taste.history.tolist(), taste.weights.astype(float).round(5).tolist(), strict=True))


def seen(joined: Snapshot, taste: Taste) -> list[int]:
    return sorted(numbers(joined.catalogue.index.ids[taste.seen]))


class TestWeights:
    def test_each_kind_weighs_its_strength_and_a_dislike_less_than_nothing(self) -> None:
        taste = one(snapshot(), (1, 0, LIKE, 1), (1, 1, WATCH, 2), (1, 2, DISLIKE, 3), (1, 3, OTHER, 4))
        assert weights(taste) == {0: 1, 1: 0.5, 2: -0.2}

    def test_an_entry_fades_with_its_rank_among_those_that_say_something(self) -> None:
        taste = one(snapshot(recency=1), (1, 0, LIKE, 1), (1, 5, LIKE, 3), (1, 3, OTHER, 4), (1, 2, LIKE, 2))
        assert weights(taste) == {5: 1, 2: 0.5, 0: 0.33333}

    def test_an_entry_without_a_time_is_the_oldest(self) -> None:
        assert weights(one(snapshot(recency=1), (1, 0, LIKE, None), (1, 1, LIKE, 1))) == {1: 1, 0: 0.5}

    def test_with_a_half_life_age_counts_too(self) -> None:
        strengths = Strengths(1, 0.5, -0.2, half_life_days=10)
        taste = one(snapshot(), (1, 0, LIKE, 0), (1, 1, LIKE, 10 * DAY), strengths=strengths)
        assert weights(taste) == {1: 1, 0: 0.5}

    def test_only_the_newest_are_scored_from_and_everything_is_seen(self) -> None:
        joined = snapshot()
        taste = one(joined, *((1, title, LIKE, title) for title in range(6)), most=2)
        assert weights(taste) == {4: 1, 5: 1}
        assert seen(joined, taste) == [0, 1, 2, 3, 4, 5]

    def test_a_kind_of_no_strength_takes_no_place_among_the_newest(self) -> None:
        found = [(1, 0, LIKE, 1), (1, 1, LIKE, 2), (1, 2, WATCH, 3), (1, 3, OTHER, 4)]
        assert weights(one(snapshot(), *found, strengths=Strengths(1, 0, 0), most=2)) == {0: 1, 1: 1}

    def test_the_latest_opinion_stands(self) -> None:
        taste = one(snapshot(), (1, 0, LIKE, 1), (1, 0, DISLIKE, 2), (1, 0, WATCH, 3))
        assert weights(taste) == {0: -0.2}

    def test_history_is_in_rising_order_of_the_model(self) -> None:
        taste = one(snapshot(recency=1), *((1, title, LIKE, 9 - title) for title in (5, 2, 7, 0)))
        assert taste.history.tolist() == [0, 2, 5, 7]


class TestWhatIsNotKnown:
    def test_a_title_that_the_model_does_not_know_is_seen_and_no_more(self) -> None:
        joined = snapshot(model=[0, 1])
        taste = one(joined, (1, 0, LIKE, 1), (1, 5, LIKE, 2))
        assert weights(taste) == {0: 1}
        assert seen(joined, taste) == [0, 5]

    def test_a_title_that_left_the_catalogue_is_scored_from(self) -> None:
        joined = snapshot(catalogue=range(1, TITLES))
        taste = one(joined, (1, 0, LIKE, 1), (1, 5, LIKE, 2))
        assert weights(taste) == {0: 1, 5: 1}
        assert seen(joined, taste) == [5]

    @pytest.mark.parametrize("found", [None, table(), table((9, 0, LIKE, 1))], ids=["unread", "none", "another's"])
    def test_a_user_without_history_has_preferences_alone(self, found: InteractionRows | None) -> None:
        wishes = {uid(1): frozenset({"drama"})}
        first, second = tastes([uid(1), uid(2)], wishes, found, snapshot(), strengths=STRENGTHS, most=5)
        assert first.genres == {"drama"}
        assert second.genres == frozenset()
        for taste in (first, second):
            assert len(taste.history) == len(taste.weights) == len(taste.seen) == 0

    def test_without_a_model_history_is_seen(self) -> None:
        joined = Snapshot.join(snapshot().catalogue, None)
        taste = one(joined, (1, 0, LIKE, 1), (1, 5, DISLIKE, 2))
        assert seen(joined, taste) == [0, 5]
        assert len(taste.history) == 0


class TestDislikes:
    def test_the_neighbour_of_a_disliked_title_is_spoken_against(self) -> None:
        joined = snapshot()
        scores = collaborative_scores([one(joined, (1, 2, DISLIKE, 1), (1, 5, LIKE, 2))], joined).toarray()
        assert scores.astype(float).round(5).tolist() == [[0, 0, 0, -0.2, 0, 0, 1, 0]]

    def test_it_is_recommended_last(self) -> None:
        joined = snapshot()
        [ranked] = rank([one(joined, (1, 2, DISLIKE, 1))], joined, Weights())
        assert numbers(ranked.titles) == [0, 1, 4, 5, 6, 7, 3]


ROWS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.integers(0, TITLES - 1),
        st.sampled_from([LIKE, WATCH, DISLIKE, OTHER]),
        st.sampled_from([None, 0, DAY, 2 * DAY, 5 * DAY]),
    ),
    max_size=40,
)


@settings(max_examples=50, deadline=None)
@given(ROWS, st.sampled_from([0.0, 0.75, 2.0]), st.integers(1, 6), st.sampled_from([0.0, 3.0]))
def test_a_user_alone_and_in_a_batch_is_the_same_to_the_bit(
    found: list[Row], recency: float, most: int, half_life: float
) -> None:
    joined, rows = snapshot(recency, model=[0, 1, 2, 4, 5, 7]), table(*found)
    strengths = Strengths(1, 0.5, -0.2, half_life_days=half_life)
    together = known_of(rows, joined, list(range(5)), strengths=strengths, most=most)
    scores = collaborative_scores(together, joined)
    for user, taste in enumerate(together):
        own = rows.users == pack_ids([uid(user)])[0]
        mine = InteractionRows(*(getattr(rows, column.name)[own] for column in fields(rows)))
        [alone] = known_of(mine, joined, [user], strengths=strengths, most=most)
        assert alone.history.tolist() == taste.history.tolist()
        assert alone.weights.tobytes() == taste.weights.tobytes()
        assert alone.seen.tolist() == taste.seen.tolist()
        assert collaborative_scores([alone], joined).toarray().tobytes() == scores[[user]].toarray().tobytes()


@settings(max_examples=50, deadline=None)
@given(ROWS, st.sampled_from([0.0, 0.75, 2.0]), st.integers(1, 6))
def test_it_agrees_with_the_slow_and_obvious_way(found: list[Row], recency: float, most: int) -> None:
    joined = snapshot(recency)
    tasted = known_of(table(*found), joined, list(range(5)), most=most)
    kinds = {LIKE: 1.0, WATCH: 0.5, DISLIKE: -0.2}
    for user, taste in enumerate(tasted):
        standing = {}
        for title in {t for u, t, _, _ in found if u == user}:
            rows = [
                (-1 if time is None else time, row, kind)
                for row, (u, t, kind, time) in enumerate(found)
                if (u, t) == (user, title)
            ]
            opinions = [r for r in rows if r[2] in (LIKE, DISLIKE)]
            standing[title] = max(opinions or [r for r in rows if r[2] is WATCH] or rows)
        assert seen(joined, taste) == sorted(standing)
        telling = sorted((*when, title) for title, when in standing.items() if when[2] in kinds)[::-1][:most]
        expected = {title: kinds[kind] * (1 + rank) ** -recency for rank, (_, _, kind, title) in enumerate(telling)}
        assert weights(taste) == pytest.approx(expected, abs=1e-5)


def test_a_user_who_is_asked_for_twice_is_answered_twice() -> None:
    first, second = known_of(table((1, 0, LIKE, 1)), snapshot(), [1, 1])
    assert weights(first) == weights(second) == {0: 1}


def test_users_are_answered_in_the_order_they_are_asked_for() -> None:
    ids = [UUID(int=9), uid(1), uid(0)]
    found = tastes(ids, {}, table((0, 3, LIKE, 1), (1, 4, LIKE, 1)), snapshot(), strengths=STRENGTHS, most=5)
    assert [taste.history.tolist() for taste in found] == [[], [4], [3]]
