"""One process of the demo, started under a guard so that it never outlives us."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from demo import tree
from demo.errors import ServerError
from demo.identity import Identity

PROJECT = Path(__file__).resolve().parent.parent
_SWEEP = 10.0  # seconds the guard may need beyond its grace to see everything gone
_TAIL = 20  # lines of a log shown with an error


class Process:
    """A command with its descendants, its log file, and a guard above it (see demo/guard.py)."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace: float = 10.0,
        identity: Identity = Identity.SAME,
        keep_open: Sequence[int] = (),
    ) -> None:
        """Start `command` (an absolute path and its arguments) in the project's folder; output goes to `log`.

        `environment` is added to ours, `grace` is in seconds, and `keep_open` are descriptors the command
        inherits. Raises ServerError when the command cannot be started at all.
        """
        self.log = log
        self._grace = grace
        options = [f"--stop-signal={stop_signal.name}", f"--grace={grace}", f"--identity={identity}"]
        with log.open("ab") as output:
            self._guard = subprocess.Popen(  # nosec B603 # our own servers, without a shell
                [sys.executable, "-m", "demo.guard", *options, "--", *map(str, command)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=PROJECT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # Ctrl-C at the terminal is for us; we stop the rest in order
                pass_fds=tuple(keep_open),
            )
        assert self._guard.stdout is not None
        with self._guard.stdout as answer:
            word, _, rest = answer.readline().decode().strip().partition(" ")
        if word != "pid":
            self.stop()
            raise ServerError(rest or f"{command[0]} could not be started.\n{self.log_tail()}")
        self.pid = int(rest)

    @property
    def running(self) -> bool:
        """Whether it lives; a process that has ended is never taken for a living one."""
        return self._guard.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Exit status (128 + number after a signal), None while it runs."""
        return self._guard.poll()

    def wait(self, seconds: float) -> int:
        """Wait for its end and return the exit status. Raises ServerError after `seconds`."""
        try:
            return self._guard.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise ServerError(f"Not finished after {seconds:.0f} s; see {self.log}.") from error

    def stop(self) -> None:
        """Stop it in order, within its grace; what has not ended by then is killed. Again: nothing."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        try:
            self._guard.wait(self._grace + _SWEEP)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL it and all its descendants at once, and wait until they are gone."""
        family = tree.descendants(self._guard.pid)
        tree.signal_all(family, signal.SIGKILL)
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        try:
            self._guard.wait(_SWEEP)  # the guard sweeps up what was forked meanwhile
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait(_SWEEP)
        if left := tree.wait_gone(family, _SWEEP):
            raise ServerError(f"Processes {[process.pid for process in left]} survived SIGKILL.")

    def pause(self) -> None:
        """SIGSTOP it and all its descendants: alive, listening, answering nothing."""
        tree.freeze(self._guard.pid)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        tree.signal_all(tree.descendants(self._guard.pid), signal.SIGCONT)

    def log_tail(self) -> str:
        """The last lines of its log, with the file's name above them."""
        return log_tail(self.log)


def log_tail(log: Path, lines: int = _TAIL) -> str:
    """The last `lines` of a log file, indented below the file's name; says so when there are none."""
    text = log.read_text(errors="replace") if log.exists() else ""
    tail = text.splitlines()[-lines:]
    return "\n".join([f"{log}:" if tail else f"{log} is empty.", *(f"  {line}" for line in tail)])
