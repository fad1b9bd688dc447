"""How a training's time grows with the interactions.

Users grow as the interactions do, so that a history stays as long as a person's is; titles grow with their square root,
as a catalogue grows slower than its audience. Each platform is loaded into a database of its own, without the indexes,
which a training does not read, and dropped after its training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from benchmarks.performance.figures import Figure, Plot, Sense, Target
from benchmarks.performance.rows.training import Taken, train
from benchmarks.performance.setup import Setup
from benchmarks.platform.loading import load_interactions
from benchmarks.platform.synthetic import Platform, S, Size
from benchmarks.stage import Stage

TARGETS: Final = (Target("growth", "Training time grows with interactions to the power of", "", Sense.AT_MOST, 1.2),)
_DATABASE: Final = "growth_db"


def measure(setup: Setup) -> Iterator[Figure]:
    """The exponent: least squares of log time on log interactions."""
    [target] = TARGETS
    taken = {interactions: _train(setup, grown(interactions)) for interactions in sorted(setup.growth)}
    exponent = slope([(count, run.seconds) for count, run in taken.items()])
    last = slope([(count, run.seconds) for count, run in taken.items()][-2:])
    told = f"between the two largest {last:.2f}, as a start takes its seconds whatever the size; " + "; ".join(
        f"{count / 1e6:g} M: {run.seconds:.1f} s, {run.peak_bytes / 1e6:,.0f} MB" for count, run in taken.items()
    )
    plots = [
        Plot(
            "growth",
            "A training, the whole process",
            "interactions",
            "s",
            {f"exponent {exponent:.2f}": [(count, run.seconds) for count, run in taken.items()]},
            logarithmic=True,
        ),
        Plot(
            "growth-memory",
            "Its largest resident set",
            "interactions",
            "MB",
            {"peak": [(count, run.peak_bytes / 1e6) for count, run in taken.items()]},
            logarithmic=True,
        ),
    ]
    samples = {str(count): {"seconds": run.seconds, "peak_bytes": run.peak_bytes} for count, run in taken.items()}
    yield Figure(target, exponent, told, samples, plots)


def grown(interactions: int) -> Size:
    """A platform like S with so many rows."""
    times = interactions / S.interactions
    return Size(max(1, round(S.users * times)), max(1, round(S.titles * math.sqrt(times))), interactions)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of log y on log x, by least squares; NaN for fewer than two points."""
    if len(points) < 2:
        return math.nan
    x, y = np.log(np.array(points, dtype=np.float64)).T
    return float(np.polyfit(x, y, 1)[0])


def _train(setup: Setup, size: Size) -> Taken:
    what = f"growth: {size.interactions:,} interactions of {size.users:,} users with {size.titles:,} titles"

    def progress(done: int, of: int) -> None:
        if done % 5_000_000 == 0 or done == of:
            setup.say(f"{what}: {done:,} are loaded")

    stage = setup.stage
    _drop(stage)
    try:
        stage.postgres.create_database(_DATABASE)
        dsn = stage.postgres.dsn(_DATABASE)
        load_interactions(Platform(size), dsn, progress=progress, indexed=False)
        setup.say(f"{what}: training")
        return train(stage, {"engagement_db_url": dsn})
    finally:
        _drop(stage)


def _drop(stage: Stage) -> None:
    stage.sql("jobs_db", f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)")
