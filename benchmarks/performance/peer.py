"""implicit's CosineRecommender, as the benchmarks of speed ask it. Import it where it is used: it may be missing."""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np
from implicit.nearest_neighbours import CosineRecommender, NearestNeighboursScorer
from implicit.utils import ParameterWarning
from numpy.typing import NDArray
from scipy import sparse

NAME: Final = "implicit"


def fit(matrix: sparse.csr_matrix, *, neighbours: int, threads: int) -> None:
    """Its neighbours of the titles of `matrix` (users, titles)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ParameterWarning)  # of its own matrices, which are not all CSR
        CosineRecommender(K=neighbours, num_threads=threads).fit(matrix, show_progress=False)


class Scorer:
    """Its recommend, by neighbours that it is given instead of those it would have found. For one thread at a time."""

    def __init__(self, neighbours: sparse.csr_array) -> None:
        """neighbours: S (titles, titles), as shared/model.py has it: rows of titles in the history."""
        self._model: Any = CosineRecommender()
        self._model.similarity = sparse.csr_matrix(neighbours, dtype=np.float64, copy=True)
        self._model.scorer = NearestNeighboursScorer(self._model.similarity)

    def recommend(self, histories: sparse.csr_matrix, depth: int) -> NDArray[np.int32]:
        """Titles for each row of the histories (users, titles), without the row's own. Shape (users, depth)."""
        users = np.arange(histories.shape[0])
        titles: NDArray[np.int32]
        titles, _ = self._model.recommend(users, histories, N=depth, filter_already_liked_items=True)
        return titles
