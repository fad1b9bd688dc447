"""Where things are measured: a PostgreSQL and a Valkey of their own, filled, a model, and the service's processes.

Everything is in a folder, and what was loaded is found there again by the next run. Whatever ends the run ends every
process (see demo/supervisor.py).
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeAlias

import psycopg2

from demo.client import Client
from demo.databases import create_schemas
from demo.errors import WrongAnswer
from demo.process import Process
from demo.server import free_port
from demo.servers import Postgres, Valkey
from demo.supervisor import Supervisor, install_stop_handlers
from shared.settings import Settings

Say: TypeAlias = Callable[[str], None]

PROCESSES: Final = 2  # of the gateway, and of a worker's pool: a process per core
_READY_SECONDS: Final = 60.0
_TRAINING_SECONDS: Final = 3600.0
_POLL_SECONDS: Final = 0.05
_CONNECT_SECONDS: Final = 10


@dataclass(frozen=True)
class Contents:
    """What the databases are to hold."""

    name: str  # by which it is known whether they hold it already
    fill: Callable[[Mapping[str, str]], None]  # given their DSNs by name


@dataclass(frozen=True)
class Gateway:
    """gunicorn with the gateway in it, or with another application."""

    process: Process
    port: int

    @property
    def client(self) -> Client:
        """For the odd request; load comes from benchmarks/performance/load.py."""
        return Client(f"http://127.0.0.1:{self.port}")


class Stage:
    """Servers that run, databases that are filled, and a model. See `opened`."""

    def __init__(self, supervisor: Supervisor, postgres: Postgres, valkey: Valkey, dsns: Mapping[str, str]) -> None:
        """Nothing is started."""
        self.folder = supervisor.directory
        self.postgres, self.valkey = postgres, valkey
        self.dsns = dsns
        self.models = self.folder / "models"
        self._supervisor = supervisor

    def settings(self, **changes: Any) -> Settings:
        """The service's, for what runs in this process."""
        return Settings.model_validate(self._values() | changes)

    def environment(self, **changes: Any) -> dict[str, str]:
        """The same for a process."""
        return {name.upper(): str(value) for name, value in (self._values() | changes).items()}

    def train(self) -> None:
        """A model by the default setting, unless there is one."""
        if not (self.models / "CURRENT").exists():
            self.finish("training", "worker", "train", environment=self.environment())

    def finish(self, name: str, module: str, *arguments: str, environment: Mapping[str, str]) -> None:
        """Run `python -m module arguments` to its end. Raises ServerError when it fails."""
        self._supervisor.finish(name, module, *arguments, environment=environment, seconds=_TRAINING_SECONDS)

    @contextlib.contextmanager
    def gateway(
        self, application: str = "gateway.app:create_app()", *, path: str | None = "/health/live", **changes: Any
    ) -> Iterator[Gateway]:
        """gunicorn, with the service's own configuration, once it answers `path`; None: at once."""
        port = free_port()
        name = f"gateway-{port}"
        environment = self.environment(web_bind=f"127.0.0.1:{port}", **changes)
        arguments = ["-c", "gateway/gunicorn.conf.py", application]
        gateway = Gateway(self._supervisor.run(name, "gunicorn", *arguments, environment=environment), port)
        try:
            if path is not None:
                self.wait(lambda: gateway.client.get(path))
            yield gateway
        finally:
            self._supervisor.end(name)

    @contextlib.contextmanager
    def worker(self, gateway: Gateway, **changes: Any) -> Iterator[Process]:
        """A worker with a pool of processes, once the gateway knows that it is there."""
        arguments = ["run", "--concurrency", str(PROCESSES)]
        process = self._supervisor.run("worker", "worker", *arguments, environment=self.environment(**changes))
        try:
            self.wait(lambda: self._expect_ready(gateway))
            yield process
        finally:
            self._supervisor.end("worker")

    @contextlib.contextmanager
    def helper(self, number: int, **changes: Any) -> Iterator[Process]:
        """One of several workers with a process of one thread, and no gateway, once it says that it is ready."""
        name = f"helper-{number}"
        log = self.log(name)
        log.unlink(missing_ok=True)
        arguments = ["run", "--concurrency", "1", "--name", f"{name}@%h"]
        environment = self.environment(training_threads=1, **changes)
        process = self._supervisor.run(name, "worker", *arguments, environment=environment)
        try:
            self.wait(lambda: _expect_said(log, "is ready: "))
            yield process
        finally:
            self._supervisor.end(name)

    def log(self, name: str) -> Path:
        """The log file of one of its processes."""
        return self._supervisor.log(name)

    def wait(self, ask: Callable[[], object]) -> None:
        """Until `ask` no longer raises WrongAnswer. Raises it after a minute, ServerError when a process stopped."""
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            self._supervisor.check()
            try:
                ask()
            except WrongAnswer:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_SECONDS)
            else:
                return

    def sql(self, database: str, statement: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement as the platform's own services would; it is committed. Raises psycopg2.Error."""
        with contextlib.closing(psycopg2.connect(self.dsns[database], connect_timeout=_CONNECT_SECONDS)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall() if cursor.description else []

    def _values(self) -> dict[str, Any]:
        return {f"{name}_url": dsn for name, dsn in self.dsns.items()} | {
            "redis_url": self.valkey.url(0),
            "broker_url": self.valkey.url(1),
            "model_store": str(self.models),
            "model_cache": str(self.folder / "model-cache"),
            "training_budget_seconds": 0,
            "web_concurrency": PROCESSES,
            "auth": "none",  # callers are not asked who they are, and not counted: what that takes has a row of its own
            "rate_single": "none",
            "rate_batch": "none",
            "rate_jobs": "none",
        }

    @staticmethod
    def _expect_ready(gateway: Gateway) -> None:
        body = gateway.client.get("/health/ready").body
        if body["status"] != "ready":
            raise WrongAnswer(f"the service is not ready: {body['checks']}")


def _expect_said(log: Path, words: str) -> None:
    if words not in log.read_text(encoding="utf-8", errors="replace"):
        raise WrongAnswer(f"{log} does not say {words!r} yet")


@contextlib.contextmanager
def opened(folder: Path, contents: Contents, say: Say) -> Iterator[Stage]:
    """A stage in `folder`. Raises DemoError, psycopg2.Error."""
    install_stop_handlers()
    with contextlib.ExitStack() as stack:
        supervisor = Supervisor(folder)
        supervisor.__enter__()
        stack.push(partial(_stop, supervisor))
        postgres = Postgres(supervisor.directory / "postgres")  # durable, as a platform's is: jobs are committed
        valkey = Valkey(supervisor.directory / "valkey", appendonly=False)
        say("starting PostgreSQL and Valkey")
        supervisor.serve(postgres)
        supervisor.serve(valkey)
        stage = Stage(supervisor, postgres, valkey, create_schemas(postgres))
        note = stage.folder / "contents"
        if not note.exists() or note.read_text(encoding="utf-8") != contents.name:
            note.unlink(missing_ok=True)
            shutil.rmtree(stage.models, ignore_errors=True)
            say(f"loading {contents.name}")
            contents.fill(stage.dsns)
            note.write_text(contents.name, encoding="utf-8")  # afterwards: a load cut short begins anew
        say("training a model, if there is none")
        stage.train()
        yield stage


def _stop(
    supervisor: Supervisor,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
) -> None:
    """Standard output is for what was measured."""
    with contextlib.redirect_stdout(sys.stderr):
        supervisor.__exit__(kind, error, trace)
