"""How much an interaction says of a user's taste."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.interactions import UNKNOWN_TIME
from shared.media import Kind
from shared.model_settings import ModelSettings
from shared.strengths import Strengths, TimeLine
from tests.interactions import DAY, STRENGTHS

NAN = float("nan")


def of(strengths: Strengths, kind: Kind, value: float = NAN) -> float:
    [found] = strengths.of(np.array([kind], dtype=np.int8), np.array([value], dtype=np.float32)).tolist()
    return round(found, 6)


class TestKinds:
    def test_a_kind_weighs_what_it_is_set_to_and_an_unknown_one_nothing(self) -> None:
        weights = Strengths(like=2.0, watch=0.25, dislike=-1.5)
        assert [of(weights, kind) for kind in (Kind.LIKE, Kind.WATCH, Kind.DISLIKE, Kind.OTHER)] == [2, 0.25, -1.5, 0]

    def test_they_are_taken_from_the_settings(self) -> None:
        chosen = {
            "like_strength": 3,
            "watch_strength": 2,
            "dislike_strength": -1,
            "value_weight": 0.5,
            "value_full": 5,
            "history_half_life_days": 30,
        }
        assert Strengths.from_settings(ModelSettings().changed(**chosen)) == Strengths(3, 2, -1, 0.5, 5, 30)


VALUES = {  # value weight, full, value -> share of the strength
    "values do not matter by default": (0.0, 1.0, 0.1, 1.0),
    "half of the full value, which matters wholly": (1.0, 5.0, 2.5, 0.5),
    "half of the full value, which matters by half": (0.5, 5.0, 2.5, 0.75),
    "the full value": (1.0, 5.0, 5.0, 1.0),
    "more than the full value": (1.0, 5.0, 50.0, 1.0),
    "infinitely much": (1.0, 5.0, float("inf"), 1.0),
    "no value at all": (1.0, 5.0, NAN, 1.0),
    "nothing": (1.0, 5.0, 0.0, 0.0),
    "nothing, which matters by a fifth": (0.2, 5.0, 0.0, 0.8),
    "below nothing": (1.0, 5.0, -3.0, 0.0),
}


@pytest.mark.parametrize(("weight", "full", "value", "share"), VALUES.values(), ids=VALUES.keys())
@pytest.mark.parametrize("kind", [Kind.LIKE, Kind.WATCH, Kind.DISLIKE])
def test_a_value_scales_the_strength(kind: Kind, weight: float, full: float, value: float, share: float) -> None:
    assert of(Strengths(1, 0.5, -0.2, weight, full), kind, value) == pytest.approx(share * of(STRENGTHS, kind))


class TestFading:
    def faded(self, *ranks_and_days: tuple[int, float], recency: float, half_life: float = 0) -> list[float]:
        ranks, days = zip(*ranks_and_days, strict=True)
        strengths = np.ones(len(ranks), dtype=np.float32)
        faded = Strengths(1, 1, 0, half_life_days=half_life).faded(
            strengths, np.array(ranks), np.array(days), recency=recency
        )
        assert faded.dtype == np.float32
        return faded.round(5).tolist()

    def test_without_recency_or_half_life_everything_counts_alike(self) -> None:
        assert self.faded((0, 0), (1, 5), (499, 9000), recency=0) == [1, 1, 1]

    def test_recency_makes_it_count_less_with_each_rank(self) -> None:
        assert self.faded((0, 0), (1, 5), (3, 6), recency=1) == [1, 0.5, 0.25]
        assert self.faded((0, 0), (3, 5), recency=0.5) == [1, 0.5]

    def test_with_a_half_life_it_halves_with_each_on_top(self) -> None:
        assert self.faded((0, 0), (1, 10), (3, 20), recency=0, half_life=10) == [1, 0.5, 0.25]
        assert self.faded((0, 0), (1, 10), recency=1, half_life=10) == [1, 0.25]

    def test_a_dislike_fades_towards_zero_too(self) -> None:
        faded = STRENGTHS.faded(np.array([-0.2], dtype=np.float32), np.array([1]), np.array([0.0]), recency=1)
        assert faded.tolist() == pytest.approx([-0.1])


HISTORIES = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([UNKNOWN_TIME, 0, DAY, 3 * DAY, 10 * DAY])), max_size=25
)


class TestTimeLine:
    def line(self, entries: list[tuple[int, int]]) -> tuple[TimeLine, np.ndarray]:
        users, times = (np.array([e[i] for e in entries], dtype=np.int64) for i in (0, 1))
        return TimeLine.of(users, times, np.arange(len(entries))), times

    @settings(max_examples=50, deadline=None)
    @given(HISTORIES)
    def test_it_agrees_with_sorting_each_users_entries(self, entries: list[tuple[int, int]]) -> None:
        line, times = self.line(entries)
        order, places, ranks, days = [], [], [], []
        for user in sorted({u for u, _ in entries}):
            mine = sorted((time, row) for row, (u, time) in enumerate(entries) if u == user)
            known = [time for time, _ in mine if time != UNKNOWN_TIME]
            for place, (time, row) in enumerate(mine):
                order.append(row)
                places.append(place)
                ranks.append(len(mine) - 1 - place)
                days.append((known[-1] - (known[0] if time == UNKNOWN_TIME else time)) / DAY if known else 0.0)
        assert line.order.tolist() == order
        assert line.places.tolist() == places
        assert line.ranks.tolist() == ranks
        assert line.days(times).tolist() == days

    @settings(max_examples=50)
    @given(HISTORIES, st.floats(0, 5), st.sampled_from([0.0, 7.0]))
    def test_a_user_alone_and_among_others_gets_the_same_to_the_bit(
        self, entries: list[tuple[int, int]], recency: float, half_life: float
    ) -> None:
        weights = Strengths(1, 0.5, -0.2, half_life_days=half_life)

        def faded(some: list[tuple[int, int]]) -> np.ndarray:
            line, times = self.line(some)
            ones = np.ones(len(some), dtype=np.float32)
            return weights.faded(ones, line.ranks, line.days(times), recency=recency)

        alone = [faded([e for e in entries if e[0] == user]).tobytes() for user in sorted({u for u, _ in entries})]
        assert b"".join(alone) == faded(entries).tobytes()
