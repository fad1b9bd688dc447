"""The service's own scorer on a split."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from shared.errors import NothingToEvaluate
from shared.ids import pack_ids
from shared.media import Kind
from shared.model import Model
from shared.options import ListOptions, Variety
from shared.scorer import Weights, rank
from shared.snapshot import Snapshot
from shared.tastes import tastes
from tests.histories import LIMITS
from tests.interactions import DAY, STRENGTHS, Row, clustered, interactions, likes, numbers, platform, uid
from worker.training.estimators.cooccurrence import CoOccurrence
from worker.training.evaluator import Evaluator, Platform
from worker.training.learn import Choice, learn
from worker.training.preferences import favourites
from worker.training.split import Protocol, Split, split

LIKE, WATCH, DISLIKE = Kind.LIKE, Kind.WATCH, Kind.DISLIKE
CHOICE = Choice(CoOccurrence(0.5, 0.5, 0.3, 0.2, 20), recency=0.75)
SERVED = Weights(content=0.4, pool=10, depth=15)
PLAIN = Weights(content=0.0, pool=15, depth=15)


def mixed() -> list[Row]:
    """Clusters with some watches and dislikes among the likes."""
    kinds = [LIKE, LIKE, WATCH, DISLIKE]
    return [(u, t, kinds[(u + t) % 4], time) for u, t, _, time in clustered()]


@pytest.fixture(params=list(Protocol))
def parts(request: pytest.FixtureRequest) -> Split:
    return split(interactions(*mixed()), request.param, seed=1)


@pytest.fixture
def model(parts: Split) -> Model:
    return CHOICE.model(learn(parts.fit.histories(), CHOICE, LIMITS))


def known_platform(parts: Split, **changes: object) -> Platform:
    genres = {name: parts.fit.title_ids[i::3] for i, name in enumerate(("a", "b", "c"))}
    settings = {"genres": genres, "preferences": favourites(parts.history, genres), "history_length": 4}
    return platform(parts.fit.title_ids, **(settings | changes))


def shown(evaluator: Evaluator, lists: np.ndarray) -> dict[int, list[int]]:
    """Each tested user's list, by numbers."""
    ids = evaluator.catalogue.index.ids
    return {int(u): numbers(ids[row[row >= 0]]) for u, row in zip(evaluator.users, lists, strict=True)}


@pytest.mark.parametrize("content", [True, False])
@pytest.mark.parametrize("weights", [SERVED, PLAIN], ids=["hybrid", "collaborative"])
def test_lists_are_what_the_service_would_show_each_user_alone(
    parts: Split, model: Model, weights: Weights, content: bool
) -> None:
    known = known_platform(parts)
    evaluator = Evaluator(parts, known, most_users=None, seed=0)
    lists = shown(evaluator, evaluator.lists(model, weights, content=content))
    snapshot = Snapshot.join(evaluator.catalogue, model)
    assert len(lists) > 5
    for user, titles in lists.items():
        mine = parts.history.part(parts.history.users == user).found()
        wishes = known.preferences([uid(user)]) if content else {}
        taste = tastes([uid(user)], wishes, mine, snapshot, strengths=STRENGTHS, most=4)
        [ranked] = rank(taste, snapshot, weights)
        assert titles == numbers(ranked.titles)
        assert not set(titles) & {int(t) for t in parts.history.titles[parts.history.users == user]}


def test_what_a_request_may_ask_for_can_be_asked_for_here(parts: Split, model: Model) -> None:
    known = known_platform(parts)
    evaluator = Evaluator(parts, known, most_users=None, seed=0)
    asked = ListOptions(variety=Variety(max_per_genre=2))
    lists = shown(evaluator, evaluator.lists(model, SERVED, content=True, options=asked))
    genre_of = {title: name for name, ids in known.genres.items() for title in numbers(ids)}
    assert len(lists) > 5
    for titles in lists.values():
        assert Counter(genre_of[title] for title in titles) == {"a": 2, "b": 2, "c": 2}


def test_without_a_model_lists_are_popular_titles_that_the_user_has_not_seen(parts: Split) -> None:
    evaluator = Evaluator(parts, known_platform(parts), most_users=None, seed=0)
    popular = numbers(evaluator.catalogue.index.ids)
    counts = np.bincount(parts.fit.titles[parts.fit.positive], minlength=len(parts.fit.title_ids))
    assert popular[0] == int(np.argmax(parts.fit.popularity(half_life_days=365, now=10_000 * DAY)))
    assert counts[popular[0]] >= np.median(counts)
    for user, titles in shown(evaluator, evaluator.lists(None, PLAIN, content=False)).items():
        seen = set(parts.history.titles[parts.history.users == user].tolist())
        assert titles == [title for title in popular if title not in seen][:15]


def test_by_content_lists_begin_with_the_users_genres(parts: Split) -> None:
    known = known_platform(parts, preferences=lambda ids: {user: frozenset({"b"}) for user in ids})
    evaluator = Evaluator(parts, known, most_users=None, seed=0)
    of_genre = set(numbers(known.genres["b"]))
    for titles in shown(evaluator, evaluator.lists(None, Weights(1.0, 15, 15), content=True)).values():
        matching = [title in of_genre for title in titles]
        assert matching == sorted(matching, reverse=True)
        assert matching[0]


class TestCatalogue:
    def test_a_title_that_left_it_is_neither_shown_nor_counted_as_relevant(self) -> None:
        whole = likes(*([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]] * 4), [10, 11, 0, 1, 2, 3, 4, 5, 6, 8])
        parts = split(whole, Protocol.TEMPORAL, seed=0)  # 8 and 9 are held out, or 6 and 8
        everything = Evaluator(parts, platform(whole.title_ids), most_users=None, seed=0)
        assert everything.truth.relevant.sum(axis=1).tolist() == [2] * 5
        kept = pack_ids(uid(t) for t in range(12) if t != 8)
        evaluator = Evaluator(parts, platform(kept), most_users=None, seed=0)
        assert evaluator.truth.relevant.sum(axis=1).tolist() == [1] * 5
        assert len(evaluator.catalogue) == evaluator.truth.relevant.shape[1] == 11
        model = CHOICE.model(learn(parts.fit.histories(), CHOICE, LIMITS))
        for titles in shown(evaluator, evaluator.lists(model, PLAIN, content=False)).values():
            assert titles
            assert 8 not in titles

    def test_a_user_whose_relevant_titles_all_left_is_not_tested(self) -> None:
        whole = likes([0, 1, 2, 3, 4], [0, 1, 2, 3, 5])
        parts = split(whole, Protocol.TEMPORAL, seed=0)
        kept = pack_ids(uid(t) for t in range(5))
        assert Evaluator(parts, platform(kept), most_users=None, seed=0).users.tolist() == [0]
        with pytest.raises(NothingToEvaluate):
            Evaluator(parts, platform(pack_ids(map(uid, range(4)))), most_users=None, seed=0)

    def test_a_title_that_nobody_knows_yet_may_be_shown(self) -> None:
        whole = likes([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
        evaluator = Evaluator(
            split(whole, Protocol.TEMPORAL, seed=0), platform(pack_ids(map(uid, range(9)))), most_users=None, seed=0
        )
        assert shown(evaluator, evaluator.lists(None, PLAIN, content=False))[0] == [4, 5, 6, 7, 8]


NOBODY = {
    "everybody has too little": [(u, t, LIKE, t) for u in range(9) for t in range(4)],
    "what is held out is disliked": [(u, t, LIKE if t < 4 else DISLIKE, t) for u in range(9) for t in range(5)],
    "nobody": [],
}


@pytest.mark.parametrize("found", NOBODY.values(), ids=NOBODY.keys())
@pytest.mark.parametrize("protocol", Protocol)
def test_nobody_to_test_is_an_error_that_says_so(found: list[Row], protocol: Protocol) -> None:
    whole = interactions(*found)
    if found and found[-1][2] is DISLIKE and protocol is not Protocol.TEMPORAL:
        whole = whole.part(whole.titles == 0)  # any of a user's may be held out: leave no more than one
    with pytest.raises(NothingToEvaluate, match="nobody has enough interactions"):
        Evaluator(split(whole, protocol, seed=0), platform(whole.title_ids), most_users=None, seed=0)


class TestUsers:
    def test_so_many_are_drawn_the_same_for_a_seed(self) -> None:
        parts = split(interactions(*clustered()), Protocol.TEMPORAL, seed=0)
        known = platform(parts.fit.title_ids)
        first, again, other = (Evaluator(parts, known, most_users=10, seed=seed).users.tolist() for seed in (1, 1, 2))
        assert len(first) == 10
        assert first == again == sorted(first)
        assert first != other
        assert len(Evaluator(parts, known, most_users=1000, seed=1).users) == 60

    def test_a_drawn_user_gets_the_list_that_all_would_give(self) -> None:
        parts = split(interactions(*clustered()), Protocol.TEMPORAL, seed=0)
        known = platform(parts.fit.title_ids)
        model = CHOICE.model(learn(parts.fit.histories(), CHOICE, LIMITS))
        some, everybody = (Evaluator(parts, known, most_users=most, seed=1) for most in (7, None))
        all_lists = shown(everybody, everybody.lists(model, PLAIN, content=False))
        for user, titles in shown(some, some.lists(model, PLAIN, content=False)).items():
            assert titles == all_lists[user]

    def test_progress_ends_with_everybody(self) -> None:
        parts = split(interactions(*clustered()), Protocol.TEMPORAL, seed=0)
        said: list[tuple[int, int]] = []
        evaluator = Evaluator(parts, platform(parts.fit.title_ids), most_users=None, seed=0)
        evaluator.lists(None, PLAIN, content=False, progress=lambda done, users: said.append((done, users)))
        assert said == [(60, 60)]


class TestTruth:
    def test_it_tells_dislikes_popularity_and_how_popular_a_history_is(self) -> None:
        found = [
            *((0, t, LIKE, t) for t in range(8)), (0, 8, LIKE, 8), (0, 9, DISLIKE, 9),
            (1, 0, LIKE, 0), (1, 1, WATCH, 0), (2, 0, DISLIKE, 0),
        ]  # fmt: skip
        parts = split(interactions(*found), Protocol.TEMPORAL, seed=0)
        evaluator = Evaluator(parts, platform(parts.fit.title_ids), most_users=None, seed=0)
        truth, ids = evaluator.truth, numbers(evaluator.catalogue.index.ids)
        assert [ids[i] for i in truth.relevant.indices] == [8]
        assert [ids[i] for i in truth.disliked.indices] == [9]
        assert {t: truth.popularity[ids.index(t)] for t in range(10)} == {
            0: 2, 1: 2, **dict.fromkeys(range(2, 8), 1), 8: 0, 9: 0,
        }  # fmt: skip
        assert truth.users == 3
        assert truth.history_popularity.tolist() == [(2 + 2 + 6) / 8]

    def test_a_user_who_liked_nothing_before_has_no_popularity_to_compare_with(self) -> None:
        found = [*((0, t, DISLIKE, t) for t in range(4)), (0, 4, LIKE, 4), *((1, t, LIKE, t) for t in range(4))]
        parts = split(interactions(*found), Protocol.TEMPORAL, seed=0)
        evaluator = Evaluator(parts, platform(parts.fit.title_ids), most_users=None, seed=0)
        assert np.isnan(evaluator.truth.history_popularity).tolist() == [True]
