"""Run one command that never outlives its parent: python -m demo.guard [options] -- command ...

The parent holds the other end of this process's standard input. When that closes (the parent asks for
a stop, crashed, or was killed with -9) the command gets its stop signal, a bounded time to end, then
SIGKILL together with everything it started. So the ordered stop and the emergency are one path.

Should the guard itself be killed with -9, the kernel passes the stop signal on to the command (Linux).

The first line on standard output is `pid N` or `error SENTENCE`; everything later goes to standard error.
"""

import argparse
import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from demo import tree
from demo.identity import Identity, adopt_orphans, assume, die_with_parent

_TICK = 0.5  # seconds between looks at the parent; everything else wakes the guard at once
_SWEEP = 5.0  # seconds to see the last descendants gone after SIGKILL
_EXEC_FAILED = 127


def main() -> int:
    """Run the command and return its exit status (128 + number when a signal ended it)."""
    options = _options()
    parent = os.getppid()
    wake = _wake_on(signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)
    adopted = adopt_orphans()
    try:
        child = _Child(options)
    except OSError as error:
        _say(f"error {error}")
        return _EXEC_FAILED
    _say(f"pid {child.pid}")
    family: set[Any] = set()
    while not child.ended and not _stop_wanted(parent, wake):
        if not adopted:  # without adoption a dead child's children can only be known beforehand
            family.update(tree.descendants(os.getpid()))
    if not child.ended:
        family.update(tree.descendants(os.getpid()))
        _stop(child, wake, options)
    _sweep(family)
    return child.status


class _Child:
    """The command's own process; a zombie is reaped on sight, so `ended` tells the truth."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Start it. Raises OSError with a sentence when it cannot become the command."""
        guard = os.getpid()
        failure, failed = os.pipe()  # closed by a successful exec, else carries the reason
        self.status = 0
        self.pid = os.fork()
        if self.pid == 0:
            _become(options, guard, failed)
        os.close(failed)
        with os.fdopen(failure) as reason:
            if sentence := reason.read():
                os.waitpid(self.pid, 0)
                raise OSError(sentence)
        self._reaped = False

    @property
    def ended(self) -> bool:
        """Whether the command's process is gone; reaps adopted orphans on the way."""
        for pid, status in _reap():
            if pid == self.pid:
                code = os.waitstatus_to_exitcode(status)
                self.status = code if code >= 0 else 128 - code
                self._reaped = True
        return self._reaped


def _become(options: argparse.Namespace, guard: int, failed: int) -> None:
    """In the forked child: take on the identity, then turn into the command. Never returns."""
    try:
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these; a server expects them
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        assume(options.identity)
        die_with_parent(options.stop_signal, guard)
        try:
            os.execv(options.command[0], options.command)  # noqa: S606 # nosec B606 # without a shell on purpose
        except OSError as error:
            os.write(failed, f"cannot run {options.command[0]}: {error.strerror}".encode())
    except (OSError, KeyError) as error:
        os.write(failed, f"cannot become {options.identity}: {error}".encode())
    finally:
        os._exit(_EXEC_FAILED)


def _stop_wanted(parent: int, wake: int) -> bool:
    """Wait until something happens or a tick has passed; True when the command has to stop."""
    ready, _, _ = select.select([0, wake], [], [], _TICK)
    if 0 in ready and not os.read(0, 1):
        return True
    signals = os.read(wake, 64) if wake in ready else b""
    # The parent's number is asked for as well: a process forked by it may keep the pipe open.
    return signal.SIGTERM in signals or signal.SIGINT in signals or os.getppid() != parent


def _stop(child: _Child, wake: int, options: argparse.Namespace) -> None:
    deadline = time.monotonic() + options.grace
    tree.signal_all(tree.descendants(os.getpid()), signal.SIGCONT)  # a paused process cannot obey
    os.kill(child.pid, options.stop_signal)
    while not child.ended and (left := deadline - time.monotonic()) > 0:
        if select.select([wake], [], [], min(left, _TICK))[0]:
            os.read(wake, 64)


def _sweep(family: set[Any]) -> None:
    """SIGKILL whatever is left below the guard, or was seen there."""
    deadline = time.monotonic() + _SWEEP
    while time.monotonic() < deadline:
        family.update(tree.descendants(os.getpid()))
        tree.signal_all(list(family), signal.SIGKILL)
        for _ in _reap():
            pass
        family = set(tree.wait_gone(list(family), 0.05))
        if not family and not tree.descendants(os.getpid()):
            return


def _reap() -> Iterator[tuple[int, int]]:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            yield pid, status


def _wake_on(*numbers: signal.Signals) -> int:
    """A descriptor on which the numbers of arriving signals can be read."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda *_: None)
    return reader


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())
    os.dup2(2, 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.guard", description=__doc__)
    parser.add_argument("--stop-signal", type=lambda name: signal.Signals[name], default=signal.SIGTERM)
    parser.add_argument("--grace", type=float, default=10.0, help="seconds between that signal and SIGKILL")
    parser.add_argument("--identity", type=Identity, default=Identity.SAME)
    parser.add_argument("command", nargs="+", help="an absolute path and its arguments")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
