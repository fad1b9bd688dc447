"""The models of implicit: two factorisations and three kinds of item neighbours. Always on the CPU."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, ItemItemRecommender, TFIDFRecommender
from implicit.recommender_base import ModelFitError
from implicit.utils import ParameterWarning
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from benchmarks.peers.lists import NONE, by_popularity, complete
from benchmarks.peers.peer import NotFitted, Peer, Recommend, Setting, check_memory, grid

_Factors: TypeAlias = "AlternatingLeastSquares | BayesianPersonalizedRanking"

_MOST_FACTORS: Final = 256
_MOST_NEIGHBOURS: Final = 1000


def peers(*, threads: int) -> list[Peer]:
    """All of them."""
    return [
        Als(threads),
        Bpr(),
        Neighbours("implicit cosine", CosineRecommender, threads),
        Neighbours("implicit TF-IDF", TFIDFRecommender, threads),
        Bm25(threads),
    ]


@dataclass(frozen=True)
class Als:
    """Alternating least squares. The same seed gives the same model."""

    threads: int

    name = "implicit ALS"
    iterations = 15

    def settings(self) -> Sequence[Setting]:
        # The penalty works against the weight of the positives, so each alpha has its own range; far below it nothing
        # changes. Few factors win on dense data with a small alpha, many on sparse data with a large one.
        return (
            grid(factors=(128,), alpha=(40.0,), regularization=(10.0, 100.0, 0.1))
            + grid(factors=(128,), alpha=(10.0,), regularization=(30.0, 10.0, 0.1))
            + grid(factors=(64, 128), alpha=(1.0,), regularization=(10.0,))
            + grid(factors=(64,), alpha=(1.0, 10.0), regularization=(1.0, 30.0))
            + grid(factors=(_MOST_FACTORS,), alpha=(40.0,), regularization=(10.0, 100.0))
            + grid(factors=(_MOST_FACTORS,), alpha=(10.0,), regularization=(10.0,))
        )

    def needs_bytes(self, matrix: sparse.csr_array) -> int:
        return _factor_bytes(matrix)

    def fit(self, matrix: sparse.csr_array, setting: Setting, *, seed: int) -> Recommend:
        check_memory(self, matrix)
        with threadpool_limits(1, "blas"):  # implicit's own advice: its threads, not those of BLAS
            model = AlternatingLeastSquares(
                **setting, iterations=self.iterations, num_threads=self.threads, random_state=seed
            )
            _fit(model, matrix)
        popular = by_popularity(matrix)

        def recommend(
            users: NDArray[np.int64], history: sparse.csr_array, seen: sparse.csr_array, k: int
        ) -> NDArray[np.int64]:
            factors = model.user_factors[users]
            # Users who have done something since the fit: solved again from what they have done by now.
            changed = np.flatnonzero(abs(history - matrix[users]).sum(axis=1))
            with threadpool_limits(1, "blas"):
                if len(changed):
                    factors[changed] = model.recalculate_user(users[changed], _csr(history[changed]))
                return _from_factors(model, factors, history, seen, popular, k)

        return recommend


@dataclass(frozen=True)
class Bpr:
    """Bayesian personalised ranking, by stochastic gradient descent.

    On one thread always: with more, threads overwrite each other's steps, and no seed gives the same model twice.
    A user's factors are those of the fit; the library has no way to put a newer history into them.
    """

    name = "implicit BPR"

    def settings(self) -> Sequence[Setting]:
        return (
            grid(factors=(64,), iterations=(100,), learning_rate=(0.05, 0.01, 0.1), regularization=(0.01, 0.03))
            + grid(factors=(128,), iterations=(100,), learning_rate=(0.05, 0.01), regularization=(0.01,))
            + grid(factors=(64,), iterations=(300,), learning_rate=(0.1, 0.05), regularization=(0.01,))
        )

    def needs_bytes(self, matrix: sparse.csr_array) -> int:
        return _factor_bytes(matrix)

    def fit(self, matrix: sparse.csr_array, setting: Setting, *, seed: int) -> Recommend:
        check_memory(self, matrix)
        model = BayesianPersonalizedRanking(**setting, num_threads=1, random_state=seed)
        with threadpool_limits(1, "blas"):
            _fit(model, matrix)
        popular = by_popularity(matrix)

        def recommend(
            users: NDArray[np.int64], history: sparse.csr_array, seen: sparse.csr_array, k: int
        ) -> NDArray[np.int64]:
            with threadpool_limits(1, "blas"):
                return _from_factors(model, model.user_factors[users], history, seen, popular, k)

        return recommend


@dataclass(frozen=True)
class Neighbours:
    """Item neighbours; the same model every time. The library counts a title among its own K neighbours."""

    name: str
    kind: type[ItemItemRecommender]
    threads: int

    def settings(self) -> Sequence[Setting]:
        return grid(K=(200, 100, 50, 20, 500, _MOST_NEIGHBOURS))

    def needs_bytes(self, matrix: sparse.csr_array) -> int:
        return _neighbour_bytes(matrix)

    def fit(self, matrix: sparse.csr_array, setting: Setting, *, seed: int) -> Recommend:  # noqa: ARG002
        check_memory(self, matrix)
        return _from_neighbours(self.kind(**setting, num_threads=self.threads), matrix)


@dataclass(frozen=True)
class Bm25:
    """Item neighbours weighted by BM25; the same model every time."""

    threads: int

    name = "implicit BM25"

    def settings(self) -> Sequence[Setting]:
        return grid(K=(200, 500, 50), K1=(0.2, 0.1, 0.6, 1.2), B=(0.2, 0.5, 0.35, 0.8))

    def needs_bytes(self, matrix: sparse.csr_array) -> int:
        return _neighbour_bytes(matrix)

    def fit(self, matrix: sparse.csr_array, setting: Setting, *, seed: int) -> Recommend:  # noqa: ARG002
        check_memory(self, matrix)
        return _from_neighbours(BM25Recommender(**setting, num_threads=self.threads), matrix)


def _fit(model: _Factors | ItemItemRecommender, matrix: sparse.csr_array) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ParameterWarning)  # of its own matrices, which are not all CSR
            model.fit(_csr(matrix), show_progress=False)
    except ModelFitError as error:
        raise NotFitted(str(error)) from error


def _from_factors(
    model: _Factors,
    factors: NDArray[np.float32],
    history: sparse.csr_array,
    seen: sparse.csr_array,
    popular: NDArray[np.int64],
    k: int,
) -> NDArray[np.int64]:
    """Titles by factors . item factors. `factors` has a row for each row of `history`."""
    asked = copy(model)
    asked.user_factors = factors
    ranked, _ = asked.recommend(
        np.arange(len(factors)), _csr(seen), N=min(k, seen.shape[1]), filter_already_liked_items=True
    )
    ranked[np.diff(history.indptr) == 0] = NONE  # factors of no history are where they started, or zero
    return complete(ranked, seen, popular, k)


def _from_neighbours(model: ItemItemRecommender, matrix: sparse.csr_array) -> Recommend:
    """Fit it; titles by the sum of their similarities to those of the history."""
    _fit(model, matrix)
    popular = by_popularity(matrix)

    def recommend(
        users: NDArray[np.int64], history: sparse.csr_array, seen: sparse.csr_array, k: int
    ) -> NDArray[np.int64]:
        def ranked() -> Iterator[NDArray[np.int32]]:
            rows = _csr(history)
            # The library can leave out the history, but not what else has been seen: so as many more are asked for,
            # and `complete` leaves them out. One user at a time, as its batch would do.
            for row, (user, surplus) in enumerate(zip(users.tolist(), np.diff(seen.indptr).tolist(), strict=True)):
                yield model.recommend(user, rows[row], N=k + surplus, filter_already_liked_items=False)[0]

        return complete(ranked(), seen, popular, k)

    return recommend


def _csr(matrix: sparse.csr_array) -> sparse.csr_matrix:
    """The older of scipy's two kinds, with the 32-bit indices that implicit is compiled for."""
    return sparse.csr_matrix(
        (matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)), shape=matrix.shape
    )


def _factor_bytes(matrix: sparse.csr_array) -> int:
    """The factors twice, float32, and the matrix with its transpose."""
    rows: int = sum(matrix.shape)  # of users and of titles
    return 2 * rows * _MOST_FACTORS * 4 + 4 * int(matrix.nnz) * 8


def _neighbour_bytes(matrix: sparse.csr_array) -> int:
    """K neighbours of each title, as two indices and a double, before and after they are sorted into rows."""
    titles: int = matrix.shape[1]
    return 2 * titles * _MOST_NEIGHBOURS * 16 + 4 * int(matrix.nnz) * 16
