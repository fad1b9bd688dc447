"""Scoring one user, with reasons, without any I/O."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import numpy as np

from benchmarks.performance.figures import Figure, Sense, Target
from benchmarks.performance.in_process import inside
from benchmarks.performance.setup import Setup
from shared.scorer import rank

TARGETS: Final = (
    Target("scoring-one", "Scoring one user, depth 200, with reasons, no I/O", "ms", Sense.AT_MOST, 1, "median"),
)
_USERS: Final = 2000
_WARM_UP: Final = 100


def measure(setup: Setup) -> Iterator[Figure]:
    """The median over users of the median over runs."""
    [target] = TARGETS
    with inside(setup.stage) as service:
        tastes = service.tastes(setup.users(_USERS))
        runs = []
        for taste in tastes[:_WARM_UP]:
            rank([taste], service.snapshot, service.weights, explained=service.weights.depth)
        for _ in setup.turns(f"{target.row}, {len(tastes):,} users"):
            seconds = []
            for taste in tastes:
                begun = time.perf_counter()
                rank([taste], service.snapshot, service.weights, explained=service.weights.depth)
                seconds.append(time.perf_counter() - begun)
            runs.append(seconds)
    each = np.median(runs, axis=0) * 1000
    yield Figure(
        target,
        float(np.median(each)),
        f"p99 {np.percentile(each, 99):.2f} ms; {len(tastes):,} users one by one, each the median of {setup.runs}",
        {"milliseconds": {f"p{share}": float(np.percentile(each, share)) for share in (1, 25, 50, 75, 99)}},
    )
