"""What there is to try: each estimator's settings as points of a grid, and where to begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from worker.training.estimators.cooccurrence import CoOccurrence
from worker.training.estimators.ease import Ease
from worker.training.estimators.estimator import Estimator
from worker.training.estimators.head import EaseOnHead
from worker.training.estimators.local_ridge import LocalRidge
from worker.training.learn import Choice

Point = Mapping[str, float]

_TENTHS = tuple(round(i / 10, 1) for i in range(11))
_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
_ORDER = (0.0, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
_PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
_RECENCY = (*_QUARTERS, 1.5, 2.0)
_IN_TIME = {"r": _RECENCY, "w": _ORDER}

_REGARDLESS = {"w": 1.0, "r": 0.0}  # neither order nor recency
_MINDFUL = {"w": 0.2, "r": 0.5}

_EASE_ON_ALL = 10_000  # titles; with more, a part of them is tried first
_HEADS = (5_000.0, 10_000.0)
_CUTS = (100, 200, 500)


@dataclass(frozen=True)
class Space:
    """One estimator's settings."""

    name: str
    make: Callable[[Point], Choice]
    starts: Sequence[Point]
    axes: Mapping[str, Sequence[float]]  # rising; in the order in which they are moved along
    first_seconds: float = 0.0  # about what the first setting takes on two cores; the next ones are known by then


def families(*, ordered: bool, neighbours: int) -> Space:
    """The co-occurrence family. ordered: whether it is known what came first."""
    shapes = ({"a": 0.5, "b": 0.5, "c": 0.5}, {"a": 0.3, "b": 0.5, "c": 0.1}, {"a": 0.5, "b": 0.0, "c": 0.5})
    times = (_MINDFUL, _REGARDLESS) if ordered else (_REGARDLESS,)
    axes = {"b": _QUARTERS, "c": _TENTHS, "a": _TENTHS}
    return Space(
        CoOccurrence.name,
        lambda p: Choice(_family(p, neighbours), p["r"]),
        [shape | time for time in times for shape in shapes],
        {**_IN_TIME, **axes} if ordered else axes,
    )


def regressions(family: Choice, *, ordered: bool, neighbours: int, titles: int) -> list[Space]:
    """The others, beginning with the order and the recency that are best for the family."""
    best = family.parameters
    time = {"w": best["w"], "r": best["r"]}
    rest = {name: best[name] for name in "abc"}
    in_time = _IN_TIME if ordered else {}

    def ease(p: Point) -> Ease:
        return Ease(p["lambda"], p["b"], p["p"], p["w"], neighbours)

    shapes = ({"lambda": 30.0, "b": 0.5, "p": 0.5}, {"lambda": 300.0, "b": 0.0, "p": 0.0})
    axes = {"lambda": _PENALTIES, **in_time, "p": _QUARTERS, "b": _QUARTERS}
    on_all = Space(Ease.name, lambda p: Choice(ease(p), p["r"]), [shape | time for shape in shapes], axes, 3e-11 * titles**3)
    local = Space(
        LocalRidge.name,
        lambda p: Choice(LocalRidge(p["lambda"], _family(p, neighbours)), p["r"]),
        [{"lambda": 30.0} | rest | time],
        {"lambda": _PENALTIES, **in_time, "b": _QUARTERS},
        2e-3 * titles,
    )
    on_head = Space(
        EaseOnHead.name,
        lambda p: Choice(EaseOnHead(int(p["head"]), ease(p), _family({**p, **rest}, neighbours)), p["r"]),
        [{"head": _HEADS[0]} | shapes[0] | time],
        {"head": _HEADS, "lambda": _PENALTIES, **in_time, "p": _QUARTERS},
        3e-11 * _HEADS[0] ** 3,
    )
    return [on_all, local] if titles <= _EASE_ON_ALL else [local, on_head, on_all]


def cuts(choice: Choice) -> list[Choice]:
    """The same with other K, fewest neighbours first, itself among them."""
    others = sorted({*_CUTS, choice.estimator.neighbours})
    return [replace(choice, estimator=_cut(choice.estimator, k)) for k in others]


def _family(p: Point, neighbours: int) -> CoOccurrence:
    return CoOccurrence(p["a"], p["b"], p["c"], p["w"], neighbours)


def _cut(estimator: Estimator, neighbours: int) -> Estimator:
    if isinstance(estimator, LocalRidge):
        return replace(estimator, candidates=replace(estimator.candidates, neighbours=neighbours))
    if isinstance(estimator, EaseOnHead):
        return replace(
            estimator,
            ease=replace(estimator.ease, neighbours=neighbours),
            rest=replace(estimator.rest, neighbours=neighbours),
        )
    assert isinstance(estimator, CoOccurrence | Ease)
    return replace(estimator, neighbours=neighbours)
