"""How a worker ends when it is told to: within a bound, whatever its processes are doing.

It takes no more messages and lets what runs be finished. What still runs when the grace is over, or at a second signal,
is killed and given back, and the worker ends with exit code 0 all the same. Celery's own ways wait without a bound, or
always for the whole time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final

from celery.worker import state

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
_LAST_SECONDS: Final = 4.0  # after the grace: for giving back, and for Celery to put messages back
_TICK: Final = 0.1  # s

_log = logging.getLogger(__name__)


class Shutdown:
    """Waits for a signal, and sees to it that it is obeyed."""

    def __init__(self, *, grace_seconds: float, give_back: Callable[[], None]) -> None:
        """grace_seconds: for what runs to be finished. give_back: returns to the ledger what the worker holds."""
        self._grace = grace_seconds
        self._give_back = give_back
        self._told: SimpleQueue[int] = SimpleQueue()  # what may be used in a signal handler, other than most locks
        self._given_back = threading.Event()
        self._grace_is_over = False

    def grace_is_over(self) -> bool:
        """Whether what runs is killed now and given back."""
        return self._grace_is_over

    def watch(self, worker: Any) -> None:
        """Take the signals over from Celery. worker: Celery's, its pool started."""
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        threading.Thread(target=self._wait_and_end, args=(worker,), name="shutdown", daemon=True).start()

    def finish(self) -> None:
        """To be called when Celery has ended: wait until everything is given back."""
        if self._grace_is_over:
            self._given_back.wait(_LAST_SECONDS)

    def _on_signal(self, number: int, _: object) -> None:
        self._told.put(number)
        state.should_stop = 0  # the exit code; Celery's loop looks at this

    def _wait_and_end(self, worker: Any) -> None:
        self._told.get()
        _log.info("told to stop; what runs has %g s", self._grace)
        with contextlib.suppress(Empty):
            self._told.get(timeout=self._grace)
        self._grace_is_over = True
        _log.warning("what still runs is given back")
        _kill_pool(worker)
        threading.Thread(target=self._return_chunks, name="give back", daemon=True).start()
        end = time.monotonic() + _LAST_SECONDS
        while time.monotonic() < end:
            time.sleep(_TICK)
            _kill_pool(worker)  # Celery may have replaced them before it noticed that it is to end
        _log.error("the worker did not end by itself")
        os._exit(0)

    def _return_chunks(self) -> None:
        self._give_back()
        self._given_back.set()


def ignore_signals() -> None:
    """In a process of the pool: the signal is for the worker's first process, also when all of its group get it."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _kill_pool(worker: Any) -> None:
    pool = worker.pool and worker.pool._pool  # none any more when Celery has come so far
    for process in list(pool._pool) if pool else ():
        if process._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
