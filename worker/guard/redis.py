"""kombu's Redis transport with the guard in it, and with messages and slots that Redis's troubles cannot lose.

It overrides methods that kombu keeps to itself, so kombu is pinned, and a test holds what is overridden to what it was.
"""

from __future__ import annotations

import logging
from queue import Empty
from typing import Any, ClassVar

from kombu.transport import redis, virtual

from worker.guard.envelope import read_envelope
from worker.guard.guard import Guard, NotAdmitted

_log = logging.getLogger(__name__)

_RedisQoS: Any = redis.QoS  # kombu has types for a part only
_VirtualQoS: Any = virtual.QoS


class QoS(_RedisQoS):  # type: ignore[misc]
    """Knows what was delivered and is not acknowledged.

    A message that was popped is on Redis no more until it is noted there, and a slot for another is free only when one
    was acknowledged: with kombu, an error between loses the message, or the slot until the next connection.
    """

    _nowhere: ClassVar[list[Any]] = []  # to be put back as soon as Redis takes them, over whichever connection

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._unnoted: dict[str, Any] = {}

    def append(self, message: Any, delivery_tag: str) -> None:
        """Deliver a message even when Redis, out of memory or reach, does not note it."""
        try:
            super().append(message, delivery_tag)
        except self._troubles as error:
            if not self._unnoted:
                _log.error("Redis does not note what is being worked on, which goes on without: %s", error)
            self._unnoted[delivery_tag] = message
            _VirtualQoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Free the message's slot even when Redis does not forget it, and deliver it once more later."""
        self._unnoted.pop(delivery_tag, None)
        try:
            super().ack(delivery_tag)
        except self._troubles as error:
            self._free(delivery_tag, error)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """As `ack`; requeue: put the message back."""
        try:
            super().reject(delivery_tag, requeue=requeue)
        except self._troubles as error:
            self._free(delivery_tag, error)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Put a message back, from memory when Redis did not note it."""
        message = self._unnoted.pop(tag, None)
        if message is None:
            super().restore_by_tag(tag, client=client, leftmost=leftmost)
        else:
            self._nowhere.append(message)
            self._put_back()

    def restore_visible(self, *arguments: Any, **keywords: Any) -> Any:
        """What kombu does every few seconds."""
        self._put_back()
        return super().restore_visible(*arguments, **keywords)

    def _put_back(self) -> None:
        try:
            while self._nowhere:
                message = self._nowhere[-1]
                self.channel._put(message.delivery_info["routing_key"], message._raw)
                self._nowhere.pop()
        except self._troubles as error:
            _log.error("Redis does not take back %s messages; they are tried again: %s", len(self._nowhere), error)

    @property
    def _troubles(self) -> tuple[type[Exception], ...]:
        return *self.channel.connection_errors, self.channel.ResponseError

    def _free(self, delivery_tag: str, error: Exception) -> None:
        _log.warning("Redis did not take an acknowledgement; the message will come again: %s", error)
        _VirtualQoS.ack(self, delivery_tag)


def guarded_redis(transport: Any, guard: Guard) -> Any:
    """A Redis transport with the guard where messages are popped."""

    class Channel(transport.Channel):  # type: ignore[misc]
        QoS = QoS

        def _brpop_read(self, **options: Any) -> bool:
            """Read a popped message; as kombu's, but for the guard."""
            try:
                try:
                    popped = self.client.parse_response(self.client.connection, "BRPOP", **options)
                except self.connection_errors:
                    self.client.connection.disconnect()  # the next round connects anew
                    raise
                if not popped:
                    raise Empty
                queue = popped[0].decode().rsplit(self.sep, 1)[0]
                self._queue_cycle.rotate(queue)
                self._admit(queue, popped[1])
                return True
            finally:
                self._in_poll = None
                self._flush_brpop_reauth()

        def _admit(self, queue: str, raw: bytes) -> None:
            try:
                message = guard.admit(queue, raw, lambda: read_envelope(queue, raw))
            except NotAdmitted:
                return
            self.connection._deliver(message.envelope(queue), queue)

    class Transport(transport):  # type: ignore[misc]
        pass

    Transport.Channel = Channel
    return Transport
