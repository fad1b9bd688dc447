"""The strongest of each row."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from tests.estimators import largest
from worker.training.estimators.cut import strongest, strongest_of_block

WEIGHTS = st.integers(1, 7).flatmap(
    lambda n: st.lists(st.lists(st.integers(-3, 3), min_size=n, max_size=n), min_size=n, max_size=n)
)


@settings(max_examples=80, deadline=None)
@given(WEIGHTS, st.integers(1, 8))
def test_each_row_keeps_its_largest_magnitudes_without_the_diagonal_ties_by_column(
    weights: list[list[int]], most: int
) -> None:
    dense = np.array(weights, dtype=np.float32)
    found = strongest(sparse.csr_matrix(dense), most)
    np.fill_diagonal(dense, 0)
    assert found.toarray().tolist() == largest(dense, most).tolist()
    assert found.has_sorted_indices


@settings(max_examples=80, deadline=None)
@given(WEIGHTS, st.integers(1, 8))
def test_a_block_keeps_as_much_of_each_row(weights: list[list[int]], most: int) -> None:
    dense = np.array(weights, dtype=np.float32)
    found = strongest_of_block(dense, most).toarray()
    assert found[found != 0].tolist() == dense[found != 0].tolist()
    np.testing.assert_array_equal(np.sort(np.abs(found)), np.sort(np.abs(largest(dense, most))))
