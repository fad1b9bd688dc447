"""A file for each group of rows that are measured together. One more is one more file, and its name in ALL."""

from __future__ import annotations

from typing import Final

from benchmarks.performance.rows import (
    blocks,
    cached,
    candidates,
    catalogue,
    growth,
    guarded,
    job,
    memory,
    redis,
    scoring_batch,
    scoring_one,
    start,
    training,
    uncached,
)
from benchmarks.performance.setup import Benchmark

ALL: Final = tuple(
    map(
        Benchmark.of,
        (
            scoring_batch,
            scoring_one,
            catalogue,
            uncached,
            cached,
            job,
            training,
            blocks,
            growth,
            guarded,
            memory,
            redis,
            start,
            candidates,
        ),
    )
)
