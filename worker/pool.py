"""The pool of processes: Celery's, but for a process of which it knows only half that it has ended."""

from __future__ import annotations

from typing import Any

from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool
from kombu.asynchronous import Hub


class _Processes(AsynPool):  # type: ignore[misc]  # Celery has no types
    """The processes, and whom it tells when one ends."""

    def _track_child_process(self, proc: Any, hub: Hub) -> None:
        """Have the event loop wait for the process's end, unless that has come.

        Celery (5.7.0) forgets the descriptor of a process that has ended, and keeps the process until the kernel tells
        its exit code. A new connection to the broker within that time has it wait for no descriptor at all, and the
        worker ends.
        """
        if getattr(proc, "_sentinel_poll", proc) is not None:
            super()._track_child_process(proc, hub)


class Pool(TaskPool):  # type: ignore[misc]  # Celery has no types
    """What Celery is given for `prefork`."""

    Pool = _Processes
