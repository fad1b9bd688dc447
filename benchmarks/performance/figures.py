"""What is measured: targets, and figures that meet them or not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Sense(StrEnum):
    """On which side of its bound a figure is to be."""

    AT_MOST = "<="
    AT_LEAST = ">="


@dataclass(frozen=True)
class Target:
    """One row of the table."""

    row: str  # its id
    what: str
    unit: str = ""  # of the figure: ms, MB, times
    sense: Sense | None = None  # None: a figure to know, without a target
    bound: float = math.nan
    beside: str = ""  # what the bound is in terms of: "of a constant route"

    @property
    def words(self) -> str:
        """The target for people; a dash where there is none."""
        if self.sense is None:
            return "-"
        return " ".join(filter(None, [self.sense, f"{self.bound:,g}", self.unit, self.beside]))


@dataclass(frozen=True)
class Plot:
    """A picture of what was measured, for report.py to draw."""

    name: str  # of its file
    title: str
    x: str  # what the axis shows, with its unit
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    bars: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # by group, then by who
    logarithmic: bool = False  # both axes
    apart: bool = False  # each line has a panel of its own: they share no unit


@dataclass(frozen=True)
class Figure:
    """What a row came to."""

    target: Target
    value: float
    details: str = ""  # what it was beside, in a sentence without its full stop
    samples: Mapping[str, object] = field(default_factory=dict)  # for programs
    plots: Sequence[Plot] = ()

    @property
    def words(self) -> str:
        """The figure for people."""
        return amount(self.value, self.target.unit)

    @property
    def met(self) -> bool | None:
        """None where there is no target. NaN meets none."""
        if self.target.sense is None:
            return None
        if self.target.sense is Sense.AT_MOST:
            return self.value <= self.target.bound
        return self.value >= self.target.bound

    @property
    def times_better(self) -> float | None:
        """How many times better than its target, below 1 where that is missed; None where nothing can be divided."""
        if self.target.sense is None or not (self.value > 0 and self.target.bound > 0):
            return None
        ratio = self.value / self.target.bound
        return ratio if self.target.sense is Sense.AT_LEAST else 1 / ratio

    @property
    def verdict(self) -> str:
        """For the table."""
        return {None: "-", True: "met", False: "NOT met"}[self.met]


_GROUPED: Final = 1000  # from here on, digits behind the point say nothing


def amount(value: float, unit: str) -> str:
    """A number with its unit: 3 digits that count, 12,345 in groups."""
    if math.isnan(value):
        number = "nothing"
    elif value == int(value) or abs(value) >= _GROUPED:
        number = f"{value:,.0f}"
    else:
        digits = max(0, 2 - math.floor(math.log10(abs(value))))
        number = f"{value:,.{digits}f}"
    return " ".join(filter(None, [number, unit]))
