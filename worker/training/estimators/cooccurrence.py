"""The co-occurrence family of neighbour models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sparse_dot_topn import sp_matmul_topn

from shared.errors import TrainingTooLarge
from worker.training.estimators.cut import BYTES, strongest
from worker.training.estimators.estimator import Limits
from worker.training.estimators.order import precedence
from worker.training.interactions import Histories


@dataclass(frozen=True)
class CoOccurrence:
    """S = Di^-a . (w . R^T . Du^-b . R + (1 - w) . F) . Di^-c without its diagonal, each row cut to its K largest.

    R is users x titles; Du and Di hold the number of titles per user and of users per title. F counts as
    R^T . Du^-b . R does, but only where the title of the row was liked before the title of the column (order.py). w = 1
    forgets the order: then a = b = c = 0 is the plain count of shared users, the seed's own definition, and
    a = c = 0.5, b = 0 the cosine. With w below 1 what came later counts more, and what came earlier less: a first film
    speaks for its sequel.
    """

    history_exponent: float  # a
    user_exponent: float  # b
    title_exponent: float  # c
    order: float  # w
    neighbours: int  # K

    name: ClassVar[str] = "co-occurrence"

    @property
    def parameters(self) -> Mapping[str, float | int]:
        """For the manifest."""
        return {
            "a": self.history_exponent,
            "b": self.user_exponent,
            "c": self.title_exponent,
            "w": self.order,
            "k": self.neighbours,
        }

    def needs_bytes(self, histories: Histories) -> int:
        """S, and while it is made its factors; with the order, each entry is in log2 of its history's length rows."""
        matrix = histories.matrix
        digits = np.ceil(np.log2(histories.user_degree)) if self.order < 1 else 0.0
        entries = int((histories.user_degree * (2 + digits)).sum())
        return 16 * entries + BYTES * matrix.shape[1] * min(self.neighbours + 1, matrix.shape[1])

    def fit(self, histories: Histories, limits: Limits) -> sparse.csr_array:
        """S (titles, titles), float32, above zero, rows in order of column.

        Raises TrainingTooLarge where counting by order would take too much. Without the order nothing takes less.
        """
        titles = histories.matrix.shape[1]
        needed = self.needs_bytes(histories)
        if self.order < 1 and needed > limits.memory_bytes:
            raise TrainingTooLarge(f"{self.name} by order (MODEL_ORDER)", titles, needed, limits.memory_bytes)
        left, right = self.factors(histories)
        # One more than K, for the title itself, which may or may not be among them.
        most = min(self.neighbours + 1, titles)
        product = sp_matmul_topn(left.T.tocsr(), right, most, sort=False, n_threads=limits.threads)
        return strongest(product, self.neighbours)

    def factors(self, histories: Histories) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """Left and right with left^T . right = S before it is cut, diagonal included; (rows, titles), float32."""
        matrix, degree = histories.matrix, histories.title_degree
        left = [_scaled(matrix, self.order * histories.user_degree**-self.user_exponent)] if self.order else []
        right = [sparse.csr_matrix(matrix)] if self.order else []
        if self.order < 1:
            earlier, later = precedence(histories, user_exponent=self.user_exponent)
            left.append((1 - self.order) * earlier)
            right.append(later)
        return (
            _by_title(sparse.vstack(left, format="csr"), degree**-self.history_exponent),
            _by_title(sparse.vstack(right, format="csr"), degree**-self.title_exponent),
        )


def _scaled(matrix: sparse.csr_array, rows: NDArray[np.float64]) -> sparse.csr_matrix:
    """diag(rows) . matrix, float32."""
    data = (matrix.data * np.repeat(rows, np.diff(matrix.indptr))).astype(np.float32)
    return sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def _by_title(matrix: sparse.csr_matrix, columns: NDArray[np.float64]) -> sparse.csr_matrix:
    """matrix . diag(columns), float32."""
    data = (matrix.data * columns[matrix.indices]).astype(np.float32)
    return sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)
