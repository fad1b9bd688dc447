"""The demo's processes: started one after another, watched, stopped in the opposite order."""

import signal
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

from demo.console import step
from demo.errors import ServerError
from demo.lock import DirectoryLock
from demo.process import Process
from demo.server import Server

_LOOK = 0.2  # seconds between looks at the processes


class Supervisor:
    """Owns a directory with all data and logs, and every process started through it.

    None of them outlives this process, whatever ends it (see demo/guard.py). Use it in a `with`.
    """

    def __init__(self, directory: Path) -> None:
        """Nothing is touched yet."""
        self.directory = directory.absolute()
        self._stack = ExitStack()
        self._running: dict[str, Process | Server] = {}
        self._lock: DirectoryLock | None = None

    def __enter__(self) -> Self:
        """Take the directory. Raises ServerError when another demo runs on it."""
        self._lock = DirectoryLock(self.directory)
        self._stack.callback(self._lock.release)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything, last started first. Each stop is bounded, so asking again cannot hurry it."""
        ignore_stop_requests()
        with step("\nStopping") if self._running else nullcontext():
            self._stack.close()

    def log(self, name: str) -> Path:
        """The log file of a process started with `run` or `finish`."""
        return self.directory / f"{name}.log"

    def serve(self, server: Server) -> None:
        """Start a server and answer for it. Raises ServerError."""
        self._stack.callback(server.stop)
        server.start()
        self._running[server.name] = server

    def run(self, name: str, module: str, *arguments: str, environment: Mapping[str, str]) -> Process:
        """Start `python -m module arguments` in the project's folder and leave it running."""
        process = self._start(name, module, arguments, environment)
        self._running[name] = process
        return process

    def end(self, name: str) -> None:
        """Stop a process started with `run` before the rest."""
        self._running.pop(name).stop()

    def finish(self, name: str, module: str, *arguments: str, environment: Mapping[str, str], seconds: float) -> None:
        """Run `python -m module arguments` to its end.

        Raises ServerError, with the end of its log, when it fails or takes longer than `seconds`.
        """
        process = self._start(name, module, arguments, environment)
        status = process.wait(seconds)
        if status != 0:
            raise ServerError(f"The {name} failed (exit {status}).\n{process.log_tail()}")

    def check(self) -> None:
        """Raise ServerError when a process that should run has ended by itself."""
        for name, process in self._running.items():
            if not process.running:
                raise ServerError(f"The {name} stopped by itself.\n{process.log_tail()}")

    def watch(self) -> None:
        """Block until a stop is asked for (KeyboardInterrupt). Raises ServerError as `check` does."""
        while True:
            self.check()
            time.sleep(_LOOK)

    def _start(self, name: str, module: str, arguments: tuple[str, ...], environment: Mapping[str, str]) -> Process:
        assert self._lock is not None, "use the supervisor in a `with`"
        process = Process(
            [sys.executable, "-m", module, *arguments],
            log=self.log(name),
            environment={**environment, "PYTHONUNBUFFERED": "1"},
            keep_open=[self._lock.descriptor],  # no second demo before the last of this one is gone
        )
        self._stack.callback(process.stop)
        return process


def install_stop_handlers() -> None:
    """Let Ctrl-C and TERM raise KeyboardInterrupt.

    Explicitly for Ctrl-C too: a program started with `&` in a script inherits it ignored.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def ignore_stop_requests() -> None:
    """From here on we are stopping already."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
