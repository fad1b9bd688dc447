"""The co-occurrence family of neighbour models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sparse_dot_topn import sp_matmul_topn


@dataclass(frozen=True)
class CoOccurrence:
    """S = Di^-a . R^T . Du^-b . R . Di^-c without its diagonal, each row cut to its K largest.

    R is users x titles; Du and Di hold the number of titles per user and of users per title. a = b = c = 0 is the plain
    count of shared users, the seed's own definition; a = c = 0.5, b = 0 is the cosine.
    """

    history_exponent: float  # a
    user_exponent: float  # b
    title_exponent: float  # c
    neighbours: int  # K

    name = "co-occurrence"

    def fit(self, matrix: sparse.csr_array, *, threads: int) -> sparse.csr_array:
        """R (users, titles), float32, ones -> S (titles, titles), float32, rows in order of column."""
        title_degree = _degree(matrix, axis=0)
        user_degree = _degree(matrix, axis=1)
        right = _scaled(matrix, user_degree**-self.user_exponent, title_degree**-self.title_exponent)
        left = _scaled(matrix, np.ones_like(user_degree), title_degree**-self.history_exponent).T.tocsr()
        titles = matrix.shape[1]
        # One more than K, for the title itself, which may or may not be among them.
        product = sp_matmul_topn(left, right, min(self.neighbours + 1, titles), sort=True, n_threads=threads)
        return _cut(product, self.neighbours)

    def parameters(self) -> dict[str, float | int]:
        """For the manifest."""
        return {
            "a": self.history_exponent,
            "b": self.user_exponent,
            "c": self.title_exponent,
            "k": self.neighbours,
        }


def _degree(matrix: sparse.csr_array, *, axis: int) -> NDArray[np.float64]:
    """Ones per column (axis 0) or row (axis 1), at least 1, so that its negative powers are finite."""
    return np.maximum(np.asarray(matrix.sum(axis=axis)).ravel().astype(np.float64), 1.0)


def _scaled(matrix: sparse.csr_array, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> sparse.csr_matrix:
    """diag(rows) . matrix . diag(columns), float32."""
    data = matrix.data * np.repeat(rows, np.diff(matrix.indptr)) * columns[matrix.indices]
    return sparse.csr_matrix((data.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)


def _cut(product: sparse.csr_matrix, most: int) -> sparse.csr_array:
    """Each row (sorted by falling weight) without its diagonal, cut to `most`, then in order of column."""
    rows = np.repeat(np.arange(product.shape[0]), np.diff(product.indptr))
    other = product.indices != rows
    rows, columns, weights = rows[other], product.indices[other], product.data[other]
    starts = np.searchsorted(rows, np.arange(product.shape[0] + 1))
    kept = np.arange(len(rows)) - starts[rows] < most
    cut = sparse.csr_array((weights[kept], (rows[kept], columns[kept])), shape=product.shape)
    cut.sort_indices()
    return cut
