"""`python -m benchmarks defaults`: the evidence for the default strengths and for the hybrid's pool.

On MovieLens, within the part that the accuracy benchmark learns from: its test part decides nothing here. Every variant
is measured on four splits of that part, by time and at random, with two models whose settings stay as they are.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.datasets import DATA, DATASETS
from benchmarks.marked import Marked
from shared.model import Model
from shared.model_settings import ModelSettings
from shared.scorer import Weights
from worker.training.configuration import policy
from worker.training.evaluation import compare
from worker.training.evaluator import Evaluator
from worker.training.learn import learn
from worker.training.metrics import per_user
from worker.training.preferences import favourites
from worker.training.space import choice_of
from worker.training.split import Protocol, split

_STRENGTHS: Final[Mapping[str, Sequence[Mapping[str, float]]]] = {
    "WATCH_STRENGTH": [{"watch_strength": value} for value in (0.0, 0.25, 0.5, 0.75, 1.0)],
    "DISLIKE_STRENGTH": [{"dislike_strength": value} for value in (0.0, -0.1, -0.2, -0.5, -1.0)],
    "VALUE_WEIGHT, with VALUE_FULL=5": [{"value_weight": value, "value_full": 5.0} for value in (0.0, 0.5, 1.0)],
    "HISTORY_HALF_LIFE_DAYS": [{"history_half_life_days": value} for value in (0.0, 30.0, 365.0)],
}
_POOLS: Final = [(20, 0), (30, 0), (50, 0), (100, 0), (30, 1), (30, 2), (30, 5)]  # POOL_SIZE, NEW_TITLES
_COLLABORATIVE: Final = Weights(content=0.0, pool=100, depth=100, new=0)


_IN_TIME: Final = {"w": 0.2, "r": 0.75, "k": 200}
_REGARDLESS: Final = {"w": 1.0, "r": 0.0, "k": 200}
_FAMILY: Final = {"a": 0.4, "b": 0.5, "c": 0.2}
_EASE: Final = {"lambda": 30.0, "b": 0.5, "p": 0.5}
_CHOICES: Final = {
    protocol: [choice_of("co-occurrence", _FAMILY | time), choice_of("ease", _EASE | time)]
    for protocol, time in ((Protocol.TEMPORAL, _IN_TIME), (Protocol.RANDOM, _REGARDLESS))
}


@dataclass(frozen=True)
class _Case:
    """A model, and the split it is measured on."""

    name: str
    evaluator: Evaluator
    model: Model


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Say what the benchmark takes."""
    command = commands.add_parser("defaults", help="the evidence for default strengths and for the hybrid's pool")
    command.add_argument("--data", type=Path, default=DATA, metavar="DIR", help="where the sets are (%(default)s)")
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables between the file's marks")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Returns the exit code. Raises UnusableFile."""
    settings = ModelSettings.from_environment()
    document = Marked(arguments.markdown, "defaults") if arguments.markdown else None
    sections = [*_strengths(arguments.data, settings), _hybrid(arguments.data, settings)]
    print("\n\n".join(sections))
    if document:
        document.fill(sections)
    return 0


def _strengths(data: Path, settings: ModelSettings) -> Iterator[str]:
    for title, variants in _STRENGTHS.items():
        lines = [f"**{title}**", "", "| | ndcg@20 | ndcg@100 | disliked@20 |", "|---|---:|---:|---:|"]
        for variant in variants:
            name, value = next(iter(variant.items()))
            print(f"{name} {value:g}", file=sys.stderr, flush=True)
            figures = np.array([_figures(case) for case in _cases(data, settings.changed(**variant))]).mean(axis=0)
            mark = " (default)" if value == getattr(settings, name) else ""
            lines.append(f"| {value:g}{mark} | {' | '.join(f'{figure:.4f}' for figure in figures)} |")
        yield "\n".join(lines)


def _figures(case: _Case) -> list[float]:
    found = per_user(case.evaluator.lists(case.model, _COLLABORATIVE, content=False), case.evaluator.truth, (20, 100))
    return [float(np.nanmean(found[metric])) for metric in ("ndcg@20", "ndcg@100", "disliked@20")]


def _hybrid(data: Path, settings: ModelSettings) -> str:
    lines = [
        "**POOL_SIZE and NEW_TITLES**: the hybrid against the same model without genres",
        "",
        "| pool | new | ndcg@20 kept | ndcg@100 kept | least of the eight | first ten replaced |",
        "|---|---|---:|---:|---:|---:|",
    ]
    kept: dict[tuple[int, int], list[tuple[float, float, float]]] = {pool: [] for pool in _POOLS}
    for case in _cases(data, settings):
        print(f"hybrid: {case.name}", file=sys.stderr, flush=True)
        alone = case.evaluator.lists(case.model, _COLLABORATIVE, content=False)
        for (pool, new), found in kept.items():
            served = Weights(settings.content_weight, pool, depth=100, new=new)
            hybrid = case.evaluator.lists(case.model, served, content=True)
            at_20, at_100 = (compare(hybrid, alone, case.evaluator.truth, k) for k in (20, 100))
            found.append((at_20.kept or math.nan, at_100.kept or math.nan, at_100.replaced))
    for (pool, new), found in kept.items():
        mark = " (default)" if (pool, new) == (settings.pool_size, settings.new_titles) else ""
        at_20, at_100, replaced = np.array(found).mean(axis=0)
        least = min(at_100 for _, at_100, _ in found)
        lines.append(f"| {pool}{mark} | {new} | {at_20:.1%} | {at_100:.1%} | {least:.1%} | {replaced:.0%} |")
    return "\n".join(lines)


def _cases(data: Path, settings: ModelSettings) -> Iterator[_Case]:
    """Four splits with two models each."""
    task = DATASETS[0].task(data, Protocol.TEMPORAL, settings)
    limits = policy(settings, ordered=True).limits
    learnt = task.split.fit
    earlier = split(learnt, Protocol.TEMPORAL, seed=1)
    parts = {
        "by time": earlier,
        "by time, a step earlier": split(earlier.fit, Protocol.TEMPORAL, seed=2),
        "at random": split(learnt, Protocol.RANDOM, seed=3),
        "at random again": split(learnt, Protocol.RANDOM, seed=4),
    }
    for name, part in parts.items():
        platform = replace(task.platform, preferences=favourites(part.history, task.platform.genres))
        evaluator = Evaluator(part, platform, most_users=None, seed=0)
        for choice in _CHOICES[part.protocol]:
            model = choice.model(learn(part.fit.histories(), choice, limits))
            yield _Case(f"{name}, {choice.name}", evaluator, model)
