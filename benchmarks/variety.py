"""`python -m benchmarks variety`: what diversity, a cap per genre and exploration bring, and what they cost.

On MovieLens, split as the accuracy benchmark splits it, with the default model, unsearched, and the hybrid as served.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.datasets import DATA, DATASETS
from benchmarks.marked import Marked
from shared.model import Model
from shared.model_settings import ModelSettings
from shared.options import ListOptions, Variety
from worker.training.evaluation import Task
from worker.training.evaluator import Evaluator
from worker.training.learn import learn
from worker.training.metrics import Floats, coverage, interval, per_user, ratio
from worker.training.split import Protocol

_K: Final = 20
_OFF: Final = Variety()
_VARIANTS: Final[Mapping[str, Sequence[Variety]]] = {
    "diversity": [Variety(diversity=value) for value in (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)],
    "max_per_genre": [Variety(max_per_genre=value) for value in (20, 10, 5, 3, 1)],
    "explore": [Variety(explore=value) for value in (0.05, 0.1, 0.2, 0.5)],
}


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Say what the benchmark takes."""
    command = commands.add_parser("variety", help="what diversity, max_per_genre and explore bring and cost")
    command.add_argument("--data", type=Path, default=DATA, metavar="DIR", help="where the sets are (%(default)s)")
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the table between the file's marks")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Returns the exit code. Raises UnusableFile, NothingToTrainOn, NothingToEvaluate."""
    settings = ModelSettings.from_environment()
    document = Marked(arguments.markdown, "variety") if arguments.markdown else None
    task = DATASETS[0].task(arguments.data, Protocol.TEMPORAL, settings)
    table = "\n".join(_table(task))
    print(table)
    if document:
        document.fill([table])
    return 0


def _table(task: Task) -> Iterator[str]:
    choice, seed = task.policy.default, task.policy.seed
    model = choice.model(learn(task.split.fit.histories(), choice, task.policy.limits))
    evaluator = Evaluator(task.split, task.platform, most_users=None, seed=seed)
    plain, figures = _figures(task, evaluator, model, _OFF)
    found = interval(plain, seed=seed)
    yield f"| | ndcg@{_K} | kept | ild@{_K} | coverage@{_K} | titles |"
    yield "|---|---:|---:|---:|---:|---:|"
    yield _row("off", f"{found.value:.4f} ({found.low:.4f} to {found.high:.4f})", "", *figures)
    for option, variants in _VARIANTS.items():
        for variety in variants:
            name = f"{option} {getattr(variety, option):g}"
            print(name, file=sys.stderr, flush=True)
            accuracy, figures = _figures(task, evaluator, model, variety)
            kept = ratio(accuracy, plain, seed=seed)
            shown = f"{kept.value:.1%} ({kept.low:.1%} to {kept.high:.1%})"
            yield _row(name, f"{accuracy.mean():.4f}", shown, *figures)


def _figures(task: Task, evaluator: Evaluator, model: Model, variety: Variety) -> tuple[Floats, list[float]]:
    """Every user's ndcg; intra-list diversity, coverage, and how many titles a list has."""
    lists = evaluator.lists(model, task.weights, content=True, options=ListOptions(variety=variety))
    found = per_user(lists, evaluator.truth, (_K,))
    diversity, titles = np.nanmean(found[f"ild@{_K}"]), (lists >= 0).sum(axis=1).mean()
    return found[f"ndcg@{_K}"], [float(diversity), coverage(lists, evaluator.truth, _K), float(titles)]


def _row(name: str, accuracy: str, kept: str, diversity: float, covered: float, titles: float) -> str:
    return f"| {name} | {accuracy} | {kept} | {diversity:.3f} | {covered:.1%} | {titles:.0f} |"
