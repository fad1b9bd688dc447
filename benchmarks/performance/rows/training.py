"""Training: the whole command from PostgreSQL, and its matrix step beside implicit's.

The command is `python -m worker train` with TRAINING_BUDGET_SECONDS=0: it starts, reads every interaction, learns
co-occurrence by the default setting, and publishes. The matrix step is that estimator's fit, beside
CosineRecommender(K=200).fit on the same matrix with as many threads, in this process and in turns.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from scipy import sparse

from benchmarks.performance.figures import Figure, Plot, Sense, Target
from benchmarks.performance.in_process import databases
from benchmarks.performance.setup import Setup
from benchmarks.stage import Stage
from shared.model_store import ModelStore
from shared.repositories.engagement import EngagementRepository
from shared.strengths import Strengths
from worker.training.configuration import policy
from worker.training.interactions import Interactions
from worker.training.reading import read_interactions

_TIME = Target("training-time", "A training, the whole process", "s", Sense.AT_MOST, 30)
_MEMORY = Target("training-memory", "Its largest resident set", "MB", Sense.AT_MOST, 1000)
_MATRIX = Target(
    "training-matrix", "Its matrix step, K=200, 2 threads", "times", Sense.AT_MOST, 1, "the time of implicit's fit"
)
TARGETS: Final = (_TIME, _MEMORY, _MATRIX)
_MOST_RUNS: Final = 3  # a run takes half a minute
_THREADS: Final = 2
_NEIGHBOURS: Final = 200


@dataclass(frozen=True)
class Taken:
    """What a training took."""

    seconds: float
    peak_bytes: int  # the largest resident set
    checksums: Mapping[str, str]  # of the model's arrays


def store(stage: Stage) -> str:
    """Where `train` keeps the model while it runs."""
    return str(stage.folder / "training" / "models")


def train(stage: Stage, changes: Mapping[str, Any]) -> Taken:
    """Train into a store of its own, which is removed. changes: of the stage's settings. Raises ServerError."""
    folder = Path(store(stage)).parent
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        environment = stage.environment(model_store=store(stage), model_cache=str(folder / "cache"), **changes)
        taken = folder / "taken.json"
        stage.finish(
            "training", "benchmarks.performance.measured", str(taken), "worker", "train", environment=environment
        )
        manifest = ModelStore.at(store(stage), cache=folder / "cache").current_manifest()
        assert manifest is not None, "the training has ended well"
        return Taken(**json.loads(taken.read_text(encoding="utf-8")), checksums=manifest.checksums)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(setup: Setup) -> Iterator[Figure]:
    """All three rows."""
    runs = []
    for turn in range(min(setup.runs, _MOST_RUNS)):
        setup.say(f"training: run {turn + 1} of {min(setup.runs, _MOST_RUNS)}")
        runs.append(train(setup.stage, {}))
    seconds, peaks = [run.seconds for run in runs], [run.peak_bytes / 1e6 for run in runs]
    interactions = setup.platform.size.interactions
    yield Figure(_TIME, median(seconds), f"{interactions:,} rows, median of {len(runs)}", {"seconds": seconds})
    yield Figure(_MEMORY, max(peaks), f"the largest of {len(runs)}", {"megabytes": peaks})
    yield _matrix_step(setup)


def _matrix_step(setup: Setup) -> Figure:
    from benchmarks.performance import peer  # noqa: PLC0415 - it may not be installed

    settings = setup.stage.settings(training_threads=_THREADS, model_neighbours=_NEIGHBOURS)
    setup.say("training-matrix: interactions are read")
    with databases(settings) as connected:
        rows = read_interactions(EngagementRepository(connected.engagement))
    interactions = Interactions.of(rows, Strengths.from_settings(settings))
    del rows
    chosen = policy(settings, ordered=interactions.ordered)
    histories = interactions.histories()
    matrix = sparse.csr_matrix(histories.matrix)
    sides: dict[str, list[float]] = {"this service": [], peer.NAME: []}
    chosen.default.estimator.fit(histories, chosen.limits)  # what is compiled is loaded
    for _ in setup.turns("training-matrix"):
        begun = time.perf_counter()
        chosen.default.estimator.fit(histories, chosen.limits)
        sides["this service"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        peer.fit(matrix, neighbours=_NEIGHBOURS, threads=_THREADS)
        sides[peer.NAME].append(time.perf_counter() - begun)
    ours, theirs = (median(side) for side in sides.values())
    plot = Plot(
        "training-matrix",
        f"From histories to {_NEIGHBOURS} neighbours per title, {_THREADS} threads",
        "",
        "s",
        bars={f"median of {setup.runs}": {"this service": ours, peer.NAME: theirs}},
    )
    return Figure(
        _MATRIX,
        ours / theirs,
        f"{ours:.1f} s beside {theirs:.1f} s; {matrix.nnz:,} likes and watches; medians of {setup.runs} in turns",
        {"seconds": sides},
        [plot],
    )
