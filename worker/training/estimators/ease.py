"""EASE: ridge regression of every title on all the others, in closed form; and the same with regard to order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

from shared.errors import TrainingTooLarge
from worker.training.estimators.counting import Counts
from worker.training.estimators.cut import BYTES, strongest, strongest_of_block
from worker.training.estimators.estimator import Limits, not_invertible
from worker.training.interactions import Histories

_BLOCK = 512  # rows worked on at once
_MOST_TITLES = 46_000  # beyond it LAPACK's 32-bit counts overflow

Square = NDArray[np.float32]


@dataclass(frozen=True)
class Ease:
    """B minimises |W - W B|^2 + tr(B^T L B) with a diagonal of zeros; W = Du^-b/2 . R, L = lambda + p diag(W^T W).

    With P = (W^T W + L)^-1 that is B[i, j] = -P[i, j] / P[j, j] (Steck, Embarrassingly Shallow Autoencoders for Sparse
    Data, 2019; there b = p = 0). With an order w below 1 the regression's right side, W^T W, gives way to
    w . W^T W + (1 - w) . F, F counting only what came before (cooccurrence.py):

        B = w . (-P / diag P) + (1 - w) . (P F - P . diag(P F) / diag P), without the diagonal.

    Everything is float32. P takes the place of W^T W; with order, F is a second array of titles x titles.
    """

    penalty: float  # lambda
    user_exponent: float  # b
    popularity_penalty: float  # p
    order: float  # w
    neighbours: int  # K

    name: ClassVar[str] = "ease"

    @property
    def parameters(self) -> Mapping[str, float | int]:
        """For the manifest."""
        return {
            "lambda": self.penalty,
            "b": self.user_exponent,
            "p": self.popularity_penalty,
            "w": self.order,
            "k": self.neighbours,
        }

    def needs_bytes(self, histories: Histories) -> int:
        """Square arrays of titles, blocks of rows, and S."""
        titles = histories.matrix.shape[1]
        squares = 1 if self.order == 1 else 2
        return 4 * titles * (squares * titles + 4 * _BLOCK) + BYTES * titles * min(self.neighbours, titles)

    def fit(self, histories: Histories, limits: Limits) -> sparse.csr_array:
        """S (titles, titles), float32, signed, rows in order of column. Raises TrainingTooLarge before it starts."""
        titles = histories.matrix.shape[1]
        needed = self.needs_bytes(histories)
        if needed > limits.memory_bytes or titles > _MOST_TITLES:
            raise TrainingTooLarge(self.name, titles, needed, limits.memory_bytes)
        with threadpool_limits(limits.threads):
            inverse = self._inverse(histories, limits)
            blocks = [strongest_of_block(block, self.neighbours) for block in self._rows(histories, inverse, limits)]
        return strongest(sparse.vstack(blocks, format="csr"), self.neighbours)

    def _inverse(self, histories: Histories, limits: Limits) -> Square:
        """P."""
        counts = Counts.of(histories, user_exponent=self.user_exponent, before=1.0, after=1.0)
        gram = counts.dense(threads=limits.threads)
        diagonal = counts.diagonal()
        np.fill_diagonal(gram, (1 + self.popularity_penalty) * diagonal + self.penalty)
        return _inverted(gram)

    def _rows(self, histories: Histories, inverse: Square, limits: Limits) -> Iterator[Square]:
        """B, a block of rows at a time."""
        pivot = np.diagonal(inverse).copy()
        blocks = range(0, len(inverse), _BLOCK)
        if self.order == 1:
            return (_without_diagonal(-inverse[start : start + _BLOCK] / pivot, start) for start in blocks)
        counts = Counts.of(histories, user_exponent=self.user_exponent, before=0.0, after=1.0)
        before = counts.dense(threads=limits.threads)
        # What each column loses so that its diagonal is zero: w / P[j, j] + (1 - w) (P F)[j, j] / P[j, j].
        on_diagonal = np.concatenate(
            [np.einsum("ij,ji->i", inverse[s : s + _BLOCK], before[:, s : s + _BLOCK]) for s in blocks]
        )
        loss = ((self.order + (1 - self.order) * on_diagonal) / pivot).astype(np.float32)

        def rows(start: int) -> Square:
            part = inverse[start : start + _BLOCK]
            return _without_diagonal((1 - self.order) * (part @ before) - part * loss, start)

        return (rows(start) for start in blocks)


def _inverted(gram: Square) -> Square:
    """The inverse of a symmetric positive definite matrix, in its own memory (Cholesky)."""
    # LAPACK counts by columns: the transposed view is what it takes without a copy, and its upper half our lower.
    factor, failed = lapack.spotrf(gram.T, lower=0, overwrite_a=1)
    if not failed:
        factor, failed = lapack.spotri(factor, lower=0, overwrite_c=1)
    if failed:
        raise not_invertible(len(gram))
    inverse: Square = factor.T
    for start in range(0, len(inverse), _BLOCK):
        end = start + _BLOCK
        square = np.tril(inverse[start:end, start:end])
        inverse[start:end, start:end] = square + np.tril(square, -1).T
        inverse[start:end, end:] = inverse[end:, start:end].T
    return inverse


def _without_diagonal(block: Square, start: int) -> Square:
    rows = np.arange(len(block))
    block[rows, start + rows] = 0.0
    return block.astype(np.float32, copy=False)
