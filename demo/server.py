"""What every server of the demo has in common: a locked directory, a port, a guard, a bounded start."""

import secrets
import socket
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from demo.errors import ServerError
from demo.lock import DirectoryLock
from demo.process import Process, log_tail

_START = 60.0  # seconds to answer; recovery after a crash comes before the first answer
_POLL = 0.02  # seconds between looks
_PORTS = range(20_000, 32_000)
_PORT_TRIES = 200


class Server(ABC):
    """A server on a data directory of its own: locked, guarded, bounded in everything it waits for."""

    name: ClassVar[str]

    def __init__(self, directory: Path, port: int | None = None) -> None:
        """Nothing runs yet. Without a `port` a free one is chosen at the first start, then kept."""
        self.directory = directory.absolute()
        self._port = port
        self._process: Process | None = None
        self._lock: DirectoryLock | None = None

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1."""
        if self._port is None:
            self._port = free_port()
        return self._port

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.directory / "log"

    @property
    def pid(self) -> int:
        """The server's main process. Raises ServerError when it was never started."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether the server's main process lives (paused counts as living)."""
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start and wait until it answers; nothing when it runs already.

        Raises ServerError, with the end of the log, when it does not answer within a minute; when the
        directory is in use; when the port is taken.
        """
        if self.running:
            return
        self._release()
        self._lock = DirectoryLock(self.directory, mode=0o700)
        try:
            self._refuse_taken_port()
            self._process = self._launch(self._locked())
            self._wait_until_it_answers(self._process)
        except BaseException:
            self.stop()
            raise

    def log_tail(self) -> str:
        """The last lines of the log, with the file's name above them."""
        return log_tail(self.log)

    def stop(self) -> None:
        """Stop in order, within bounds; nothing when it does not run."""
        if self._process is not None:
            self._process.stop()
        self._release()

    def kill(self) -> None:
        """SIGKILL every process of the server, as a crash of the machine would."""
        self._started().kill()
        self._release()

    def pause(self) -> None:
        """SIGSTOP every process of the server: connections hang, nothing is refused."""
        self._started().pause()

    def resume(self) -> None:
        """Undo `pause`."""
        self._started().resume()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @abstractmethod
    def _launch(self, lock: int) -> Process:
        """Prepare the data directory when needed and start; `lock` is a descriptor to inherit."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it serves requests now."""

    def _locked(self) -> int:
        assert self._lock is not None
        return self._lock.descriptor

    def _refuse_taken_port(self) -> None:
        if not port_is_free(self.port):
            raise ServerError(f"{self.name} cannot start: port {self.port} is taken. Choose another port.")

    def _wait_until_it_answers(self, process: Process) -> None:
        deadline = time.monotonic() + _START
        while not self._answers():
            if not process.running:
                raise ServerError(f"{self.name} stopped while starting.\n{log_tail(self.log)}")
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} gave no answer in {_START:.0f} s.\n{log_tail(self.log)}")
            time.sleep(_POLL)

    def _started(self) -> Process:
        if self._process is None:
            raise ServerError(f"{self.name} was not started.")
        return self._process

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def free_port() -> int:
    """A free TCP port on 127.0.0.1.

    Below the range the system gives to outgoing connections: while a server is down for a restart, a
    client that keeps connecting could otherwise be given the server's own port.
    """
    for _ in range(_PORT_TRIES):
        port = secrets.choice(_PORTS)
        if port_is_free(port):
            return port
    raise ServerError(f"No free port between {_PORTS.start} and {_PORTS.stop} on 127.0.0.1.")


def port_is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do; skips TIME_WAIT
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
