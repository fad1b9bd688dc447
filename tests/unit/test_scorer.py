"""From tastes to ranked titles."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from shared.catalogue import Catalogue, Listed, Popularity
from shared.ids import IdIndex, pack_ids
from shared.media import Kind, Source, Strategy
from shared.model import Manifest, Model
from shared.ranked_list import STEPS, RankedList
from shared.scorer import Weights, rank
from shared.snapshot import Snapshot
from shared.taste import Taste
from tests.histories import LIMITS, histories
from tests.oracles import seed_scores
from tests.slow_scorer import collaborative_scores
from worker.training.estimators.cooccurrence import CoOccurrence

NONE = np.empty(0, dtype=np.int64)
PLAIN = CoOccurrence(history_exponent=0, user_exponent=0, title_exponent=0, order=1, neighbours=10_000)


def title(number: int) -> UUID:
    return UUID(int=number + 1)


def catalogue(genres: dict[str, list[int]], popularity: list[float]) -> Catalogue:
    """Titles 0 .. n-1 with these popularities; genres name their titles."""
    ids = pack_ids(title(i) for i in range(len(popularity)))
    return Catalogue.build(
        Listed.ids_only(ids),
        {name: pack_ids(map(title, titles)) for name, titles in genres.items()},
        Popularity(ids, np.array(popularity, dtype=np.float32)),
    )


def model(matrix: np.ndarray, estimator: CoOccurrence = PLAIN) -> Model:
    """A model of titles 0 .. n-1 from a dense users x titles matrix."""
    return signed(estimator.fit(histories(matrix), LIMITS).toarray(), users=matrix.shape[0])


def signed(matrix: np.ndarray, users: int = 1) -> Model:
    """A model of titles 0 .. n-1 with these neighbours."""
    neighbours = sparse.csr_array(matrix)
    manifest = Manifest(
        version="20240101T000000Z-00000000", created_at=datetime.now(UTC), estimator="test", parameters={},
        users=users, titles=matrix.shape[1], interactions=0, neighbours=neighbours.nnz, checksums={},
    )  # fmt: skip
    titles = IdIndex(pack_ids(title(i) for i in range(matrix.shape[1])))
    return Model.of(titles, np.zeros(matrix.shape[1], dtype=np.float32), neighbours, manifest)


def taste(snapshot: Snapshot, likes: list[int] = (), genres: set[str] = frozenset(), seen: list[int] = ()) -> Taste:
    """What is known of a user, by title numbers; liked titles are seen."""
    ids = pack_ids(map(title, likes))
    positives = snapshot.model.titles.find(ids) if snapshot.model else NONE
    seen = snapshot.catalogue.index.find(pack_ids(map(title, sorted({*likes, *seen}))))
    positives = np.sort(positives[positives >= 0])
    return Taste(
        genres=frozenset(genres),
        history=positives,
        weights=np.ones(len(positives), dtype=np.float32),
        kinds=np.full(len(positives), Kind.LIKE, dtype=np.int8),
        seen=seen[seen >= 0],
        disliked=NONE,
    )


def numbers(ranked: RankedList) -> list[int]:
    return [int.from_bytes(i.ljust(16, b"\0"), "big") - 1 for i in ranked.titles.tolist()]


def one(snapshot: Snapshot, weights: Weights = Weights(), **known: object) -> RankedList:  # noqa: B008
    [ranked] = rank([taste(snapshot, **known)], snapshot, weights)
    return ranked


# Five titles; users 0-2 like 0, 1, 2 together, users 3-4 like 3 and 4.
LIKES = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1]])
GENRES = {"Comedy": [0, 3], "Drama": [1, 3, 4], "War": [2]}
POPULARITY = [2, 5, 3, 4, 1]


@pytest.fixture
def snapshot() -> Snapshot:
    return Snapshot.join(catalogue(GENRES, POPULARITY), model(LIKES))


@pytest.fixture
def without_model() -> Snapshot:
    return Snapshot.join(catalogue(GENRES, POPULARITY), None)


class TestStrategies:
    def test_a_user_of_whom_nothing_is_known_gets_popular_titles(self, snapshot: Snapshot) -> None:
        ranked = one(snapshot)
        assert ranked.strategy is Strategy.POPULAR
        assert numbers(ranked) == [1, 3, 2, 0, 4]
        assert {ranked.source(i) for i in range(5)} == {Source.POPULAR}
        assert ranked.scores.tolist() == [STEPS, 8000, 6000, 4000, 2000]

    def test_a_user_with_preferences_alone_gets_matching_genres_first(self, snapshot: Snapshot) -> None:
        ranked = one(snapshot, genres={"comedy", "drama"})
        assert ranked.strategy is Strategy.CONTENT
        assert numbers(ranked) == [3, 1, 0, 4, 2]
        assert ranked.content.tolist() == [STEPS, 5000, 5000, 5000, 0]
        assert [ranked.source(i) for i in range(5)] == [Source.CONTENT] * 4 + [Source.POPULAR]

    def test_a_user_with_history_alone_gets_the_collaborative_score_whole(self, snapshot: Snapshot) -> None:
        ranked = one(snapshot, likes=[0])
        assert ranked.strategy is Strategy.COLLABORATIVE
        assert numbers(ranked)[:2] == [1, 2]
        assert ranked.scores.tolist() == ranked.collaborative.tolist()

    def test_the_hybrid_weighs_content_and_collaborative(self, snapshot: Snapshot) -> None:
        ranked = one(snapshot, likes=[0], genres={"war", "drama"})
        assert ranked.strategy is Strategy.HYBRID
        # Title 1: drama, two shared users (of at most 2); title 2: war, one shared user.
        assert numbers(ranked)[:2] == [1, 2]
        assert ranked.scores.tolist()[:2] == [0.4 * 5000 + 0.6 * STEPS, 0.4 * 5000 + 0.6 * 5000]

    def test_genres_that_no_title_has_say_nothing(self, snapshot: Snapshot) -> None:
        assert one(snapshot, genres={"polka"}).strategy is Strategy.POPULAR
        assert one(snapshot, likes=[0], genres={"polka"}).strategy is Strategy.COLLABORATIVE

    def test_without_a_model_history_only_hides_what_was_seen(self, without_model: Snapshot) -> None:
        ranked = one(without_model, likes=[3], genres={"comedy"})
        assert ranked.strategy is Strategy.CONTENT
        assert numbers(ranked) == [0, 1, 2, 4]

    def test_an_empty_catalogue_gives_an_empty_list(self) -> None:
        assert len(one(Snapshot.join(catalogue({}, []), None), genres={"drama"})) == 0


class TestOrder:
    def test_what_was_seen_is_never_recommended(self, snapshot: Snapshot) -> None:
        assert set(numbers(one(snapshot, likes=[0], seen=[1, 3], genres={"drama"}))) == {2, 4}

    def test_ties_are_broken_by_popularity_then_id(self) -> None:
        snapshot = Snapshot.join(catalogue({"Drama": [0, 1, 2, 3]}, [1, 2, 1, 2]), None)
        assert numbers(one(snapshot, genres={"drama"})) == [1, 3, 0, 2]

    def test_a_title_outside_the_catalogue_is_scored_from_but_not_recommended(self) -> None:
        likes = np.array([[1, 1, 0], [0, 1, 1]])  # title 1 links 0 and 2, and is deleted
        everything = catalogue({}, [1, 1, 1])
        some = Listed.ids_only(everything.index.ids[[0, 2]])
        kept = Catalogue.build(some, {}, Popularity(everything.index.ids, everything.popularity))
        snapshot = Snapshot.join(kept, model(likes))
        assert numbers(one(snapshot, likes=[1])) == [0, 2]
        assert numbers(one(snapshot, likes=[0])) == [2]

    def test_only_the_pool_is_ranked_by_the_hybrid_and_the_rest_follows_in_collaborative_order(self) -> None:
        # User likes title 0, which shares 5, 4, 3, 2, 1 users with titles 1 .. 5; only title 5 has the right genre.
        rows = [[1] + [1 if j <= i else 0 for j in range(5)] for i in reversed(range(5))]
        snapshot = Snapshot.join(catalogue({"Drama": [5]}, [0] * 6), model(np.array(rows)))
        whole = one(snapshot, Weights(pool=5), likes=[0], genres={"drama"})
        assert numbers(whole) == [1, 2, 5, 3, 4]  # .6, .45, .4, .3, .15
        small = one(snapshot, Weights(pool=2), likes=[0], genres={"drama"})
        assert numbers(small) == [1, 2, 3, 4, 5]
        assert small.scores.tolist() == [6000, 0, 0, 0, 0]  # behind the pool, a score is held down

    def test_a_short_pool_is_topped_up_by_genre_and_then_by_popularity(self, snapshot: Snapshot) -> None:
        ranked = one(snapshot, likes=[0], genres={"comedy"})
        assert numbers(ranked) == [1, 3, 2, 4]
        assert [ranked.source(i) for i in range(4)] == [Source.HYBRID, Source.CONTENT, Source.HYBRID, Source.POPULAR]

    def test_the_list_ends_at_its_depth(self, snapshot: Snapshot) -> None:
        deep = one(snapshot, Weights(depth=5, pool=5), genres={"drama"})
        assert numbers(one(snapshot, Weights(depth=2, pool=5), genres={"drama"})) == numbers(deep)[:2]


class TestWhatTheHistorySpeaksAgainst:
    """Neighbours of a disliked title, or titles with a negative weight from a liked one."""

    # Title 0 speaks for 1, and against 2 and, more, against 3; 3 and 2 are the most popular and have the right genre.
    AGAINST = np.array([[0, 1, -1, -2, 0, 0], *[[0] * 6] * 5], dtype=np.float32)
    POPULAR = (1, 2, 8, 9, 3, 4)
    GENRES: ClassVar = {"Drama": [2, 3, 4]}

    def of(self, weight: float, weights: Weights = Weights(), **known: object) -> RankedList:  # noqa: B008
        snapshot = Snapshot.join(catalogue(self.GENRES, list(self.POPULAR)), signed(self.AGAINST))
        mine = taste(snapshot, likes=[0], **known)
        mine = replace(mine, weights=np.array([weight], dtype=np.float32))
        [ranked] = rank([mine], snapshot, weights)
        return ranked

    def test_it_comes_last_behind_popular_titles_the_worst_at_the_very_end(self) -> None:
        assert numbers(self.of(1.0)) == [1, 5, 4, 2, 3]

    def test_neither_popularity_nor_the_right_genre_helps_it(self) -> None:
        assert numbers(self.of(1.0, genres={"drama"})) == [1, 4, 5, 2, 3]

    def test_where_nothing_else_is_known_of_the_user_it_is_last_all_the_same(self) -> None:
        ranked = self.of(-1.0)  # title 0 is disliked: now 2 and 3 are spoken for, and 1 against
        assert numbers(ranked) == [3, 2, 5, 4, 1]
        against_everything_known = Snapshot.join(catalogue({}, list(self.POPULAR)), signed(-np.abs(self.AGAINST)))
        ranked = one(against_everything_known, likes=[0])
        assert ranked.strategy is Strategy.POPULAR
        assert numbers(ranked) == [5, 4, 2, 1, 3]
        assert ranked.scores.tolist() == sorted(ranked.scores.tolist(), reverse=True)

    def test_with_a_genre_and_no_neighbours_it_is_last_all_the_same(self) -> None:
        snapshot = Snapshot.join(catalogue(self.GENRES, list(self.POPULAR)), signed(-np.abs(self.AGAINST)))
        ranked = one(snapshot, likes=[0], genres={"drama"})
        assert ranked.strategy is Strategy.CONTENT
        assert numbers(ranked) == [4, 5, 2, 1, 3]

    @pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 50])
    def test_the_list_is_full_and_is_the_beginning_of_the_whole_one(self, depth: int) -> None:
        assert numbers(self.of(1.0, Weights(depth=depth))) == [1, 5, 4, 2, 3][:depth]

    def test_what_speaks_for_a_title_and_against_it_is_weighed_up(self) -> None:
        both = np.zeros((4, 4), dtype=np.float32)
        both[0, [2, 3]], both[1, [2, 3]] = (2, 1), (-1, -2)
        snapshot = Snapshot.join(catalogue({}, [0, 0, 0, 9]), signed(both))
        ranked = one(snapshot, likes=[0, 1])
        assert numbers(ranked) == [2, 3]
        assert [ranked.source(i) for i in range(2)] == [Source.HYBRID, Source.POPULAR]

    def test_a_signed_model_is_served_as_it_is(self) -> None:
        snapshot = Snapshot.join(catalogue({}, list(self.POPULAR)), signed(self.AGAINST))
        scores = collaborative_scores([taste(snapshot, likes=[0])], snapshot).toarray()
        assert scores.tolist() == self.AGAINST[:1].tolist()


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 9), st.integers(0, 2**20), st.integers(1, 9), st.integers(1, 9))
def test_nothing_spoken_against_is_ever_before_anything_else(titles: int, seed: int, pool: int, depth: int) -> None:
    draw = np.random.default_rng(seed)
    weights = draw.integers(-2, 3, (titles, titles)).astype(np.float32)
    genres = {name: np.flatnonzero(draw.random(titles) < 0.4).tolist() for name in "ab"}
    snapshot = Snapshot.join(catalogue(genres, draw.integers(0, 4, titles).tolist()), signed(weights))
    mine = taste(snapshot, likes=[0, titles // 2], genres={"a"})
    [ranked] = rank([mine], snapshot, Weights(pool=pool, depth=depth))
    raw = collaborative_scores([mine], snapshot).toarray()[0]
    against = raw[numbers(ranked)] < 0
    assert len(ranked) == min(depth, titles - len(mine.seen))
    assert against.tolist() == sorted(against)
    assert (np.diff(raw[numbers(ranked)][against]) <= 0).all()
    assert (np.diff(ranked.scores.astype(int)) <= 0).all()


@st.composite
def worlds(draw: st.DrawFn) -> tuple[np.ndarray, dict[str, list[int]], list[float], list[Taste]]:
    """A platform of up to 12 titles and 8 users, with what is known of each."""
    n = draw(st.integers(1, 12))
    users = draw(st.integers(1, 8))
    matrix = np.array(
        draw(st.lists(st.lists(st.integers(0, 1), min_size=n, max_size=n), min_size=users, max_size=users))
    )
    genres = draw(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.lists(st.integers(0, n - 1), min_size=1)))
    popularity = draw(st.lists(st.integers(0, 3).map(float), min_size=n, max_size=n))
    wanted = draw(st.lists(st.frozensets(st.sampled_from(["a", "b", "c", "d"])), min_size=users, max_size=users))
    return matrix, genres, popularity, wanted


@settings(max_examples=150, deadline=None)
@given(worlds(), st.integers(1, 12), st.integers(1, 12), st.floats(0, 1))
def test_every_list_keeps_its_promises(world: tuple, pool: int, depth: int, content: float) -> None:
    """No repeats, nothing seen, scores in [0, 1] that never rise, full to the depth; the same alone and in a batch."""
    matrix, genres, popularity, wanted = world
    snapshot = Snapshot.join(catalogue(genres, popularity), model(matrix))
    tastes = [
        taste(snapshot, likes=np.flatnonzero(row).tolist(), genres=wish)
        for row, wish in zip(matrix, wanted, strict=True)
    ]
    weights = Weights(content=content, pool=pool, depth=depth)
    together = rank(tastes, snapshot, weights)
    for row, known, ranked in zip(matrix, tastes, together, strict=True):
        titles = numbers(ranked)
        assert len(set(titles)) == len(titles) == min(depth, int((row == 0).sum()))
        assert not set(titles) & set(np.flatnonzero(row).tolist())
        for column in (ranked.scores, ranked.content, ranked.collaborative):
            assert column.max(initial=0) <= STEPS
        assert (np.diff(ranked.scores.astype(int)) <= 0).all()
        [alone] = rank([known], snapshot, weights)
        assert numbers(alone) == titles
        assert alone.scores.tolist() == ranked.scores.tolist()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.frozensets(st.integers(0, 9), max_size=6), min_size=1, max_size=12))
def test_without_damping_or_cut_the_collaborative_scores_are_the_seeds(likes: list[frozenset[int]]) -> None:
    matrix = np.zeros((len(likes), 10))
    for user, titles in enumerate(likes):
        matrix[user, sorted(titles)] = 1
    snapshot = Snapshot.join(catalogue({}, [0.0] * 10), model(matrix))
    tastes = [taste(snapshot, likes=sorted(titles)) for titles in likes]
    scores = collaborative_scores(tastes, snapshot).toarray()
    for user, titles in enumerate(likes):
        expected = seed_scores(dict(enumerate(likes)), user)
        found = {t: scores[user, t] for t in range(10) if t not in titles and scores[user, t]}
        assert found == expected
