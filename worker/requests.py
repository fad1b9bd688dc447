"""What the worker's first process does when the process that works on a message is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from celery.exceptions import TimeLimitExceeded
from celery.worker.request import Request

from shared.contracts import CHUNK_TASK
from shared.job_states import ChunkRef

Lost = Callable[[ChunkRef, str], None]
"""Told of a chunk whose process died, and how. Returns at once: it is called in the loop that reads the queue."""


def request_class(lost: Lost, grace_is_over: Callable[[], bool]) -> type[Request]:
    """A kind of request that reports lost chunks. grace_is_over: whether the worker kills its own processes now."""

    class ReportingRequest(Request):  # type: ignore[misc]  # Celery has no types
        """One message, from its arrival to its acknowledgement."""

        def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
            """Called when a task failed; unless return_ok, because its process was killed or over its time limit."""
            if grace_is_over():
                return  # not acknowledged, so the message goes back when the connection is closed
            super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
            if not return_ok and self.name == CHUNK_TASK:
                lost(ChunkRef(UUID(self.kwargs["job_id"]), self.kwargs["chunk_no"]), _problem(exc_info.exception))

    return ReportingRequest


def _problem(error: Any) -> str:
    """What happened to the process, in a few words. error: Celery's, with the traceback around it or without."""
    error = getattr(error, "exc", error)
    if isinstance(error, TimeLimitExceeded):
        return f"it took longer than {error.args[0]:g} s"
    return str(error).partition(" Job:")[0]
