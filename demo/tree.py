"""A process and everything it started: find them, signal them, see them gone."""

import contextlib
import signal
import time

import psutil

_STOP_ROUNDS = 10  # a process may fork between the listing and its own SIGSTOP; each round catches those
_STOP_SECONDS = 5.0


def descendants(pid: int) -> list[psutil.Process]:
    """All living processes below `pid`, nearest first; empty when there is no such process."""
    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [process for process in found if alive(process)]


def signal_all(processes: list[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to each; those already gone are passed over (psutil never hits a reused pid)."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def freeze(pid: int) -> None:
    """SIGSTOP everything below `pid` (not `pid` itself), including what is forked meanwhile, and wait until all of it
    stands: the kernel takes its time to deliver."""
    frozen: set[psutil.Process] = set()
    for _ in range(_STOP_ROUNDS):
        fresh = [process for process in descendants(pid) if process not in frozen]
        if not fresh:
            break
        signal_all(fresh, signal.SIGSTOP)
        frozen.update(fresh)
    deadline = time.monotonic() + _STOP_SECONDS
    while any(map(_runs, frozen)) and time.monotonic() < deadline:
        time.sleep(0.005)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_gone(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until all are dead (a zombie is dead), at most `seconds`; return those still alive."""
    _, left = psutil.wait_procs([process for process in processes if alive(process)], timeout=seconds)
    return [process for process in left if alive(process)]


def alive(process: psutil.Process) -> bool:
    """Whether it lives; a zombie is dead, and so is a process whose number another one has now."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def pid_lives(pid: int) -> bool:
    """Whether a process with this number lives; a zombie is dead."""
    try:
        return alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False
