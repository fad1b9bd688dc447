"""Worker and gateway as their users run them, for tests."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from demo.client import Client
from demo.errors import WrongAnswer
from demo.process import Process
from demo.server import free_port
from tests.platform import Platform, wait_for


class _Running:
    """A process of the service, from when it is ready to the end of the block."""

    process: Process

    def __enter__(self) -> Self:
        wait_for(lambda: self._is_ready() or not self.process.running)
        assert self.process.running, self.process.log_tail()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.stop()

    def log(self) -> str:
        """All it has said."""
        return self.process.log.read_text(errors="replace")

    def _is_ready(self) -> bool:
        raise NotImplementedError


class WorkerProcess(_Running):
    """`python -m worker run` on a platform, from when it is ready to the end of the block."""

    def __init__(self, platform: Platform, log: Path, **settings: Any) -> None:
        self.process = Process(
            [Path(sys.executable), "-m", "worker", "run"],
            log=log,
            environment=platform.environment(**settings),
            grace=60,  # s; longer than any of its own
        )

    def _is_ready(self) -> bool:
        return "is ready: " in self.log()

    def pool(self) -> list[psutil.Process]:
        """The processes that do its work."""
        return psutil.Process(self.process.pid).children()


class GatewayProcess(_Running):
    """gunicorn with the gateway on a platform, from when it is ready for requests to the end of the block."""

    def __init__(self, platform: Platform, log: Path, **settings: Any) -> None:
        self.client = Client(f"http://127.0.0.1:{(port := free_port())}")
        self.process = Process(
            [Path(sys.executable), "-m", "gunicorn", "-c", "gateway/gunicorn.conf.py", "gateway.app:create_app()"],
            log=log,
            environment=platform.environment(**{"web_bind": f"127.0.0.1:{port}", "web_concurrency": 1} | settings),
        )

    def _is_ready(self) -> bool:
        try:
            return bool(self.client.get("/health/ready").body["status"] == "ready")
        except WrongAnswer:  # it does not listen yet, or says that it is not
            return False
