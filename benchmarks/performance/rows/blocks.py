"""A training split over workers, beside one process: how long, and the same bytes?

Trainer and workers have one thread each, and the trainer makes blocks, too: n workers are n + 1 threads, and more than
there are cores only take a larger share from whatever else runs. What is told is the time from the histories to the
published model; reading them is the trainer's alone. Whoever makes it, the model is the same to the byte, or the
benchmark fails.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.performance.figures import Figure, Plot, Target
from benchmarks.performance.rows.training import store, train
from benchmarks.performance.setup import Setup
from demo.errors import WrongAnswer

_WORKERS: Final = (1, 2, 4)
TARGETS: Final = tuple(
    Target(
        f"blocks-{count}",
        f"A training's rows by the trainer and {count} worker{'s' * (count > 1)}, a thread each",
        "of the time of one process, one thread",
    )
    for count in _WORKERS
)
_MOST_RUNS: Final = 3  # each trains four times
_BLOCKS_WANTED: Final = 30
_MADE: Final = re.compile(r"model \S+: \d+ titles, (?P<seconds>[0-9.]+) s")
_SHARED: Final = re.compile(r"workers made (?P<workers>\d+) of them, the trainer (?P<trainer>\d+)")
_UNSHARED: Final = re.compile(r"no worker took part: the trainer made all (?P<trainer>\d+) blocks")


@dataclass(frozen=True)
class Run:
    """A training, as its log tells it."""

    seconds: float  # making the rows, and publishing them
    by_workers: int  # blocks
    blocks: int  # 0: it was not split

    @classmethod
    def told(cls, log: str) -> Run:
        """Raises WrongAnswer when the log says nothing of what was made."""
        made, shared, unshared = _MADE.search(log), _SHARED.search(log), _UNSHARED.search(log)
        if made is None:
            raise WrongAnswer(f"the training's log says nothing of what it made: {log}")
        workers = int(shared["workers"]) if shared else 0
        trainer = int(shared["trainer"]) if shared else int(unshared["trainer"]) if unshared else 0
        return cls(float(made["seconds"]), workers, workers + trainer)


def measure(setup: Setup) -> Iterator[Figure]:
    """A row for each number of workers. Raises WrongAnswer when the bytes differ."""
    block_titles = max(1, setup.platform.size.titles // _BLOCKS_WANTED)
    alone: list[Run] = []
    shared: dict[int, list[Run]] = {count: [] for count in _WORKERS}
    for turn in range(min(setup.runs, _MOST_RUNS)):
        setup.say(f"blocks: run {turn + 1} of {min(setup.runs, _MOST_RUNS)}, one process")
        run, model = _train(setup, block_titles=0)
        alone.append(run)
        for count in _WORKERS:
            setup.say(f"blocks: run {turn + 1} of {min(setup.runs, _MOST_RUNS)}, workers: {count}")
            with _workers(setup, count):
                run, other = _train(setup, block_titles=block_titles)
            if other != model:
                raise WrongAnswer(f"{count} workers made another model than one process does: {other}, not {model}")
            shared[count].append(run)
    single = median(run.seconds for run in alone)
    seconds = {"alone": single} | {str(count): median(run.seconds for run in runs) for count, runs in shared.items()}
    for target, (count, runs) in zip(TARGETS, shared.items(), strict=True):
        taken = seconds[str(count)]
        yield Figure(
            target,
            taken / max(single, 0.1),  # the log tells tenths
            f"{taken:.1f} s beside {single:.1f} s, medians of {len(runs)}; the workers made "
            f"{median(run.by_workers for run in runs):g} of {runs[-1].blocks} blocks; the same bytes; "
            f"{len(os.sched_getaffinity(0))} cores",
            {"seconds": [run.seconds for run in runs], "alone": [run.seconds for run in alone]},
            [] if count != _WORKERS[-1] else [_plot(seconds, len(runs))],
        )


def _plot(seconds: dict[str, float], runs: int) -> Plot:
    bars = {("one process" if name == "alone" else f"workers: {name}"): {"s": value} for name, value in seconds.items()}
    return Plot("blocks", f"From histories to a model, a thread each, medians of {runs}", "", "s", bars=bars)


def _train(setup: Setup, *, block_titles: int) -> tuple[Run, dict[str, str]]:
    """A training, and the checksums of its model."""
    log = setup.stage.log("training")
    before = log.stat().st_size if log.exists() else 0
    taken = train(setup.stage, {"training_threads": 1, "training_block_titles": block_titles})
    run = Run.told(log.read_bytes()[before:].decode(errors="replace"))
    if bool(run.blocks) != bool(block_titles):
        raise WrongAnswer(f"a training was to be made in blocks of {block_titles} titles, and was made in {run.blocks}")
    return run, dict(taken.checksums)


@contextlib.contextmanager
def _workers(setup: Setup, count: int) -> Iterator[None]:
    with contextlib.ExitStack() as running:
        for number in range(count):
            running.enter_context(setup.stage.helper(number, model_store=store(setup.stage)))
        yield
