"""The models of lenskit: item neighbours, SLIM and EASE. Always on the CPU; no model here depends on the seed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa
import structlog
from lenskit.data import Dataset, DatasetBuilder, ItemList, RecQuery
from lenskit.knn.ease import EASEScorer
from lenskit.knn.item import ItemKNNScorer
from lenskit.knn.slim import SLIMScorer
from lenskit.parallel import initialize
from lenskit.training import TrainingOptions
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.peers.lists import best, by_popularity, complete
from benchmarks.peers.peer import Peer, Recommend, Setting, check_memory, grid

_ROWS: Final = 256  # users scored at a time: dense rows over all titles

_MOST_SAVED: Final = 5000  # neighbours of a title: a bound for memory, not for accuracy
_MOST_LEARNED_FROM: Final = 200  # titles, by SLIM

# What an inversion takes, in matrices of titles x titles: measured on 8,000 titles, 3.05.
_EASE_MATRICES: Final = 3.2


def peers(*, threads: int) -> list[Peer]:
    """All of them."""
    _prepare(threads)
    return [ItemNeighbours(), Slim(), Ease()]


@cache
def _prepare(threads: int) -> None:
    """Once per process, as the library wants it: its threads, and no word below a warning."""
    initialize(processes=1, threads=threads, backend_threads=threads)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


@dataclass(frozen=True)
class ItemNeighbours:
    """Item neighbours by cosine, for feedback without ratings."""

    name = "lenskit item-kNN"

    def settings(self) -> Sequence[Setting]:
        return grid(max_nbrs=(50, 100, 20), min_sim=(1e-6, 0.03))

    def needs_bytes(self, matrix: sparse.csr_array) -> int:
        """Every pair of titles that share a user, at most, with room for joining the blocks."""
        titles: int = matrix.shape[1]
        per_user = np.diff(matrix.indptr).astype(np.int64)
        return 24 * min(int((per_user**2).sum()), titles * min(titles, _MOST_SAVED))

    def fit(self, matrix: sparse.csr_array, setting: Setting, *, seed: int) -> Recommend:
        check_memory(self, matrix)
        model = ItemKNNScorer(feedback="implicit", save_nbrs=_MOST_SAVED, **setting)
        model.train(_dataset(matrix), _options(seed))
        titles = ItemList.from_vocabulary(model.items)

        def scores(history: sparse.csr_array) -> Iterator[NDArray[np.float32]]:
            for liked in np.split(history.indices, history.indptr[1:-1]):
                query = RecQuery(history_items=ItemList(item_nums=liked, vocabulary=model.items))
                yield np.asarray(model(query, titles).scores())

        return _recommend(scores, matrix)


@dataclass(frozen=True)
class Slim:
    """Sparse linear method; with `max_nbrs`, each title is learned from its nearest only."""

    name = "lenskit SLIM"

    def settings(self) -> Sequence[Setting]:
        many = grid(max_nbrs=(_MOST_LEARNED_FROM,), l2_reg=(100.0, 30.0, 300.0, 10.0), l1_reg=(1.0, 0.1))
        few = grid(max_nbrs=(50,), l2_reg=(30.0, 100.0), l1_reg=(1.0,))
        return many + few

    def needs_bytes(self, matrix: sparse.csr_array) -> int:
        """A weight from each of the nearest, with its index, before and after the blocks are joined and turned."""
        titles: int = matrix.shape[1]
        return titles * _MOST_LEARNED_FROM * 24 + 4 * int(matrix.nnz) * 8

    def fit(self, matrix: sparse.csr_array, setting: Setting, *, seed: int) -> Recommend:
        check_memory(self, matrix)
        model = SLIMScorer(**setting)
        model.train(_dataset(matrix), _options(seed))
        return _from_weights(model.weights, matrix)


@dataclass(frozen=True)
class Ease:
    """Ridge regression of every title on all others, in closed form: a dense titles x titles matrix is inverted."""

    name = "lenskit EASE"

    def settings(self) -> Sequence[Setting]:
        return grid(regularization=(300.0, 100.0, 1000.0, 30.0, 3000.0))

    def needs_bytes(self, matrix: sparse.csr_array) -> int:
        return int(_EASE_MATRICES * 4 * matrix.shape[1] ** 2)

    def fit(self, matrix: sparse.csr_array, setting: Setting, *, seed: int) -> Recommend:
        check_memory(self, matrix)
        model = EASEScorer(**setting)
        model.train(_dataset(matrix), _options(seed))
        return _from_weights(model.weights, matrix)


def _dataset(matrix: sparse.csr_array) -> Dataset:
    """The matrix as lenskit's data. Its numbers of users and titles are our indices: ids are added in order."""
    users = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    builder = DatasetBuilder()
    builder.add_entities("user", np.arange(matrix.shape[0]))
    builder.add_entities("item", np.arange(matrix.shape[1]))
    builder.add_interactions(
        "like",
        pa.table({"user_id": users, "item_id": matrix.indices.astype(np.int64)}),
        entities=["user", "item"],
        missing="error",
        allow_repeats=False,
        default=True,
    )
    return builder.build()


def _options(seed: int) -> TrainingOptions:
    return TrainingOptions(rng=seed, device="cpu", environment={"LK_EASE_SOLVER": "torch"})


def _from_weights(weights: NDArray[np.float32] | sparse.csr_array, matrix: sparse.csr_array) -> Recommend:
    """Titles by history . W: what the library does for one user, for many at once.

    EASE's own call multiplies a dense row by the whole matrix for every user: a third of a second on 24,000 titles.
    """

    def scores(history: sparse.csr_array) -> Iterator[NDArray[np.float32]]:
        for first in range(0, history.shape[0], _ROWS):
            product = history[first : first + _ROWS] @ weights
            rows = product.toarray() if sparse.issparse(product) else product
            rows[rows == 0] = np.nan  # no weight from any title of the history: nothing is said
            yield from rows

    return _recommend(scores, matrix)


def _recommend(
    scores: Callable[[sparse.csr_array], Iterator[NDArray[np.float32]]], matrix: sparse.csr_array
) -> Recommend:
    """The best by scores over all titles, of which each user has a row; NaN where nothing is said."""
    popular = by_popularity(matrix)

    def recommend(
        users: NDArray[np.int64],  # noqa: ARG001 - part of every peer's signature
        history: sparse.csr_array,
        seen: sparse.csr_array,
        k: int,
    ) -> NDArray[np.int64]:
        def ranked() -> Iterator[NDArray[np.int64]]:
            for row, values in enumerate(scores(history)):
                unseen = values.copy()
                unseen[seen.indices[seen.indptr[row] : seen.indptr[row + 1]]] = np.nan
                yield best(unseen, k)

        return complete(ranked(), seen, popular, k)

    return recommend
