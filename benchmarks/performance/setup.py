"""What every benchmark of speed is given."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from uuid import UUID

from benchmarks.performance.figures import Figure, Target
from benchmarks.platform.loading import load
from benchmarks.platform.synthetic import Platform
from benchmarks.stage import Contents, Say, Stage
from shared.ids import to_uuids


@dataclass(frozen=True)
class Setup:
    """Where to measure, and how much."""

    stage: Stage
    platform: Platform  # what its databases hold
    runs: int  # of what a median is taken
    requests: int  # of the longest load
    growth: Sequence[int]  # interactions of the platforms that trainings are compared on
    say: Say

    def users(self, most: int, *, seed: int = 1) -> list[UUID]:
        """Distinct users, each as likely as any other."""
        draw = random.Random(seed)  # noqa: S311 - which users, no secret
        count = min(most, self.platform.size.users)
        return to_uuids(self.platform.user_ids[draw.sample(range(self.platform.size.users), count)])

    def turns(self, what: str) -> Iterator[int]:
        """Run by run, saying which it is."""
        for turn in range(self.runs):
            self.say(f"{what}: run {turn + 1} of {self.runs}")
            yield turn


@dataclass(frozen=True)
class Benchmark:
    """Rows that are measured together."""

    name: str
    help: str
    module: ModuleType

    @classmethod
    def of(cls, module: ModuleType) -> Benchmark:
        """A module of benchmarks/performance/rows: its first line says what it measures, TARGETS are its rows, and
        measure(setup) gives a figure for each; profile(setup), which may be missing, says where the time goes."""
        help_ = (module.__doc__ or "").splitlines()[0].rstrip(".")
        return cls(module.__name__.rpartition(".")[2].replace("_", "-"), help_, module)

    @property
    def targets(self) -> Sequence[Target]:
        """In the order of the table."""
        targets: Sequence[Target] = self.module.TARGETS
        return targets

    def profile(self, setup: Setup) -> str | None:
        """Where its time goes, for the case that a target is missed; None where there is nothing to see."""
        take: Callable[[Setup], str] | None = getattr(self.module, "profile", None)
        return take(setup) if take else None

    def measure(self, setup: Setup) -> Iterator[Figure]:
        """A figure for each target, in their order."""
        figures: Iterator[Figure] = self.module.measure(setup)
        return figures


def contents(platform: Platform, say: Say) -> Contents:
    """The platform in the stage's databases."""
    size = platform.size

    def progress(done: int, of: int) -> None:
        if done % 2_000_000 == 0 or done == of:
            say(f"{done:,} of {of:,} interactions are loaded")

    def fill(dsns: Mapping[str, str]) -> None:
        load(platform, dsns, progress=progress)

    name = f"a platform of {size.users:,} users, {size.titles:,} titles and {size.interactions:,} interactions"
    return Contents(name, fill)
