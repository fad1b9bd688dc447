"""kombu's RabbitMQ transport with the guard in it, and with a reader of frames that no message can break."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from amqp.method_framing import frame_handler  # type: ignore[import-untyped]
from amqp.serialization import decode_properties_basic  # type: ignore[import-untyped]

from worker.guard.envelope import Refused, TaskMessage, read_amqp
from worker.guard.guard import Guard, NotAdmitted

_HEADER_FRAME: Final = 2
_PROPERTIES_AT: Final = 12  # bytes into a header frame
_UNREADABLE: Final = "unreadable"
_UNREADABLE_PROPERTIES: Final = b"\x80\x00" + bytes([len(_UNREADABLE)]) + _UNREADABLE.encode()  # a content type alone

_log = logging.getLogger(__name__)


def guarded_rabbitmq(transport: Any, guard: Guard) -> Any:
    """A RabbitMQ transport with the guard where messages are delivered."""

    class Channel(transport.Connection.Channel):  # type: ignore[misc]  # kombu has types for a part only
        def basic_consume(self, queue: str, *arguments: Any, callback: Callable[[Any], None], **keywords: Any) -> Any:
            """Start a consumer, with the guard before its callback."""

            def guarded(message: Any) -> None:
                raw = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
                try:
                    admitted = guard.admit(queue, raw, lambda: _read(queue, message.properties, raw))
                except NotAdmitted as refused:
                    if refused.kept:
                        self.basic_ack(message.delivery_tag)
                    else:  # then RabbitMQ itself moves it to the dead letters, as it is
                        self.basic_reject(message.delivery_tag, requeue=False)
                    return
                message.body = admitted.body
                message.properties = {
                    "content_type": "application/json",
                    "content_encoding": "utf-8",
                    "application_headers": admitted.headers,
                }
                callback(message)

            return super().basic_consume(queue, *arguments, callback=guarded, **keywords)

    class Connection(transport.Connection):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            super().__init__(*arguments, frame_handler=_frame_handler, **keywords)

    class Transport(transport):  # type: ignore[misc]
        pass

    Connection.Channel = Channel
    Transport.Connection = Connection
    return Transport


def _frame_handler(connection: Any, callback: Callable[..., None]) -> Callable[[tuple[int, int, bytes]], Any]:
    """py-amqp's, which raises for properties that it cannot read (a date after the year 9999, a text that is not UTF-8,
    tables within tables without end). That would end the worker, and then the next one that takes the message."""
    handle = frame_handler(connection, callback)

    def handle_frame(frame: tuple[int, int, bytes]) -> Any:
        kind, channel, payload = frame
        if kind == _HEADER_FRAME:
            try:
                decode_properties_basic(payload, _PROPERTIES_AT)
            except Exception as error:
                _log.warning("a message's properties cannot be read: %s", error)
                payload = payload[:_PROPERTIES_AT] + _UNREADABLE_PROPERTIES
        return handle((kind, channel, payload))

    return handle_frame


def _read(queue: str, properties: Mapping[str, Any], body: bytes) -> TaskMessage:
    if properties.get("content_type") == _UNREADABLE:
        raise Refused("properties: cannot be read")
    return read_amqp(queue, properties, body)
