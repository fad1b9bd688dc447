"""Who liked what together, and what before what, held to the count pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from tests.histories import histories
from worker.training.estimators.counting import Counts
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


def counted(h: Histories, b: float, *, before: float = 0.0, after: float = 1.0) -> np.ndarray:
    counts = Counts.of(h, user_exponent=b, before=before, after=after).dense(threads=1)
    assert counts.dtype == np.float32
    return counts.astype(np.float64)


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
def test_a_count_is_the_sum_over_every_users_pairs(lengths: list[int], b: float, seed: int) -> None:
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


@pytest.mark.parametrize(("before", "after"), [(1.0, 1.0), (0.25, 1.0), (1.0, 0.25), (1.0, 0.0)])
def test_what_came_before_and_what_came_after_weigh_as_they_are_asked_to(before: float, after: float) -> None:
    h = of_lengths([3, 12, 7, 1, 0, 9], 12, seed=5)
    f = pair_by_pair(h, 0.5)
    np.testing.assert_allclose(counted(h, 0.5, before=before, after=after), after * f + before * f.T, rtol=1e-5)


def test_the_diagonal_that_is_left_out_is_known() -> None:
    h = of_lengths([3, 12, 7, 1, 0, 9], 12, seed=6)
    r = h.matrix.toarray().astype(np.float64)
    whole = r.T @ np.diag(h.user_degree**-0.5) @ r
    found = Counts.of(h, user_exponent=0.5, before=1.0, after=1.0).diagonal()
    np.testing.assert_allclose(found, np.diagonal(whole), rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 25), min_size=1, max_size=12),
    st.integers(1, 30),
    st.sampled_from([(1.0, 1.0), (0.2, 1.0)]),
    st.integers(0, 2**20),
)
def test_the_strongest_of_a_row_are_its_largest_and_of_equals_the_first(
    lengths: list[int], most: int, weights: tuple[float, float], seed: int
) -> None:
    h = of_lengths(lengths, 25, seed)
    draw = np.random.default_rng(seed)
    of_row, of_column = draw.choice([0.5, 1.0, 2.0], (2, 25)).astype(np.float32)  # scales without rounding, and ties
    counts = Counts.of(h, user_exponent=0.0, before=weights[0], after=weights[1])
    whole = of_row[:, None] * counts.dense(threads=1) * of_column
    found = counts.strongest(slice(0, 25), of_row=of_row, of_column=of_column, most=most, threads=1)
    for row in range(25):
        best = np.sort(np.argsort(-whole[row], kind="stable")[:most])
        best = best[whole[row, best] > 0]
        part = slice(found.indptr[row], found.indptr[row + 1])
        assert found.indices[part].tolist() == best.tolist()
        assert found.data[part].tolist() == whole[row, best].tolist()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [1, 7, 64, 100, 300])
def test_rows_made_a_block_at_a_time_are_those_made_at_once_to_the_bit(size: int, threads: int) -> None:
    draw = np.random.default_rng(7)
    h = of_lengths(draw.integers(0, 60, 150).tolist(), 300, seed=7)
    counts = Counts.of(h, user_exponent=0.5, before=0.2, after=1.0)
    scales = draw.random((2, 300)).astype(np.float32) + np.float32(0.1)

    def rows(part: slice, threads: int) -> sparse.csr_array:
        return counts.strongest(part, of_row=scales[0], of_column=scales[1], most=20, threads=threads)

    whole = rows(slice(0, 300), 1)
    blocks = [rows(slice(start, min(start + size, 300)), threads) for start in range(0, 300, size)]
    assert np.concatenate([block.data for block in blocks]).tobytes() == whole.data.tobytes()
    assert np.concatenate([block.indices for block in blocks]).tobytes() == whole.indices.tobytes()
