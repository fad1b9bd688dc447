"""Ridge regression of each title on its own strongest candidates: EASE's idea for catalogues it does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

from shared.errors import TrainingTooLarge
from worker.training.estimators.cooccurrence import CoOccurrence
from worker.training.estimators.counting import Counts
from worker.training.estimators.cut import strongest
from worker.training.estimators.estimator import Limits, not_invertible
from worker.training.interactions import Histories


@dataclass(frozen=True)
class LocalRidge:
    """For each title j: S[C, j] = (G[C, C] + lambda I)^-1 . T[C, j], C being j's strongest candidates.

    G = R^T . Du^-b . R, T = w . G + (1 - w) . F (cooccurrence.py), and C the M titles that a member of the
    co-occurrence family ranks highest for j, of those with T[i, j] > 0. With C all titles, w = 1 and b = 0 it is ridge
    regression of each title on all the others, which is EASE. Sparse throughout: for each title a system of M equations
    instead of one as large as the catalogue for all.
    """

    penalty: float  # lambda
    candidates: CoOccurrence  # chooses C; its b and w are the regression's, its K is M

    name: ClassVar[str] = "local-ridge"

    @property
    def neighbours(self) -> int:
        """K weights per column: a popular title may be a candidate of more than M others, and have a longer row."""
        return self.candidates.neighbours

    @property
    def parameters(self) -> Mapping[str, float | int]:
        """For the manifest."""
        return {"lambda": self.penalty, **self.candidates.parameters}

    def needs_bytes(self, histories: Histories) -> int:
        """G as a sparse matrix, at most an entry per pair of a user's titles, and the candidates."""
        titles = histories.matrix.shape[1]
        pairs = min(float((histories.user_degree**2).sum()), float(titles) ** 2)
        return int(16 * pairs) + self.candidates.needs_bytes(histories)

    def fit(self, histories: Histories, limits: Limits) -> sparse.csr_array:
        """S (titles, titles), float32, signed, rows in order of column. Raises TrainingTooLarge before it starts."""
        titles = histories.matrix.shape[1]
        needed = self.needs_bytes(histories)
        if needed > limits.memory_bytes:
            raise TrainingTooLarge(self.name, titles, needed, limits.memory_bytes)
        root = histories.user_degree ** (-self.candidates.user_exponent / 2)
        rooted = (sparse.diags_array(root.astype(np.float32)) @ histories.matrix).tocsr()
        gram = sparse.csr_matrix(rooted.T @ rooted)

        degree = histories.title_degree
        # Transposed: a row per title to be explained, its candidates in it.
        family = self.candidates
        counts = Counts.of(histories, user_exponent=family.user_exponent, before=1.0, after=family.order)
        scores = counts.strongest(
            slice(0, titles),
            of_row=(degree**-family.title_exponent).astype(np.float32),
            of_column=(degree**-family.history_exponent).astype(np.float32),
            most=family.neighbours,
            threads=limits.threads,
        )
        # What the family scales by is taken out again: T, which the regression explains.
        target = np.repeat(np.arange(titles), np.diff(scores.indptr))
        scale = (
            degree[scores.indices] ** self.candidates.history_exponent
            * degree[target] ** self.candidates.title_exponent
        )
        right_side = (scores.data * scale).astype(np.float32)
        weights = np.empty_like(right_side)
        with threadpool_limits(1):  # a system this small is solved sooner than threads are woken up
            for title in range(titles):
                part = slice(scores.indptr[title], scores.indptr[title + 1])
                chosen = scores.indices[part]
                if len(chosen):
                    weights[part] = self._solve(gram[chosen][:, chosen].toarray(), right_side[part])
        solved = sparse.csr_matrix((weights, (scores.indices, target)), shape=(titles, titles))
        return strongest(solved, titles)

    def _solve(self, system: NDArray[np.float32], right_side: NDArray[np.float32]) -> NDArray[np.float32]:
        """(system + lambda I)^-1 . right_side; the system is symmetric and not negative."""
        system[np.diag_indices_from(system)] += self.penalty
        solution: NDArray[np.float32]
        _, solution, failed = lapack.sposv(system, right_side[:, None], lower=0, overwrite_a=1)
        if failed:
            raise not_invertible(len(system))
        return solution.ravel()
