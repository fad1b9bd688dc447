"""Each estimator against its formula, worked out in dense float64 by another way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.estimators import before, drawn, ease, family, gram, largest, target
from tests.histories import LIMITS, histories
from worker.training.estimators.cooccurrence import CoOccurrence
from worker.training.estimators.ease import Ease
from worker.training.estimators.head import EaseOnHead
from worker.training.estimators.local_ridge import LocalRidge
from worker.training.interactions import Histories

ALL = 100  # neighbours: more than there are titles
HISTORIES = st.builds(
    drawn, st.integers(1, 15), st.integers(1, 9), st.integers(0, 2**20), share=st.sampled_from([0.2, 0.5, 0.9])
)
EXPONENTS = st.sampled_from([0.0, 0.3, 0.5, 1.0])
ORDERS = st.sampled_from([0.0, 0.2, 0.7, 1.0])
PENALTIES = st.sampled_from([1.0, 10.0, 300.0])
FAMILIES = st.builds(CoOccurrence, EXPONENTS, EXPONENTS, EXPONENTS, ORDERS, st.just(ALL))


def close(found: np.ndarray, expected: np.ndarray) -> None:
    """As close as float32 comes."""
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-5)


class TestCoOccurrence:
    @settings(max_examples=40, deadline=None)
    @given(HISTORIES, FAMILIES)
    def test_without_a_cut_it_is_its_formula(self, h: Histories, estimator: CoOccurrence) -> None:
        np.testing.assert_allclose(estimator.fit(h, LIMITS).toarray(), family(h, estimator), rtol=1e-5)

    @settings(max_examples=40, deadline=None)
    @given(HISTORIES, EXPONENTS, EXPONENTS, EXPONENTS, ORDERS, st.integers(1, 4))
    def test_a_cut_keeps_each_rows_largest(self, h: Histories, a: float, b: float, c: float, w: float, k: int) -> None:
        cut = CoOccurrence(a, b, c, w, k).fit(h, LIMITS).toarray()
        whole = family(h, CoOccurrence(a, b, c, w, k))
        np.testing.assert_allclose(cut[cut > 0], whole[cut > 0], rtol=1e-5)
        for kept, row in zip(cut, whole, strict=True):
            np.testing.assert_allclose(np.sort(kept)[::-1][:k], np.sort(row)[::-1][:k], rtol=1e-5)
            assert (kept > 0).sum() <= k

    def test_order_alone_counts_who_liked_the_title_of_the_row_first(self) -> None:
        # Two users go from 0 to 1, one from 1 to 0, one from 0 to 2.
        places = np.array([[0, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]])
        h = histories(np.array([[1, 1, 0], [1, 1, 0], [1, 1, 0], [1, 0, 1]]), places)
        assert CoOccurrence(0, 0, 0, 0, ALL).fit(h, LIMITS).toarray().tolist() == [[0, 2, 1], [1, 0, 0], [0, 0, 0]]
        assert CoOccurrence(0, 0, 0, 1, ALL).fit(h, LIMITS).toarray().tolist() == [[0, 3, 1], [3, 0, 0], [1, 0, 0]]

    def test_a_watch_counts_by_its_strength(self) -> None:
        s = CoOccurrence(0, 0, 0, 1, ALL).fit(histories(np.array([[1.0, 0.5], [0.5, 0.5]])), LIMITS)
        assert s.toarray().tolist() == [[0, 0.75], [0.75, 0]]


class TestEase:
    @settings(max_examples=30, deadline=None)
    @given(HISTORIES, PENALTIES)
    def test_without_order_or_damping_it_is_the_textbooks(self, h: Histories, penalty: float) -> None:
        """Steck 2019: with P = (X^T X + lambda I)^-1, B = I - P . diag(1 / diag P)."""
        x = h.matrix.toarray().astype(np.float64)
        p = np.linalg.inv(x.T @ x + penalty * np.eye(x.shape[1]))
        close(Ease(penalty, 0, 0, 1, ALL).fit(h, LIMITS).toarray(), np.eye(len(p)) - p / np.diag(p))

    @settings(max_examples=40, deadline=None)
    @given(HISTORIES, PENALTIES, EXPONENTS, EXPONENTS, ORDERS)
    def test_it_is_the_constrained_least_squares_of_its_description(
        self, h: Histories, penalty: float, b: float, p: float, w: float
    ) -> None:
        close(Ease(penalty, b, p, w, ALL).fit(h, LIMITS).toarray(), ease(h, penalty, b, p, w))

    @settings(max_examples=30, deadline=None)
    @given(HISTORIES, ORDERS, st.integers(1, 4))
    def test_a_cut_keeps_each_rows_largest_magnitudes(self, h: Histories, w: float, k: int) -> None:
        whole = Ease(10, 0.5, 0.5, w, ALL).fit(h, LIMITS).toarray()
        cut = Ease(10, 0.5, 0.5, w, k).fit(h, LIMITS).toarray()
        assert cut[cut != 0].tolist() == whole[cut != 0].tolist()
        np.testing.assert_array_equal(np.sort(np.abs(cut)), np.sort(np.abs(largest(whole, k))))

    @pytest.mark.parametrize("w", [0.2, 1.0])
    def test_more_titles_than_a_block_of_rows_are_no_different(self, w: float) -> None:
        h = drawn(150, 530, seed=4, share=0.05)
        g = gram(h, 0.5)
        p = np.linalg.inv(g + 30 * np.eye(530) + 0.5 * np.diag(np.diag(g)))
        explained = p @ target(h, 0.5, w)
        whole = Ease(30, 0.5, 0.5, w, 1000).fit(h, LIMITS).toarray()
        close(whole, explained - p * (np.diag(explained) / np.diag(p)))
        cut = Ease(30, 0.5, 0.5, w, 7).fit(h, LIMITS).toarray()
        np.testing.assert_array_equal(np.sort(np.abs(cut)), np.sort(np.abs(largest(whole, 7))))

    def test_a_matrix_that_float32_cannot_invert_is_an_error_and_no_model(self) -> None:
        alike = histories(np.ones((4000, 30)) * 100)
        with pytest.raises(ArithmeticError, match="30 titles cannot be inverted; a larger lambda"):
            Ease(1e-6, 0, 0, 1, ALL).fit(alike, LIMITS)


class TestLocalRidge:
    @settings(max_examples=40, deadline=None)
    @given(HISTORIES, FAMILIES, PENALTIES)
    def test_each_title_is_regressed_on_those_that_count_for_it(
        self, h: Histories, candidates: CoOccurrence, penalty: float
    ) -> None:
        g, t = gram(h, candidates.user_exponent), target(h, candidates.user_exponent, candidates.order)
        expected = np.zeros_like(g)
        for j in range(len(g)):
            chosen = [i for i in range(len(g)) if i != j and t[i, j] > 0]
            if chosen:
                system = g[np.ix_(chosen, chosen)] + penalty * np.eye(len(chosen))
                expected[chosen, j] = np.linalg.solve(system, t[chosen, j])
        close(LocalRidge(penalty, candidates).fit(h, LIMITS).toarray(), expected)

    @settings(max_examples=20, deadline=None)
    @given(st.integers(10, 20), st.integers(2, 8), st.integers(0, 2**20), PENALTIES)
    def test_where_all_titles_go_together_it_is_ease(self, users: int, titles: int, seed: int, penalty: float) -> None:
        h = drawn(users, titles, seed, share=0.8)
        assume(gram(h, 0).all())
        close(
            LocalRidge(penalty, CoOccurrence(0.5, 0, 0.5, 1, ALL)).fit(h, LIMITS).toarray(),
            ease(h, penalty, 0, 0, 1),
        )

    @settings(max_examples=20, deadline=None)
    @given(HISTORIES, st.integers(1, 3))
    def test_its_candidates_are_those_the_family_ranks_highest(self, h: Histories, k: int) -> None:
        candidates = CoOccurrence(0.3, 0.5, 0.1, 0.2, k)
        solved = LocalRidge(10.0, candidates).fit(h, LIMITS).toarray()
        scores = family(h, candidates)
        for j in range(len(scores)):
            least = np.sort(scores[:, j])[::-1][:k][-1]
            assert (solved[:, j] != 0).sum() <= k
            assert (scores[solved[:, j] != 0, j] >= least * (1 - 1e-5)).all()


class TestEaseOnHead:
    @settings(max_examples=30, deadline=None)
    @given(HISTORIES, st.integers(1, 10), ORDERS, ORDERS)
    def test_it_is_ease_among_the_most_liked_and_the_family_elsewhere_on_its_scale(
        self, h: Histories, head: int, w: float, rest_w: float
    ) -> None:
        titles = h.matrix.shape[1]
        of_head, rest = Ease(10, 0.5, 0.5, w, ALL), CoOccurrence(0.5, 0.5, 0.3, rest_w, ALL)
        most_liked = sorted(sorted(range(titles), key=lambda t: (-h.title_degree[t], t))[:head])
        square = np.ix_(most_liked, most_liked)
        among = _ease_among(h, most_liked, w)
        expected = family(h, rest)
        theirs, ours = np.abs(among[np.abs(among) > 1e-9]), expected[square][expected[square] > 0]
        expected *= (theirs.mean() if len(theirs) else 1) / (ours.mean() if len(ours) else 1)
        expected[square] = among
        close(EaseOnHead(head, of_head, rest).fit(h, LIMITS).toarray(), expected)

    def test_with_everything_in_the_head_it_is_ease(self) -> None:
        h = drawn(60, 20, seed=7)
        regression = Ease(10, 0.5, 0.5, 0.2, 6)
        together = EaseOnHead(20, regression, CoOccurrence(0.5, 0.5, 0.3, 0.2, 6)).fit(h, LIMITS)
        assert together.toarray().tolist() == regression.fit(h, LIMITS).toarray().tolist()


def _ease_among(h: Histories, titles: list[int], w: float) -> np.ndarray:
    """EASE as if there were these titles only: what came first among them stays first."""
    r = h.matrix.toarray()[:, titles]
    places = np.zeros(h.matrix.shape, dtype=np.int64)
    user = np.repeat(np.arange(h.matrix.shape[0]), np.diff(h.matrix.indptr))
    places[user, h.matrix.indices] = h.places
    ranks = np.zeros(r.shape, dtype=np.int64)
    for u, there in enumerate(r > 0):
        ranks[u, there] = np.argsort(np.argsort(places[u, titles][there]))
    return ease(histories(r, ranks), 10, 0.5, 0.5, w)


def test_the_oracle_of_order_is_right_where_it_can_be_counted_by_hand() -> None:
    h = histories(np.array([[1, 1, 1]]), np.array([[2, 0, 1]]))  # 1, then 2, then 0
    assert before(h, 0).tolist() == [[0, 0, 0], [1, 0, 1], [1, 0, 0]]
