"""How scoring and memory grow with the catalogue: platforms of one user's scorer, without any database.

Titles, neighbours and histories are drawn by a power law; there are 200 neighbours per title and 127 titles in a
history, as on the platform of the other rows. Memory is what a process holds beside the model, which is mapped.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import numpy as np
from scipy import sparse

from benchmarks.performance.figures import Figure, Plot, Target
from benchmarks.performance.setup import Setup
from shared.catalogue import Catalogue, Listed, Popularity
from shared.ids import IdArray, IdIndex, IndexArray
from shared.model import Manifest, Model
from shared.scorer import Weights, rank, warm_up
from shared.snapshot import Snapshot
from shared.taste import Taste

_TITLES: Final = (15_000, 60_000, 250_000, 1_000_000)
_SCORE = Target("catalogue-score", "Scoring a user of a batch among 1,000,000 titles", "ms")
_MEMORY = Target("catalogue-memory", "Catalogue of 1,000,000 titles, per process", "MB")
TARGETS: Final = (_SCORE, _MEMORY)
_NEIGHBOURS: Final = 200
_HISTORY: Final = 127
_GENRES: Final = 20
_USERS: Final = 200
_SKEW: Final = 3.0  # a title's place is n * u^3, u even


def measure(setup: Setup) -> Iterator[Figure]:
    """Both rows."""
    scores, megabytes = [], []
    warm_up()  # what is compiled is no catalogue's memory
    for titles in _TITLES:
        setup.say(f"catalogue: {titles:,} titles")
        draw = np.random.default_rng(titles)
        ids = np.unique(draw.integers(0, 256, (titles, 16), dtype=np.uint8).view("S16").ravel())
        model = _model(draw, ids)
        snapshot, held = _snapshot(draw, ids, model)
        tastes = [_taste(draw, len(ids)) for _ in range(_USERS)]
        rank(tastes, snapshot, Weights())
        seconds = []
        for _ in range(setup.runs):
            begun = time.perf_counter()
            rank(tastes, snapshot, Weights())
            seconds.append(time.perf_counter() - begun)
        scores.append((float(titles), float(np.median(seconds)) / _USERS * 1000))
        megabytes.append((float(titles), held / 1e6))
        del model, snapshot
    yield Figure(
        _SCORE,
        scores[-1][1],
        "; ".join(f"{titles:,.0f} titles: {score:.2f} ms" for titles, score in scores) + f"; medians of {setup.runs}",
        {"milliseconds": scores},
        [Plot("catalogue", "Scoring a user of a batch, one thread", "titles", "ms", {"rank": scores})],
    )
    yield Figure(
        _MEMORY,
        megabytes[-1][1],
        "; ".join(f"{titles:,.0f} titles: {held:.1f} MB" for titles, held in megabytes),
        {"megabytes": megabytes},
    )


def _places(draw: np.random.Generator, shape: tuple[int, ...], titles: int) -> IndexArray:
    return np.minimum((titles * draw.random(shape) ** _SKEW).astype(np.int64), titles - 1)


def _model(draw: np.random.Generator, ids: IdArray) -> Model:
    n, most = len(ids), min(_NEIGHBOURS, len(ids))
    columns = np.sort(_places(draw, (n, most), n), axis=1).astype(np.int32).ravel()
    starts = np.arange(0, n * most + 1, most, dtype=np.int32)
    neighbours = sparse.csr_array((draw.random(n * most, dtype=np.float32), columns, starts), shape=(n, n))
    manifest = Manifest(
        version="made up",
        created_at=datetime.now(UTC),
        estimator="none",
        parameters={},
        users=1,
        titles=n,
        interactions=1,
        neighbours=n * most,
        checksums={},
    )
    return Model.of(IdIndex(ids), np.zeros(n, dtype=np.float32), neighbours, manifest)


def _snapshot(draw: np.random.Generator, ids: IdArray, model: Model) -> tuple[Snapshot, int]:
    """And how many bytes it holds beside the model."""
    genres = {f"genre {number}": ids[draw.random(len(ids)) < 0.15] for number in range(_GENRES)}
    popularity = Popularity(ids, draw.random(len(ids)).astype(np.float32))
    gc.collect()
    tracemalloc.start()
    try:
        snapshot = Snapshot.join(Catalogue.build(Listed.ids_only(ids), genres, popularity), model)
        rank([Taste.of_nobody()], snapshot, Weights())  # the first one makes what the loops read
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return snapshot, held


def _taste(draw: np.random.Generator, titles: int) -> Taste:
    history = np.unique(_places(draw, (_HISTORY,), titles))
    ones = np.ones(len(history))
    return Taste(
        genres=frozenset({"genre 1"}),
        history=history,
        weights=ones.astype(np.float32),
        kinds=ones.astype(np.int8),
        seen=np.arange(_HISTORY),
        disliked=np.empty(0, dtype=np.int64),
    )
