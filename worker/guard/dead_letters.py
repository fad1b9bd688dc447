"""What was refused, kept on <queue>.dead with the reason, for people to look at."""

from __future__ import annotations

import base64
import logging
from datetime import UTC, datetime

import orjson

from shared.answers import rfc3339
from shared.broker import Send
from shared.contracts import DEAD_SUFFIX
from shared.documents import DeadLetterDocument
from shared.errors import BrokerUnavailable

_log = logging.getLogger(__name__)


class DeadLetters:
    """Puts dead letters on their queue."""

    def __init__(self, send: Send, *, seconds: int) -> None:
        """seconds: life of a dead letter."""
        self._send = send
        self._seconds = seconds

    def put(self, queue: str, raw: bytes, reason: str) -> bool:
        """Keep a message that was refused. False when not even that could be done; then the log alone knows of it."""
        letter: DeadLetterDocument = {
            "reason": reason,
            "queue": queue,
            "received_at": rfc3339(datetime.now(UTC)),
            "raw": base64.b64encode(raw).decode(),
        }
        try:
            self._send(queue + DEAD_SUFFIX, orjson.dumps(letter), self._seconds)
        except BrokerUnavailable as error:
            _log.error("a message of %s bytes on %s is refused and lost: %r; %s", len(raw), queue, reason, error)
            return False
        _log.warning("a message of %s bytes on %s is refused: %r", len(raw), queue, reason)
        return True
