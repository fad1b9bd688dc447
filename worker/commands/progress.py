"""What a training or an evaluation is doing, for whoever waits at the terminal; on standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from worker.training import evaluator
from worker.training.search import METRIC, Trial

_SECONDS_BETWEEN_LINES = 10.0  # where standard error is no terminal


class Watch:
    """A line that moves on a terminal; elsewhere a line every ten seconds."""

    def __init__(self, budget_seconds: float) -> None:
        self._budget = budget_seconds
        self._started = self._said = time.monotonic()
        self._moving = sys.stderr.isatty()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not self._moving,
        )
        self._task: TaskID | None = None
        self._tried = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def tried(self, _trial: Trial, best: Trial) -> None:
        """A setting was tried."""
        self._tried += 1
        seconds = time.monotonic() - self._started
        self._show(
            f"{self._tried} settings tried, the best: {best.choice.name}, {METRIC} {best.value:.4f}",
            seconds,
            self._budget,
        )

    def measuring(self, name: str) -> evaluator.Progress:
        """A model's lists are made."""
        self._task = None
        return lambda done, users: self._show(f"{name}: {done} of {users} users", done, users)

    def _show(self, text: str, done: float, total: float) -> None:
        if self._moving:
            if self._task is None:
                for task in self._progress.task_ids:
                    self._progress.remove_task(task)
                self._task = self._progress.add_task(text)
            self._progress.update(self._task, description=text, completed=min(done, total), total=total)
        elif time.monotonic() - self._said >= _SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            print(text, file=sys.stderr, flush=True)
