"""How fast the machine is while it is measured on, by a loop that is always the same.

A machine that is shared may be half as fast from one minute to the next, and whatever is told in seconds with it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median
from typing import Final

_TURNS: Final = 100_000  # of the loop: about 5 ms
_TRIES: Final = 3  # of a look


class Pace:
    """Looks at the machine now and then, and compares."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {}

    def look(self, during: str) -> None:
        """Take the loop's time during a benchmark, by its name."""
        self.note(during, median(_loop() for _ in range(_TRIES)))

    def note(self, during: str, seconds: float) -> None:
        """The loop took as long."""
        self._seconds.setdefault(during, []).append(seconds)

    @property
    def shares(self) -> Mapping[str, float]:
        """Of the fastest that was seen in any of them, how fast it was during each, by the median: at most 1."""
        fastest = min((min(seconds) for seconds in self._seconds.values()), default=1.0)
        return {during: fastest / median(seconds) for during, seconds in self._seconds.items()}

    @property
    def words(self) -> str:
        """For people: a sentence without its full stop, empty where nobody looked."""
        told = ", ".join(f"{during} {share:.2f}" for during, share in self.shares.items())
        return told and f"How fast the machine itself was meanwhile, of the fastest it was in this run: {told}"


def _loop() -> float:
    begun = time.perf_counter()
    total = 0
    for number in range(_TURNS):
        total += number * number
    return time.perf_counter() - begun
