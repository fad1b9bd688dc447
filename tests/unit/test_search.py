"""Which estimator, with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest

from shared.errors import NothingToTrainOn
from tests.histories import LIMITS
from tests.interactions import Row, clustered, interactions, likes, platform, sequels
from worker.training.estimators.cooccurrence import CoOccurrence
from worker.training.estimators.estimator import Limits
from worker.training.evaluator import Evaluator
from worker.training.learn import Choice, learn
from worker.training.metrics import per_user
from worker.training.search import COLLABORATIVE, METRIC, Found, K, Search, Trial, sufficient
from worker.training.space import UnknownEstimator, choice_of, cuts, families, regressions
from worker.training.split import Protocol, split

AMPLE = 1000.0  # seconds
NO_TIME = 1e-9


class Counted:
    """What a search reports: every trial, when it ends."""

    def __init__(self) -> None:
        self.trials: list[Trial] = []
        self.bests: list[Trial] = []

    def __call__(self, trial: Trial, best: Trial) -> None:
        self.trials.append(trial)
        self.bests.append(best)


def searched(
    found: list[Row],
    *,
    budget: float = AMPLE,
    ordered: bool = True,
    limits: Limits = LIMITS,
    neighbours: int = 20,
    report: Counted | None = None,
) -> tuple[Found, Evaluator]:
    whole = interactions(*found)
    parts = split(whole, Protocol.TEMPORAL, seed=0)
    evaluator = Evaluator(parts, platform(whole.title_ids), most_users=None, seed=0)
    search = Search(
        parts.fit.histories(),
        evaluator,
        limits,
        ordered=ordered,
        neighbours=neighbours,
        budget_seconds=budget,
        report=report or Counted(),
    )
    return search.run(), evaluator


SMALL = {"users": 24, "clusters": 2, "size": 8, "each": 6}


@cache
def small() -> tuple[Found, Counted]:
    report = Counted()
    return searched(clustered(**SMALL), report=report)[0], report


@cache
def in_order() -> Found:
    return searched(sequels(users=40, series=4, each=6))[0]


class TestWinner:
    def test_it_is_the_trial_with_the_highest_score_or_as_good_with_fewer_neighbours(self) -> None:
        found, _ = small()
        most = max(trial.value for trial in found.trials)
        assert 0.998 * most <= found.best.value <= most
        assert found.best in found.trials
        assert found.by_estimator[found.best.choice.name] is found.best

    def test_no_single_step_along_its_grid_would_have_been_better(self) -> None:
        for found in (small()[0], in_order()):
            trials = {trial.choice: trial.value for trial in found.trials}
            family = max((t for t in found.trials if t.choice.name == "co-occurrence"), key=lambda t: t.value)
            spaces = [
                families(ordered=True, neighbours=20),
                *regressions(family.choice, ordered=True, neighbours=20, titles=20),
            ]
            for space in spaces:
                best = max((t for t in found.trials if t.choice.name == space.name), key=lambda t: t.value)
                for axis, grid in space.axes.items():
                    place = list(grid).index(best.choice.parameters[axis])
                    for value in grid[max(0, place - 1) : place + 2]:
                        stepped = choice_of(space.name, {**best.choice.parameters, axis: value})
                        assert trials[stepped] <= best.value

    def test_the_best_of_each_estimator_has_its_highest_score(self) -> None:
        found, _ = small()
        assert set(found.by_estimator) == {"co-occurrence", "ease", "local-ridge"}
        for name, best in found.by_estimator.items():
            if best is not found.best:
                assert best.value == max(trial.value for trial in found.trials if trial.choice.name == name)

    def test_a_score_is_what_the_evaluator_says_of_a_model_with_that_setting(self) -> None:
        whole = interactions(*clustered(**SMALL))
        parts = split(whole, Protocol.TEMPORAL, seed=0)
        evaluator = Evaluator(parts, platform(whole.title_ids), most_users=None, seed=0)
        for trial in small()[0].trials[::10]:
            model = learn(parts.fit.histories(), trial.choice, LIMITS)
            lists = evaluator.lists(model, COLLABORATIVE, content=False)
            assert trial.scores.tolist() == per_user(lists, evaluator.truth, (K,))[METRIC].tolist()

    def test_given_time_the_search_is_the_same_each_time(self) -> None:
        first, (again, _) = small()[0], searched(clustered(**SMALL))
        assert [(trial.choice, trial.value) for trial in first.trials] == [(t.choice, t.value) for t in again.trials]
        assert first.best.choice == again.best.choice

    def test_no_setting_is_tried_twice(self) -> None:
        found, report = small()
        assert len({trial.choice for trial in found.trials}) == len(found.trials) == len(report.trials)

    def test_every_trial_is_reported_with_the_best_so_far(self) -> None:
        _, report = small()
        for place, best in enumerate(report.bests, 1):
            assert best.value == max(trial.value for trial in report.trials[:place])

    def test_given_time_nothing_is_skipped(self) -> None:
        assert small()[0].skipped == []


class TestOrder:
    def test_where_one_title_follows_another_it_learns_what_came_first_and_looks_at_the_newest(self) -> None:
        chosen = in_order().best.choice.parameters
        assert chosen["w"] < 1
        assert chosen["r"] > 0

    def test_it_does_better_than_any_that_knows_nothing_of_order(self) -> None:
        regardless, _ = searched(sequels(users=40, series=4, each=6), ordered=False)
        assert in_order().best.value > 1.1 * regardless.best.value

    def test_where_it_is_not_known_what_came_first_no_setting_looks_at_it(self) -> None:
        found, _ = searched([(user, title, kind, None) for user, title, kind, _ in clustered(**SMALL)], ordered=False)
        assert {(trial.choice.parameters["w"], trial.choice.parameters["r"]) for trial in found.trials} == {(1, 0)}


class TestLimits:
    def test_a_budget_that_is_spent_at_once_still_tries_one_setting_and_says_what_it_left_out(self) -> None:
        found, _ = searched(clustered(**SMALL), budget=NO_TIME)
        [trial] = found.trials
        assert found.best is trial
        assert found.by_estimator == {"co-occurrence": trial}
        assert found.skipped == [
            "co-occurrence: time was up after 1 setting",
            "ease: time was up after 0 settings",
            "local-ridge: time was up after 0 settings",
            "other numbers of neighbours: time was up",
        ]

    def test_what_needs_too_much_memory_is_left_out_with_its_reason(self) -> None:
        found, _ = searched(clustered(**SMALL), limits=Limits(threads=1, memory_bytes=1000))
        assert set(found.by_estimator) == {"co-occurrence"}
        ease, ridge, *_ = found.skipped
        assert ease.startswith("ease: ease on 16 titles needs about 1 MB, and TRAINING_MEMORY_MB allows 0")
        assert ridge.startswith("local-ridge: local-ridge on 16 titles needs about 1 MB")

    def test_likes_that_nobody_shares_are_nothing_to_learn_from(self) -> None:
        alone = likes([1], [2], [3])
        whole = interactions(*clustered(**SMALL))
        evaluator = Evaluator(
            split(whole, Protocol.TEMPORAL, seed=0), platform(whole.title_ids), most_users=None, seed=0
        )
        search = Search(alone.histories(), evaluator, LIMITS, ordered=True, neighbours=20, budget_seconds=AMPLE)
        with pytest.raises(NothingToTrainOn, match="no two titles share a user"):
            search.run()


class TestNeighbours:
    @pytest.mark.parametrize(
        ("values", "chosen"),
        [([0.5, 0.5, 0.5], 100), ([0.4991, 0.5, 0.5], 100), ([0.498, 0.4991, 0.5], 200), ([0.1, 0.2, 0.3], 500)],
        ids=["all alike", "the first nearly as good", "the second nearly as good", "the last much better"],
    )
    def test_the_fewest_within_a_five_hundredth_of_the_best_will_do(self, values: list[float], chosen: int) -> None:
        tried = [
            Trial(Choice(CoOccurrence(0, 0, 0, 1, k), 0), np.array([value]), 0.0)
            for k, value in zip((100, 200, 500), values, strict=True)
        ]
        assert sufficient(tried).choice.estimator.neighbours == chosen

    def test_the_smallest_k_that_does_as_well_is_chosen(self) -> None:
        found, _ = small()  # of 16 titles, 100 neighbours are as good as 500
        assert found.best.choice.estimator.neighbours == 20

    def test_fewer_neighbours_than_are_good_enough_are_not(self) -> None:
        found, _ = searched(clustered(users=60, clusters=1, size=30, each=10), neighbours=1)
        of_k = {t.choice.estimator.neighbours: t.value for t in found.trials if _alike(t.choice, found.best.choice)}
        assert set(of_k) == {1, 100, 200, 500}
        best = max(of_k.values())
        assert found.best.choice.estimator.neighbours == min(k for k, value in of_k.items() if value >= 0.998 * best)

    def test_more_than_memory_holds_are_left_out_with_their_reason(self) -> None:
        rows = sequels(users=40, series=4, each=6)
        histories = split(interactions(*rows), Protocol.TEMPORAL, seed=0).fit.histories()
        one_each = max(c.estimator.needs_bytes(histories) for c in families(ordered=True, neighbours=1).choices())
        found, _ = searched(rows, neighbours=1, limits=Limits(threads=1, memory_bytes=one_each))
        assert found.best.choice.estimator.neighbours == 1
        assert [reason.partition(":")[0] for reason in found.skipped[-3:]] == [
            "100 neighbours", "200 neighbours", "500 neighbours"
        ]  # fmt: skip
        assert "TRAINING_MEMORY_MB allows" in found.skipped[-1]

    def test_others_are_the_same_setting_with_other_k_fewest_first(self) -> None:
        choice = choice_of("ease", {"lambda": 30.0, "b": 0.5, "p": 0.5, "w": 0.2, "k": 150, "r": 0.5})
        others = cuts(choice)
        assert [other.estimator.neighbours for other in others] == [100, 150, 200, 500]
        assert all(_alike(other, choice) for other in others)
        assert choice in others


def _alike(one: Choice, other: Choice) -> bool:
    """The same but for K."""
    return one.name == other.name and {**one.parameters, "k": 0} == {**other.parameters, "k": 0}


FAMILY = Choice(CoOccurrence(0.3, 0.5, 0.1, 0.4, 50), 1.5)
SPACES = [
    *(families(ordered=ordered, neighbours=50) for ordered in (True, False)),
    *regressions(FAMILY, ordered=True, neighbours=50, titles=100),
    *regressions(FAMILY, ordered=False, neighbours=50, titles=50_000),
]


class TestManifest:
    """A refresh learns with the setting that a manifest tells of."""

    @pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
    def test_any_setting_of_the_space_is_told_and_understood(self, space: object) -> None:
        draw = np.random.default_rng(1)
        for start in space.starts:
            for _ in range(20):
                axes = {axis: grid[draw.integers(len(grid))] for axis, grid in space.axes.items()}
                choice = space.choice({**start, **axes})
                assert choice.name == space.name
                assert choice_of(choice.name, choice.parameters) == choice
                assert {axis: choice.parameters[axis] for axis in axes} == axes

    def test_every_trial_of_a_search_is_understood(self) -> None:
        for trial in [*small()[0].trials, *in_order().trials]:
            assert choice_of(trial.choice.name, trial.choice.parameters) == trial.choice

    def test_large_catalogues_have_ease_on_their_head_and_the_whole_last(self) -> None:
        def names(titles: int) -> list[str]:
            return [space.name for space in regressions(FAMILY, ordered=True, neighbours=5, titles=titles)]

        assert names(10_000) == ["ease", "local-ridge"]
        assert names(10_001) == ["local-ridge", "ease-on-head", "ease"]

    def test_the_regressions_begin_with_what_is_best_for_the_family(self) -> None:
        for space in regressions(FAMILY, ordered=True, neighbours=5, titles=50_000):
            for start in space.starts:
                assert (start["w"], start["r"]) == (0.4, 1.5)


UNKNOWN = {
    "an estimator of another release": ("als", {"factors": 64, "r": 0.5}),
    "a setting that is missing": ("ease", {"lambda": 30.0, "b": 0.5, "p": 0.5, "k": 200, "r": 0.5}),
    "no recency": ("co-occurrence", {"a": 0.5, "b": 0.5, "c": 0.5, "w": 1.0, "k": 200}),
    "a part that is missing": (
        "ease-on-head",
        {"head": 5000, "lambda": 30.0, "b": 0.5, "p": 0.5, "w": 0.2, "k": 200, "r": 0.5, "rest_a": 0.3},
    ),
    "nothing": ("co-occurrence", {}),
}


@pytest.mark.parametrize(("name", "parameters"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_a_setting_of_another_release_is_refused_by_name(name: str, parameters: Mapping[str, float]) -> None:
    with pytest.raises(UnknownEstimator, match=f"this release has no estimator {name} with these settings"):
        choice_of(name, parameters)


def test_a_setting_that_a_release_wrote_as_whole_numbers_is_the_same() -> None:
    told = {"a": 0, "b": 1, "c": 0, "w": 1, "k": 200, "r": 0}
    assert choice_of("co-occurrence", told) == Choice(CoOccurrence(0.0, 1.0, 0.0, 1.0, 200), 0.0)
