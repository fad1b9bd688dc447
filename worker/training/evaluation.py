"""Every way to recommend, side by side on one split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from shared.model import Interval, Model
from shared.scorer import Weights
from shared.strengths import Strengths
from worker.training.estimators.cooccurrence import CoOccurrence
from worker.training.evaluator import Evaluator, Platform, Progress
from worker.training.learn import Choice, learn
from worker.training.metrics import Lists, Truth, intervals, per_user
from worker.training.search import Report
from worker.training.selection import Policy, Selection, select
from worker.training.split import Protocol, Split

_FIRST = 10  # titles of a list, in which it is counted what content moves
_KEPT_AT = 100
_SEEDS = Strengths(like=1.0, watch=1.0, dislike=0.0)  # what the seed's formula takes them for

Parameters = Mapping[str, float | int]
Measuring = Callable[[str], Progress]  # called with the name of what is measured next


@dataclass(frozen=True)
class Task:
    """What is to be evaluated, and how."""

    split: Split
    validation: Protocol  # by which settings are chosen within what is learnt from
    platform: Platform
    weights: Weights  # of the hybrid, as served
    policy: Policy
    most_users: int | None
    ks: Sequence[int]


@dataclass(frozen=True)
class Hybrid:
    """What genres bring and cost, against the same model without them."""

    kept: float | None  # ndcg with them / without, at 100 in an evaluation; None where nothing was guessed without
    replaced: float  # share of the first ten that are other titles
    moved: float  # share of the first ten that are other titles or stand elsewhere


@dataclass(frozen=True)
class Evaluation:
    """What came out."""

    models: Mapping[str, Mapping[str, Interval]]  # name -> metric -> figure
    parameters: Mapping[str, Parameters]  # name -> settings, of those that learn
    chosen: str  # the one that training would publish
    hybrid: Hybrid
    selection: Selection
    users: int  # tested
    relevant: int  # held-out titles they liked, of those in the catalogue
    titles: int  # of the catalogue


def evaluate(task: Task, *, trying: Report, measuring: Measuring) -> Evaluation:
    """Choose settings within what is learnt from, learn from all of it, and measure on what was held out.

    Raises NothingToTrainOn, NothingToEvaluate, TrainingTooLarge.
    """
    selection = select(task.split.fit, task.platform, task.policy, task.validation, trying)
    evaluator = Evaluator(task.split, task.platform, most_users=task.most_users, seed=task.policy.seed)
    depth = max(*task.ks, _KEPT_AT)
    plain = Weights(content=0.0, pool=depth, depth=depth, new=0)
    served = replace(task.weights, depth=depth)
    histories = task.split.fit.histories()
    found = selection.found
    choices = {name: trial.choice for name, trial in found.by_estimator.items()} if found else {}
    choices[selection.choice.name] = selection.choice

    figures: dict[str, Mapping[str, Interval]] = {}
    made: dict[str, Lists] = {}

    def measure(
        name: str, model: Model | None, weights: Weights, *, content: bool, evaluator: Evaluator = evaluator
    ) -> None:
        made[name] = evaluator.lists(model, weights, content=content, progress=measuring(name))
        figures[name] = intervals(made[name], evaluator.truth, seed=task.policy.seed, ks=task.ks)

    measure("popularity", None, plain, content=False)
    if task.platform.preferences:
        measure("content", None, replace(plain, content=1.0), content=True)
    seed = _seed(len(histories.title_ids), task.policy.limits.memory_bytes)
    as_seed = replace(task.platform, strengths=_SEEDS)
    measure(
        "seed",
        learn(task.split.fit.weighed(_SEEDS).histories(), seed, task.policy.limits),
        plain,
        content=False,
        evaluator=Evaluator(task.split, as_seed, most_users=task.most_users, seed=task.policy.seed),
    )
    for name, choice in choices.items():
        model = choice.model(learn(histories, choice, task.policy.limits))
        measure(name, model, plain, content=False)
        if choice is selection.choice:
            measure("hybrid", model, served, content=True)
    return Evaluation(
        models=figures,
        parameters={name: choice.parameters for name, choice in {"seed": seed, **choices}.items()},
        chosen=selection.choice.name,
        hybrid=compare(made["hybrid"], made[selection.choice.name], evaluator.truth, _KEPT_AT),
        selection=selection,
        users=len(evaluator.users),
        relevant=evaluator.truth.relevant.nnz,
        titles=len(evaluator.catalogue),
    )


def _seed(titles: int, memory_bytes: int) -> Choice:
    """The seed's formula: a plain count of shared users, cut only where memory would not do."""
    neighbours = max(1, min(titles, memory_bytes // (24 * max(1, titles))))
    return Choice(CoOccurrence(0.0, 0.0, 0.0, order=1.0, neighbours=neighbours), recency=0.0)


def compare(hybrid: Lists, alone: Lists, truth: Truth, k: int) -> Hybrid:
    """The hybrid's lists with those of the same model alone, both (users, depth)."""
    metric = f"ndcg@{k}"
    with_genres, without = (float(per_user(lists, truth, (k,))[metric].mean()) for lists in (hybrid, alone))
    first, second = hybrid[:, :_FIRST], alone[:, :_FIRST]
    there = (first[:, :, None] == second[:, None, :]).any(axis=2)
    return Hybrid(
        kept=with_genres / without if without else None,
        replaced=float(np.mean(~there)),
        moved=float(np.mean(first != second)),
    )
