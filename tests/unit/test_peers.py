"""Other libraries' models, as the benchmark asks them: one contract, and a fair chance for each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.peers import available as availability
from benchmarks.peers.available import available
from benchmarks.peers.lists import NONE, best, by_popularity, complete
from benchmarks.peers.peer import NotFitted, NotPossible, Peer, Recommend, Setting, check_memory, grid
from benchmarks.peers.tuning import Tuned, tune

USERS, TITLES, K = 120, 50, 10
PEERS, MISSING = available()


@dataclass(frozen=True)
class Obvious:
    """What most users like, from the title that the setting names on: a peer that can be seen through."""

    tried: list[float | int] = field(default_factory=list)
    first: Sequence[int] = (0, 2, 1)
    fails: Sequence[int] = ()
    bytes_needed: int = 0

    name = "obvious"

    def settings(self) -> Sequence[Setting]:
        return grid(first=self.first)

    def needs_bytes(self, matrix: sparse.csr_array) -> int:
        return self.bytes_needed

    def fit(self, matrix: sparse.csr_array, setting: Setting, *, seed: int) -> Recommend:
        check_memory(self, matrix)
        self.tried.append(setting["first"])
        if setting["first"] in self.fails:
            raise NotFitted("NaN in the factors")
        popular = by_popularity(matrix)

        def recommend(
            users: NDArray[np.int64], history: sparse.csr_array, seen: sparse.csr_array, k: int
        ) -> NDArray[np.int64]:
            return complete([np.array([setting["first"]])] * len(users), seen, popular, k)

        return recommend


def random_matrix(*, seed: int = 5, density: float = 0.15) -> sparse.csr_array:
    """Users of two tastes, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    same_taste = (np.arange(USERS)[:, None] % 2) == (np.arange(TITLES)[None, :] % 2)
    return sparse.csr_array((rng.random((USERS, TITLES)) < density * np.where(same_taste, 1.8, 0.2)).astype(np.float32))


def row(matrix: sparse.csr_array, user: int) -> set[int]:
    return set(matrix.indices[matrix.indptr[user] : matrix.indptr[user + 1]].tolist())


def titles_of(rows: Sequence[Sequence[int]], titles: int) -> sparse.csr_array:
    matrix = np.zeros((len(rows), titles), dtype=np.float32)
    for user, liked in enumerate(rows):
        matrix[user, list(liked)] = 1
    return sparse.csr_array(matrix)


def hits(matrix: sparse.csr_array, held_out: sparse.csr_array) -> Callable[[Recommend], float]:
    """A score for tuning: the share of the titles held out that are recommended."""

    def score(recommend: Recommend) -> float:
        lists = recommend(np.arange(USERS), matrix, matrix, K)
        found = sum(len(set(ranked.tolist()) & row(held_out, user)) for user, ranked in enumerate(lists))
        return found / held_out.nnz

    return score


@pytest.mark.parametrize("peer", [Obvious(), *PEERS], ids=lambda peer: peer.name.replace(" ", "-"))
class TestContract:
    """What every peer keeps to."""

    def fitted(self, peer: Peer, matrix: sparse.csr_array, *, seed: int = 7) -> Recommend:
        return peer.fit(matrix, peer.settings()[0], seed=seed)

    def test_lists_are_full_and_name_no_title_twice_and_none_seen(self, peer: Peer) -> None:
        matrix = random_matrix()
        lists = self.fitted(peer, matrix)(np.arange(USERS), matrix, matrix, K)
        assert lists.shape == (USERS, K)
        assert lists.dtype == np.int64
        for user, ranked in enumerate(lists.tolist()):
            assert len(set(ranked)) == K
            assert set(ranked) <= set(range(TITLES)) - row(matrix, user)

    def test_what_is_seen_without_being_liked_is_left_out_as_well(self, peer: Peer) -> None:
        matrix = random_matrix()
        recommend = self.fitted(peer, matrix)
        first = recommend(np.arange(USERS), matrix, matrix, 3)
        rows = np.repeat(np.arange(USERS), 3)
        seen = sparse.csr_array(
            matrix + sparse.csr_array((np.ones(len(rows), np.float32), (rows, first.ravel())), shape=matrix.shape)
        )
        for user, ranked in enumerate(recommend(np.arange(USERS), matrix, seen, K).tolist()):
            assert len(set(ranked) - {NONE}) == K
            assert not set(ranked) & row(seen, user)

    def test_where_titles_run_out_a_list_ends(self, peer: Peer) -> None:
        matrix = random_matrix()
        lists = self.fitted(peer, matrix)(np.arange(USERS), matrix, matrix, TITLES + 5)
        for user, ranked in enumerate(lists.tolist()):
            unseen = TITLES - len(row(matrix, user))
            assert set(ranked[:unseen]) == set(range(TITLES)) - row(matrix, user)
            assert ranked[unseen:] == [NONE] * (TITLES + 5 - unseen)

    def test_someone_who_has_seen_everything_gets_an_empty_list(self, peer: Peer) -> None:
        matrix = random_matrix()
        everything = sparse.csr_array(np.ones((1, TITLES), dtype=np.float32))
        assert (self.fitted(peer, matrix)(np.array([3]), matrix[[3]], everything, K) == NONE).all()

    def test_someone_without_a_history_gets_what_is_popular(self, peer: Peer) -> None:
        matrix = sparse.csr_array(random_matrix() * (np.arange(USERS) != 4)[:, None].astype(np.float32))
        matrix.eliminate_zeros()
        lists = self.fitted(peer, matrix)(np.array([4, 5]), matrix[[4, 5]], matrix[[4, 5]], K)
        if peer.name != Obvious.name:
            assert lists[0].tolist() == by_popularity(matrix)[:K].tolist()
        assert len(set(lists[1].tolist())) == K

    def test_titles_that_nobody_likes_harm_nothing(self, peer: Peer) -> None:
        matrix = sparse.csr_array(random_matrix() * (np.arange(TITLES) % 5 > 0).astype(np.float32)[None, :])
        matrix.eliminate_zeros()
        lists = self.fitted(peer, matrix)(np.arange(USERS), matrix, matrix, K)
        assert (lists != NONE).all()

    def test_users_may_be_asked_for_in_any_order_and_part(self, peer: Peer) -> None:
        matrix = random_matrix()
        recommend = self.fitted(peer, matrix)
        some = np.array([17, 3, 90])
        whole = recommend(np.arange(USERS), matrix, matrix, K)
        assert (recommend(some, matrix[some], matrix[some], K) == whole[some]).all()

    def test_the_same_seed_gives_the_same_lists(self, peer: Peer) -> None:
        matrix = random_matrix()
        one, two = (self.fitted(peer, matrix)(np.arange(USERS), matrix, matrix, K) for _ in range(2))
        assert (one == two).all()

    def test_the_matrix_stays_as_it_was(self, peer: Peer) -> None:
        matrix, same = random_matrix(), random_matrix()
        self.fitted(peer, matrix)(np.arange(USERS), matrix, matrix, K)
        assert (matrix != same).nnz == 0

    def test_what_needs_more_memory_than_there_is_is_not_begun(
        self, peer: Peer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(type(peer), "needs_bytes", lambda peer, matrix: 1 << 60)
        with pytest.raises(NotPossible, match="memory"):
            self.fitted(peer, random_matrix())


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name.replace(" ", "-"))
class TestLearning:
    """A peer that is asked wrongly would still keep the contract."""

    def test_tastes_are_told_apart(self, peer: Peer) -> None:
        matrix = random_matrix()
        lists = peer.fit(matrix, peer.settings()[0], seed=7)(np.arange(USERS), matrix, matrix, K)
        right = (lists % 2) == (np.arange(USERS)[:, None] % 2)
        assert right.mean() > 0.75

    def test_every_setting_of_the_grid_is_taken(self, peer: Peer) -> None:
        matrix = random_matrix()
        for setting in peer.settings():
            assert peer.fit(matrix, setting, seed=7)(np.array([0]), matrix[[0]], matrix[[0]], K).shape == (1, K)

    def test_a_history_that_has_grown_since_the_fit_counts(self, peer: Peer) -> None:
        if peer.name == "implicit BPR":
            pytest.skip("its users are those of the fit")
        matrix = random_matrix()
        recommend = peer.fit(matrix, peer.settings()[0], seed=7)
        other = matrix[[1]]  # user 0 has come to like what user 1 likes, whose taste is the other one
        before, after = (recommend(np.array([0]), history, matrix[[0]], K) for history in (matrix[[0]], other))
        assert (after % 2 == 1).mean() > (before % 2 == 1).mean()


@pytest.mark.parametrize("library", list(availability.LIBRARIES))
def test_the_contract_is_tried_on_every_library(library: str) -> None:
    """Says in the run's summary which library the contract was not tried on."""
    for gone in MISSING:
        if gone.name == library:
            pytest.skip(f"{library} is not installed (requirements-bench.txt): {gone.reason}")
    assert any(peer.name.startswith(library) for peer in PEERS)


class TestAvailability:
    def test_a_library_that_cannot_be_imported_is_named_with_the_reason(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(availability, "LIBRARIES", {"nowhere": "benchmarks.peers.nowhere_peers"})
        peers, missing = available()
        assert peers == []
        assert [gone.name for gone in missing] == ["nowhere"]
        assert missing[0].reason == "ModuleNotFoundError: No module named 'nowhere'"

    def test_every_library_is_there_or_missing(self) -> None:
        found = {peer.name.partition(" ")[0] for peer in PEERS}
        assert found | {gone.name for gone in MISSING} == set(availability.LIBRARIES)


class TestTuning:
    def tuned(self, peer: Obvious, score: Callable[[Recommend], float] | None = None, **options: float) -> Tuned:
        matrix = random_matrix()
        self.said: list[str] = []

        def share_of_first(recommend: Recommend) -> float:
            return float((recommend(np.array([0]), matrix[[0]], titles_of([[]], TITLES), 1) == 2).mean())

        return tune(peer, matrix, score or share_of_first, seed=1, progress=self.said.append, **options)

    def test_the_best_of_all_settings_wins_and_every_trial_is_kept(self) -> None:
        tuned = self.tuned(Obvious())
        assert (tuned.setting, tuned.value) == ({"first": 2}, 1.0)
        assert [(trial.setting["first"], trial.value) for trial in tuned.trials] == [(0, 0.0), (2, 1.0), (1, 0.0)]
        assert all(trial.fit_seconds >= 0 and trial.score_seconds >= 0 for trial in tuned.trials)
        assert tuned.untried == ()

    def test_of_equals_the_earlier_wins(self) -> None:
        assert self.tuned(Obvious(), lambda recommend: 0.5).setting == {"first": 0}

    def test_progress_is_told_after_every_trial(self) -> None:
        self.tuned(Obvious())
        assert len(self.said) == 3
        assert self.said[1].startswith("obvious 2/3 first=2: 1.0000 (fit ")

    def test_a_setting_that_the_library_gives_up_on_is_a_trial_without_a_value(self) -> None:
        tuned = self.tuned(Obvious(fails=(0, 1)))
        assert tuned.setting == {"first": 2}
        assert tuned.trials[0].failure == "NaN in the factors"
        assert math.isnan(tuned.trials[0].value)

    def test_when_none_can_be_fitted_that_is_said(self) -> None:
        with pytest.raises(NotFitted, match="no setting could be fitted; the last said: NaN in the factors"):
            self.tuned(Obvious(fails=(0, 1, 2)))

    def test_a_budget_ends_the_trials_and_what_was_not_tried_is_named(self) -> None:
        tuned = self.tuned(Obvious(), budget=0.0)
        assert len(tuned.trials) == 1
        assert [setting["first"] for setting in tuned.untried] == [2, 1]

    def test_what_cannot_fit_into_memory_is_refused_before_anything_starts(self) -> None:
        peer = Obvious(bytes_needed=1 << 60)
        with pytest.raises(NotPossible, match="obvious needs about 1,152,921,505 GB for 50 titles"):
            self.tuned(peer)
        assert peer.tried == []

    @pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name.replace(" ", "-"))
    def test_a_tuned_peer_finds_more_than_chance(self, peer: Peer) -> None:
        whole = random_matrix(density=0.3)
        held = np.random.default_rng(2).random(whole.nnz) < 0.2
        parts = []
        for kept in (~held, held):
            part = whole.copy()
            part.data = part.data * kept
            part.eliminate_zeros()
            parts.append(part)
        tuned = tune(peer, parts[0], hits(*parts), seed=1, progress=lambda line: None, budget=1.0)
        assert tuned.value > K / TITLES


class TestLists:
    def test_the_best_come_first_and_ties_keep_their_order(self) -> None:
        scores = np.array([1.0, 3.0, np.nan, 3.0, -np.inf, 2.0, 1.0])
        assert best(scores, 3).tolist() == [1, 3, 5]
        assert best(scores, 4).tolist() == [1, 3, 5, 0]
        assert best(scores, 9).tolist() == [1, 3, 5, 0, 6]
        assert best(np.full(4, np.nan), 2).tolist() == []

    def test_popular_is_by_users_then_by_index(self) -> None:
        assert by_popularity(titles_of([[1, 2], [2, 3], [3, 0]], 6)).tolist() == [2, 3, 0, 1, 4, 5]

    def test_a_short_list_is_filled_up_and_a_wrong_one_mended(self) -> None:
        seen = titles_of([[0], [], [0, 1, 2, 3]], 5)
        ranked = [np.array([0, 3, 3, NONE, 1]), np.array([], dtype=np.int64), np.array([NONE])]
        lists = complete(ranked, seen, np.array([4, 3, 2, 1, 0]), 3)
        assert lists.tolist() == [[3, 1, 4], [4, 3, 2], [4, NONE, NONE]]

    def test_a_grid_is_every_combination(self) -> None:
        assert grid(a=(1, 2), b=(3, 4)) == [{"a": 1, "b": 3}, {"a": 1, "b": 4}, {"a": 2, "b": 3}, {"a": 2, "b": 4}]


def test_the_obvious_peer_can_be_seen_through() -> None:
    """The contract suite runs on something even where no library is installed."""
    assert replace(Obvious(), first=(3,)).settings() == [{"first": 3}]
