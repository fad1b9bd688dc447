"""What there is to try: each estimator's settings as points of a grid, and where to begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

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

_REGARDLESS = {"w": 1.0, "r": 0.0}  # neither order nor recency
_MINDFUL = {"w": 0.2, "r": 0.5}

_EASE_ON_ALL = 10_000  # titles; with more, a part of them is tried first
_HEADS = (5_000.0, 10_000.0)
_CUTS = (100, 200, 500)


class UnknownEstimator(Exception):
    """A setting of another release."""


@dataclass(frozen=True)
class Space:
    """One estimator's settings."""

    name: str  # the estimator's
    starts: Sequence[Point]
    axes: Mapping[str, Sequence[float]]  # rising; in the order in which they are moved along
    first_seconds: float = 0.0  # about what the first setting takes on two cores; the next ones are known by then

    def choice(self, point: Point) -> Choice:
        """The setting at a point of the grid."""
        return choice_of(self.name, point)

    def choices(self) -> list[Choice]:
        """The settings to begin with."""
        return [self.choice(point) for point in self.starts]


_IN_TIME: Final[Mapping[str, Sequence[float]]] = {"r": _RECENCY, "w": _ORDER}


def families(*, ordered: bool, neighbours: int) -> Space:
    """The co-occurrence family. ordered: whether it is known what came first."""
    shapes = ({"a": 0.5, "b": 0.5, "c": 0.5}, {"a": 0.3, "b": 0.5, "c": 0.1}, {"a": 0.5, "b": 0.0, "c": 0.5})
    beginnings = (_MINDFUL, _REGARDLESS) if ordered else (_REGARDLESS,)
    axes = {"b": _QUARTERS, "c": _TENTHS, "a": _TENTHS}
    return Space(
        CoOccurrence.name,
        [shape | beginning | {"k": neighbours} for beginning in beginnings for shape in shapes],
        {**(_IN_TIME if ordered else {}), **axes},
    )


def regressions(family: Choice, *, ordered: bool, neighbours: int, titles: int) -> list[Space]:
    """The others, beginning with the order and the recency that are best for the family."""
    best = family.parameters
    beginning = {"w": best["w"], "r": best["r"]}
    k = {"k": neighbours}
    in_time = _IN_TIME if ordered else {}
    shapes = ({"lambda": 30.0, "b": 0.5, "p": 0.5}, {"lambda": 300.0, "b": 0.0, "p": 0.0})
    on_all = Space(
        Ease.name,
        [shape | beginning | k for shape in shapes],
        {"lambda": _PENALTIES, **in_time, "p": _QUARTERS, "b": _QUARTERS},
        3e-11 * titles**3,
    )
    local = Space(
        LocalRidge.name,
        [{**best, "lambda": 30.0, **k}],
        {"lambda": _PENALTIES, **in_time, "b": _QUARTERS},
        2e-3 * titles,
    )
    on_head = Space(
        EaseOnHead.name,
        [{"head": _HEADS[0], **shapes[0], **beginning, **k, **{f"rest_{name}": best[name] for name in "abcw"}}],
        {"head": _HEADS, "lambda": _PENALTIES, **in_time, "p": _QUARTERS},
        3e-11 * _HEADS[0] ** 3,
    )
    return [on_all, local] if titles <= _EASE_ON_ALL else [local, on_head, on_all]


def cuts(choice: Choice) -> list[Choice]:
    """The same with other K, fewest neighbours first, itself among them."""
    others = sorted({*_CUTS, choice.estimator.neighbours})
    return [choice_of(choice.name, {**choice.parameters, "k": k}) for k in others]


def choice_of(estimator: str, parameters: Point) -> Choice:
    """The setting that a manifest tells of. Raises UnknownEstimator for one of another release."""
    try:
        return Choice(_ESTIMATORS[estimator](parameters), parameters["r"])
    except KeyError as error:
        raise UnknownEstimator(f"this release has no estimator {estimator} with these settings: {error}") from error


def _family(p: Point) -> CoOccurrence:
    return CoOccurrence(p["a"], p["b"], p["c"], p["w"], int(p["k"]))


def _ease(p: Point) -> Ease:
    return Ease(p["lambda"], p["b"], p["p"], p["w"], int(p["k"]))


def _local_ridge(p: Point) -> LocalRidge:
    return LocalRidge(p["lambda"], _family(p))


def _ease_on_head(p: Point) -> EaseOnHead:
    rest = {name.removeprefix("rest_"): value for name, value in p.items() if name.startswith("rest_")}
    return EaseOnHead(int(p["head"]), _ease(p), _family({**rest, "k": p["k"]}))


_ESTIMATORS: Final[Mapping[str, Callable[[Point], Estimator]]] = {
    CoOccurrence.name: _family,
    Ease.name: _ease,
    LocalRidge.name: _local_ridge,
    EaseOnHead.name: _ease_on_head,
}
