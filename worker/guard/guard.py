"""The guard at the broker: reads a message before Celery does, which decodes first and asks later, and one malformed
message ends it. Where it stands is in redis.py and rabbitmq.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from worker.guard.dead_letters import DeadLetters
from worker.guard.envelope import Refused, TaskMessage

_KEPT_WHOLE: Final = 65_536  # bytes of a message; thousands of them are kept, in the broker's memory
_KEPT_OF_LARGER: Final = 1024  # bytes

_log = logging.getLogger(__name__)


class NotAdmitted(Exception):
    """A message that goes no further. kept: it is a dead letter now; else it would be lost with this."""

    def __init__(self, *, kept: bool) -> None:
        super().__init__()
        self.kept = kept


class Guard:
    """Lets messages in that are understood, and makes dead letters of the others."""

    def __init__(self, dead_letters: DeadLetters, *, most_bytes: int) -> None:
        """most_bytes: of a message."""
        self._dead_letters = dead_letters
        self._most_bytes = most_bytes

    def admit(self, queue: str, raw: bytes, read: Callable[[], TaskMessage]) -> TaskMessage:
        """What `read` understands of a message. Raises NotAdmitted, whatever else is raised underneath."""
        size, most = len(raw), self._most_bytes
        if size > most:
            reason = f"message: {size} bytes are more than {most}"
        else:
            try:
                return read()
            except Refused as refused:
                reason = str(refused)
            except Exception as error:  # our own mistake; it must not end the worker either
                _log.exception("a message on %s could not be read", queue)
                reason = f"message: {type(error).__name__} while it was read; the worker's log has the details"
        if size > _KEPT_WHOLE:
            raw, reason = raw[:_KEPT_OF_LARGER], f"{reason}; of its {size} bytes here are the first {_KEPT_OF_LARGER}"
        raise NotAdmitted(kept=self._dead_letters.put(queue, raw, reason))
