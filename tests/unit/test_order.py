"""Who liked what before what, as one sparse product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.histories import histories
from worker.training.estimators.order import precedence
from worker.training.interactions import Histories

EXPONENTS = st.sampled_from([0.0, 0.5, 1.0])
AROUND_POWERS_OF_TWO = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33]


def pair_by_pair(h: Histories, b: float) -> np.ndarray:
    """F: for each user, every pair of an earlier and a later title."""
    n = h.matrix.shape[1]
    f = np.zeros((n, n))
    for user in range(h.matrix.shape[0]):
        entries = range(h.matrix.indptr[user], h.matrix.indptr[user + 1])
        damping = float(max(1, len(entries))) ** -b
        for i in entries:
            for j in entries:
                if h.places[i] < h.places[j]:
                    f[h.matrix.indices[i], h.matrix.indices[j]] += damping * h.matrix.data[i] * h.matrix.data[j]
    return f


def counted(h: Histories, b: float) -> np.ndarray:
    earlier, later = precedence(h, user_exponent=b)
    assert earlier.shape == later.shape
    assert earlier.dtype == later.dtype == np.float32
    return (earlier.astype(np.float64).T @ later.astype(np.float64)).toarray()


def of_lengths(lengths: list[int], titles: int, seed: int) -> Histories:
    """Users with histories so long, of titles and strengths drawn at random, in an order drawn at random."""
    draw = np.random.default_rng(seed)
    matrix, places = np.zeros((len(lengths), titles)), np.zeros((len(lengths), titles), dtype=np.int64)
    for user, length in enumerate(lengths):
        chosen = draw.choice(titles, length, replace=False)
        matrix[user, chosen] = draw.choice([0.25, 0.5, 1.0, 2.0], length)
        places[user, chosen] = draw.permutation(length)
    return histories(matrix, places)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=8), EXPONENTS, st.integers(0, 2**20))
def test_the_product_is_the_sum_over_every_users_pairs(lengths: list[int], b: float, seed: int) -> None:
    h = of_lengths(lengths, 12, seed)
    np.testing.assert_allclose(counted(h, b), pair_by_pair(h, b), rtol=1e-5)


@pytest.mark.parametrize("length", AROUND_POWERS_OF_TWO)
def test_a_history_of_any_length_meets_each_of_its_pairs_once(length: int) -> None:
    h = of_lengths([length], 40, seed=length)
    h = Histories(h.title_ids, h.matrix.sign(), h.places)
    assert counted(h, 0.0).sum() == length * (length - 1) / 2
    np.testing.assert_array_equal(counted(h, 0.0), pair_by_pair(h, 0.0))


def test_histories_of_all_these_lengths_side_by_side_do_not_mix() -> None:
    h = of_lengths(AROUND_POWERS_OF_TWO + AROUND_POWERS_OF_TWO[::-1], 35, seed=3)
    np.testing.assert_allclose(counted(h, 0.5), pair_by_pair(h, 0.5), rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 10), min_size=1, max_size=8), EXPONENTS, st.integers(0, 2**20))
def test_both_directions_together_are_the_count_without_order(lengths: list[int], b: float, seed: int) -> None:
    h = of_lengths(lengths, 10, seed)
    r = h.matrix.toarray().astype(np.float64)
    unordered = r.T @ np.diag(h.user_degree**-b) @ r
    np.fill_diagonal(unordered, 0)
    f = counted(h, b)
    np.testing.assert_allclose(f + f.T, unordered, rtol=1e-5, atol=1e-12)


def test_nobody_has_two_titles_and_nothing_comes_before_anything() -> None:
    assert counted(histories(np.eye(4)), 0.5).tolist() == np.zeros((4, 4)).tolist()


def test_a_history_takes_at_most_a_row_per_digit_and_entry_however_many_pairs_it_has() -> None:
    earlier, later = precedence(of_lengths([1000], 1000, seed=1), user_exponent=0.0)
    assert earlier.nnz + later.nnz <= 1000 * 10  # 2^10 > 1000, where its pairs are 499,500
