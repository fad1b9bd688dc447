"""Scoring batches of users, beside implicit's recommend on the same neighbours.

Both sides get the same matrix S, the same histories and weights, the same depth and as many threads, in this process,
in turns. Ours also leaves out every title that was seen (the peer those of the history: 500 at most), ranks the best by
genres as well, and notes where each title comes from. The peer's own batch is a loop on one thread, and its scorer
serves one thread at a time: so each of its threads gets a scorer of its own and a share of the users.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Final

import numpy as np
from scipy import sparse

from benchmarks.performance import profiles
from benchmarks.performance.figures import Figure, Plot, Sense, Target
from benchmarks.performance.in_process import Inside, inside
from benchmarks.performance.setup import Setup
from shared.scorer import rank
from shared.taste import Taste

TARGETS: Final = (
    Target(
        "scoring-batch",
        "Scoring a batch, 2 threads, depth 200",
        "times",
        Sense.AT_LEAST,
        4,
        "the users/s of implicit's recommend",
    ),
    Target("scoring-batch-1", "The same, 1 thread against 1", "times"),
)
_USERS: Final = 40_000
_PROFILED: Final = 5000  # users
_BATCH: Final = 500  # users, as in a job's chunk
_THREADS: Final = {"scoring-batch": 2, "scoring-batch-1": 1}


def measure(setup: Setup) -> Iterator[Figure]:
    """Users per second, ours by implicit's."""
    with inside(setup.stage) as service:
        tastes = service.tastes(setup.users(_USERS))
        for target in TARGETS:
            yield _beside(setup, target, service, tastes)


def profile(setup: Setup) -> str:
    """Of our side, on one thread."""
    with inside(setup.stage) as service:
        tastes = service.tastes(setup.users(_PROFILED))
        rank(tastes[:_BATCH], service.snapshot, service.weights)
        return profiles.of(lambda: rank(tastes, service.snapshot, service.weights), f"{len(tastes):,} users, 1 thread")


def _beside(setup: Setup, target: Target, service: Inside, tastes: Sequence[Taste]) -> Figure:
    from benchmarks.performance import peer  # noqa: PLC0415 - it may not be installed

    threads, depth = _THREADS[target.row], service.weights.depth
    batches = [tastes[start : start + _BATCH] for start in range(0, len(tastes), _BATCH)]
    histories = service.histories(tastes).astype(np.float64)
    shares = [histories[rows] for rows in np.array_split(np.arange(len(tastes)), threads)]
    scorers = [peer.Scorer(service.model.neighbours) for _ in range(threads)]
    sides: dict[str, list[float]] = {"this service": [], peer.NAME: []}

    def ours(batch: Sequence[Taste]) -> None:
        rank(batch, service.snapshot, service.weights)

    def theirs(scorer: peer.Scorer, share: sparse.csr_matrix) -> None:
        scorer.recommend(share, depth)

    ours(batches[0])  # compiled code is loaded, pages are mapped
    theirs(scorers[0], shares[0][:_BATCH])
    with ThreadPoolExecutor(threads) as pool:
        for _ in setup.turns(f"{target.row}, {len(tastes):,} users"):
            sides["this service"].append(_seconds(lambda: list(pool.map(ours, batches))))
            sides[peer.NAME].append(_seconds(lambda: list(pool.map(theirs, scorers, shares))))
    rates = {name: [len(tastes) / seconds for seconds in taken] for name, taken in sides.items()}
    mine, peers = (median(rates[name]) for name in sides)
    return Figure(
        target,
        mine / peers,
        f"{mine:,.0f} users/s beside {peers:,.0f}; {len(tastes):,} users, medians of {setup.runs} in turns",
        {"users_per_second": rates, "threads": threads},
        [
            Plot(
                target.row,
                f"Scoring a batch to a depth of {depth}, threads: {threads}",
                "",
                "users/s",
                bars={f"median of {setup.runs}": {"this service": mine, peer.NAME: peers}},
            )
        ],
    )


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
