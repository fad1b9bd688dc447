"""Which estimator, with which settings: tried on held-out interactions, the best by NDCG.

Settings are searched by coordinates: from the best of a few starting points, one setting at a time is moved along its
grid for as long as that helps, until a round brings nothing. Given enough time the search is deterministic; when time
runs out it ends with the best so far, and says what it left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from shared.errors import TrainingTooLarge
from shared.model import Model
from shared.scorer import Weights
from worker.training.estimators.cooccurrence import CoOccurrence
from worker.training.estimators.estimator import Estimator, Limits
from worker.training.evaluator import Evaluator
from worker.training.interactions import Histories
from worker.training.learn import Choice, learn
from worker.training.metrics import Floats, per_user
from worker.training.space import Point, Space, cuts, families, regressions

K = 20  # settings are chosen by ndcg@20: about what one screen shows
METRIC = f"ndcg@{K}"
COLLABORATIVE = Weights(content=0.0, pool=K, depth=K, new=0)
_ENOUGH = 0.998  # the smallest number of neighbours with this share of the best score will do
_SHARES = (0.4, 0.7, 0.9, 1.0)  # of the budget, spent when the search of one estimator after another ends


@dataclass(frozen=True)
class Trial:
    """A setting that was tried."""

    choice: Choice
    scores: Floats  # (users,), ndcg@20 of each on what was held out
    seconds: float

    @property
    def value(self) -> float:
        """Their mean, by which settings are compared."""
        return float(self.scores.mean())


Report = Callable[[Trial, Trial], None]  # the trial that has just ended, and the best so far


def unheard(_trial: Trial, _best: Trial) -> None:
    """A report nobody waits for."""


@dataclass(frozen=True)
class Found:
    """What a search came to."""

    best: Trial
    by_estimator: Mapping[str, Trial]  # the best of each that was tried
    trials: Sequence[Trial]  # all, in the order they were tried
    skipped: Sequence[str]  # what was left out, and why


class _TimeIsUp(Exception):
    """The budget, or the share of it for one estimator, is spent."""


class Search:
    """Tries settings on one split."""

    def __init__(
        self,
        histories: Histories,
        evaluator: Evaluator,
        limits: Limits,
        *,
        ordered: bool,
        neighbours: int,
        budget_seconds: float,
        report: Report = unheard,
    ) -> None:
        """ordered: whether it is known what came first. neighbours: K, until the best K is looked for at the end."""
        self._histories = histories
        self._evaluator = evaluator
        self._limits = limits
        self._ordered = ordered
        self._neighbours = neighbours
        self._budget = budget_seconds
        self._report = report
        self._trials: dict[Choice, Trial] = {}
        self._skipped: list[str] = []
        self._models: dict[Estimator, Model] = {}  # the last one fitted and the best one's
        self._started = self._deadline = time.perf_counter()

    def run(self) -> Found:
        """The best setting. At least one is tried, whatever the budget. Raises NothingToTrainOn, TrainingTooLarge."""
        self._explore(families(ordered=self._ordered, neighbours=self._neighbours), _SHARES[0])
        others = regressions(
            self._best_of(CoOccurrence.name).choice,
            ordered=self._ordered,
            neighbours=self._neighbours,
            titles=len(self._histories.title_ids),
        )
        for space, share in zip(others, _SHARES[-len(others) :], strict=True):
            self._explore(space, share)
        best = self._cut(self._best())
        names = dict.fromkeys(trial.choice.name for trial in self._trials.values())
        by_estimator = {name: self._best_of(name) for name in names} | {best.choice.name: best}
        return Found(best, by_estimator, list(self._trials.values()), self._skipped)

    def _explore(self, space: Space, share: float) -> None:
        """Climb for as long as the share of the budget lasts."""
        self._deadline = self._started + share * self._budget
        before = len(self._trials)
        try:
            if before and time.perf_counter() + space.first_seconds > self._started + self._budget:
                raise _TimeIsUp  # noqa: TRY301 - one way to end it
            self._climb(space)
        except _TimeIsUp:
            tried = len(self._trials) - before
            self._skipped.append(f"{space.name}: time was up after {tried} {'setting' if tried == 1 else 'settings'}")
        except (TrainingTooLarge, ArithmeticError) as error:
            self._skipped.append(f"{space.name}: {error}")

    def _climb(self, space: Space) -> None:
        point = max(space.starts, key=lambda start: self._try(space.choice(start)).value)
        best, improved = self._try(space.choice(point)), True
        while improved:
            improved = False
            for axis, grid in space.axes.items():
                for step in (1, -1):
                    while (moved := _moved(point, axis, grid, step)) is not None:
                        trial = self._try(space.choice(moved))
                        if trial.value <= best.value:
                            break
                        point, best, improved = moved, trial, True

    def _try(self, choice: Choice) -> Trial:
        """Fit and score a setting, unless it was tried before. Raises _TimeIsUp, TrainingTooLarge, ArithmeticError."""
        if choice in self._trials:
            return self._trials[choice]
        began = time.perf_counter()
        alike = [trial.seconds for trial in self._trials.values() if trial.choice.name == choice.name]
        if self._trials and began + max(alike, default=0.0) > self._deadline:
            raise _TimeIsUp
        model = self._models.get(choice.estimator) or learn(self._histories, choice, self._limits)
        lists = self._evaluator.lists(choice.model(model), COLLABORATIVE, content=False)
        scores = per_user(lists, self._evaluator.truth, (K,))[METRIC]
        trial = Trial(choice, scores, time.perf_counter() - began)
        self._trials[choice] = trial
        best = self._best()
        kept = (choice.estimator, best.choice.estimator)
        self._models = {e: m for e, m in {**self._models, choice.estimator: model}.items() if e in kept}
        self._report(trial, best)
        return trial

    def _cut(self, best: Trial) -> Trial:
        """The same with the smallest K that does as well."""
        self._deadline = self._started + self._budget
        tried = []
        for choice in cuts(best.choice):
            needed = choice.estimator.needs_bytes(self._histories)
            if choice != best.choice and needed > self._limits.memory_bytes:
                error = TrainingTooLarge(choice.name, len(self._histories.title_ids), needed, self._limits.memory_bytes)
                self._skipped.append(f"{choice.estimator.neighbours} neighbours: {error}")
                continue
            try:
                tried.append(self._try(choice))
            except _TimeIsUp:
                self._skipped.append("other numbers of neighbours: time was up")
                return best
        return sufficient(tried)

    def _best(self) -> Trial:
        return max(self._trials.values(), key=lambda trial: trial.value)

    def _best_of(self, name: str) -> Trial:
        return max((t for t in self._trials.values() if t.choice.name == name), key=lambda trial: trial.value)


def sufficient(tried: Sequence[Trial]) -> Trial:
    """The first, fewest neighbours coming first, that is about as good as the best."""
    most = max(trial.value for trial in tried)
    return next(trial for trial in tried if trial.value >= _ENOUGH * most)


def _moved(point: Point, axis: str, grid: Sequence[float], step: int) -> Point | None:
    """The point a step along an axis; None beyond its end."""
    place = min(range(len(grid)), key=lambda i: abs(grid[i] - point[axis])) + step
    return {**point, axis: grid[place]} if 0 <= place < len(grid) else None
