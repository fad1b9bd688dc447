"""A worker as its users run it, for tests."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from demo.process import Process
from tests.platform import Platform, wait_for


class WorkerProcess:
    """`python -m worker run` on a platform, from when it is ready to the end of the block."""

    def __init__(self, platform: Platform, log: Path, **settings: Any) -> None:
        self.process = Process(
            [Path(sys.executable), "-m", "worker", "run"],
            log=log,
            environment=platform.environment(**settings),
            grace=60,  # s; longer than any of its own
        )

    def __enter__(self) -> Self:
        wait_for(lambda: "is ready: " in self.log() or not self.process.running)
        assert self.process.running, self.process.log_tail()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.stop()

    def log(self) -> str:
        """All it has said."""
        return self.process.log.read_text(errors="replace")

    def pool(self) -> list[psutil.Process]:
        """The processes that do its work."""
        return psutil.Process(self.process.pid).children()
