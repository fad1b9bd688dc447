"""The queue as both doors use it: Celery's configuration, and putting things on queues within a bound.

The values come from measurement: with Celery's own, publishing to a stalled broker hangs for more than half a minute.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from celery import Celery
from kombu.connection import Connection
from kombu.entity import PERSISTENT_DELIVERY_MODE
from kombu.exceptions import KombuError

from shared import deadline
from shared.contracts import BLOCK_TASK, CHUNK_TASK, DEAD_SUFFIX, QUEUE, WORK_QUEUE
from shared.errors import BrokerUnavailable
from shared.job_states import ChunkRef
from shared.publishing import Publish
from shared.settings import Settings
from shared.transport import refuse_unverified

_SOCKET_SECONDS: Final = 5.0  # a connection that says nothing for longer is dropped
_HEARTBEAT_SECONDS: Final = 10  # RabbitMQ: two without a word, and a connection is dropped
_RESTORE_SECONDS: Final = 10.0  # Redis: at most so long between looks for messages that were taken and not acknowledged
_DELIVERIES: Final = 1_000_000  # RabbitMQ: of one message; it is put back whenever the ledger is down or full
_RETRY_ONCE: Final = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1}

_REPLIES_KEPT: Final = 10_000
_QUORUM: Final[dict[str, Any]] = {"x-queue-type": "quorum"}

PublishTask = Callable[[str, Mapping[str, Any]], None]
"""Puts a task with its arguments on the service's own queue within a bounded time. Raises BrokerUnavailable."""

InTime = Callable[[], bool]
"""Whether there is time left."""

Send = Callable[[str, bytes, int], None]
"""Puts a JSON document, as it is and not as a task, on a queue, where it lives for so many seconds, within a bounded
time. Raises BrokerUnavailable."""

PublishBlocks = Callable[[UUID, Sequence[int]], None]
"""Puts blocks of a training, by their numbers, on the service's own queue within a bounded time. Raises
BrokerUnavailable."""


def celery_app(settings: Settings, name: str) -> Celery:
    """A Celery application with this service's configuration; it connects when first used. Raises ConfigurationError
    for an address over which the broker is not verified, though by TLS."""
    url = settings.broker_url.get_secret_value()
    refuse_unverified("BROKER_URL", url)
    scheme = urlsplit(url).scheme  # in small letters, as kombu takes it
    rabbitmq = scheme.startswith(("amqp", "pyamqp"))
    app = Celery(name, broker=url, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_default_exchange="",  # the one that every queue is bound to by its name, so there are no bindings to keep
        task_queues={queue: _queue(queue, quorum=rabbitmq) for queue in (QUEUE, WORK_QUEUE)},
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        enable_utc=True,
        broker_connection_timeout=settings.publish_seconds,  # also the bound of whatever `within` does
        broker_connection_max_retries=None,  # a worker waits for its broker for ever
        broker_connection_retry_on_startup=True,
        broker_heartbeat=_HEARTBEAT_SECONDS,
        broker_transport_options=_RETRY_ONCE | (_rabbitmq_options() if rabbitmq else _redis_options(settings)),
        task_publish_retry=False,  # `within` does; kombu would publish on the channel it closed when declaring failed
    )
    if scheme == "amqps":
        app.conf.broker_use_ssl = {"server_hostname": None}  # the certificate must be the address's; else any would do
    if scheme == "rediss":
        # Without this kombu verifies nothing. What the address says of TLS takes its place, and redis-py verifies then.
        app.conf.broker_use_ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    return app


def publisher(app: Celery) -> Publish:
    """A function that puts chunks on the queue, all of them within PUBLISH_SECONDS. It raises BrokerUnavailable; some
    may have been sent even so, or twice."""

    def publish(refs: Sequence[ChunkRef]) -> None:
        _send_all(app, CHUNK_TASK, [{"job_id": str(ref.job_id), "chunk_no": ref.chunk_no} for ref in refs])

    return publish


def block_publisher(app: Celery) -> PublishBlocks:
    """A function that puts blocks of a training on the queue, as `publisher` does with chunks."""

    def publish(training: UUID, blocks: Sequence[int]) -> None:
        _send_all(app, BLOCK_TASK, [{"training_id": str(training), "block_no": number} for number in blocks])

    return publish


def task_publisher(app: Celery) -> PublishTask:
    """A function that puts any one task on the queue, as `publisher` does with chunks."""

    def publish(task: str, arguments: Mapping[str, Any]) -> None:
        _send_all(app, task, [arguments])

    return publish


def reply_sender(app: Celery) -> Send:
    """A function that puts documents on queues whose readers are strangers. A queue keeps the newest 10,000, and goes
    when nothing was put there for the seconds given."""

    def send(queue: str, document: bytes, seconds: int) -> None:
        limits = {"x-max-length": _REPLIES_KEPT, "x-expires": _milliseconds(seconds)}
        within(app, lambda _: _put(app, queue, document, most=_REPLIES_KEPT, seconds=seconds, limits=limits))

    return send


def dead_letter_sender(app: Celery, *, most: int) -> Send:
    """A function that puts dead letters on their queue, which keeps the newest `most`. They live for the seconds given,
    on Redis until the youngest of them is as old."""

    def send(queue: str, document: bytes, seconds: int) -> None:
        limits = _dead_letter_limits(most=most, seconds=seconds)
        within(app, lambda _: _put(app, queue, document, most=most, seconds=seconds, limits=limits))

    return send


def declare_dead_letters(connection: Any, *, most: int, seconds: int) -> None:
    """Make the queues of dead letters, unless they are there: RabbitMQ moves messages there by itself, but only when it
    can. Raises what the connection raises."""
    for queue in (QUEUE, WORK_QUEUE):
        _declare(connection, queue + DEAD_SUFFIX, _dead_letter_limits(most=most, seconds=seconds))


def ping(app: Celery) -> None:
    """Open a channel to the broker, which asks it for an answer. Raises BrokerUnavailable."""

    def ask(_: InTime) -> None:
        with app.connection_for_write() as connection:
            connection.ensure_connection(**_RETRY_ONCE)
            with connection.channel():
                return

    within(app, ask)


def within(app: Celery, work: Callable[[InTime], None]) -> None:
    """Do something with the broker, in PUBLISH_SECONDS at most, or what an answer has left. Raises BrokerUnavailable.

    What fails is done once more, all of it: the pool hands out connections that have ended meanwhile.

    In a thread of its own, because nothing else bounds the whole: each connect, handshake, reply and retry has a time
    of its own, and looking up a host's name has none. A thread that is given up ends with the socket's time-outs.
    """
    seconds: float = min(app.conf.broker_connection_timeout, max(0.0, deadline.left()))
    errors = _errors(app)
    outcome: Future[None] = Future()
    over = threading.Event()

    def in_time() -> bool:
        return not over.is_set()

    def run() -> None:
        try:
            try:
                work(in_time)
            except errors:
                if not in_time():
                    raise
                work(in_time)
            outcome.set_result(None)
        except Exception as error:  # raised again below, in the caller's thread
            outcome.set_exception(error)

    threading.Thread(target=run, name="broker", daemon=True).start()
    try:
        outcome.result(timeout=seconds)
    except errors as error:
        over.set()
        reason = str(error.__cause__ or error) or f"no answer within {seconds:g} s"
        raise BrokerUnavailable(f"the broker is unavailable: {reason}") from error


def _send_all(app: Celery, task: str, messages: Sequence[Mapping[str, Any]]) -> None:
    """Put a message for each of the arguments on the service's own queue. Raises BrokerUnavailable."""

    def send(in_time: InTime) -> None:
        with app.producer_or_acquire() as producer, producer.batch(max(1, len(messages))):  # on Redis, in one go
            for arguments in messages:
                if not in_time():
                    raise TimeoutError  # nobody waits any more; what is only buffered is not sent
                app.send_task(
                    task,
                    kwargs=dict(arguments),
                    queue=WORK_QUEUE,
                    ignore_result=True,
                    producer=producer,
                    confirm_timeout=_SOCKET_SECONDS,
                )

    within(app, send)


def _put(app: Celery, queue: str, document: bytes, *, most: int, seconds: int, limits: dict[str, int]) -> None:
    """Put a document on a queue. limits: what RabbitMQ is told of a queue that is not there yet."""
    with app.connection_or_acquire() as connection:
        connection.ensure_connection(**_RETRY_ONCE)  # one that was closed goes back to the pool as it is
        if connection.transport.driver_type == "amqp":
            _declare(connection, queue, limits)
            with connection.channel() as channel:
                message = channel.prepare_message(
                    document,
                    content_type="application/json",
                    content_encoding="utf-8",
                    properties={"delivery_mode": PERSISTENT_DELIVERY_MODE},
                )
                channel.basic_publish(message, routing_key=queue, confirm_timeout=_SOCKET_SECONDS)
        else:
            with connection.default_channel.conn_or_acquire() as redis, redis.pipeline() as transaction:
                transaction.lpush(queue, document).ltrim(queue, 0, most - 1).expire(queue, seconds).execute()


def _declare(connection: Any, queue: str, limits: dict[str, int]) -> None:
    """Make a queue on RabbitMQ. One that is there stays as it is, though it be its reader's own."""
    try:
        with connection.channel() as channel:
            channel.queue_declare(queue, passive=True)
    except connection.channel_errors as error:  # which closes the channel
        if error.code == HTTPStatus.NOT_FOUND:
            with connection.channel() as channel:
                channel.queue_declare(queue, durable=True, auto_delete=False, arguments=_QUORUM | limits)


def _dead_letter_limits(*, most: int, seconds: int) -> dict[str, int]:
    return {"x-max-length": most, "x-message-ttl": _milliseconds(seconds)}


def _milliseconds(seconds: int) -> int:
    """As RabbitMQ takes them: seven weeks at most."""
    return min(seconds * 1000, 2**32 - 1)


def _errors(app: Celery) -> tuple[type[Exception], ...]:
    """What Celery, kombu and the broker's client library raise when the broker does not do what it should."""
    connection: Connection = app.connection_for_write()
    return KombuError, OSError, *connection.connection_errors, *connection.channel_errors


def _queue(name: str, *, quorum: bool) -> dict[str, Any]:
    """A queue as Celery is told of it."""
    arguments = _QUORUM | {
        "x-delivery-limit": _DELIVERIES,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": name + DEAD_SUFFIX,
    }
    return {"routing_key": name, "queue_arguments": arguments if quorum else None}


def _redis_options(settings: Settings) -> dict[str, Any]:
    return {
        "visibility_timeout": settings.lease_seconds,  # then the message comes back; the ledger makes that harmless
        "unacked_restore_interval": min(_RESTORE_SECONDS, settings.lease_seconds / 2),
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": _RESTORE_SECONDS,  # of the lock for it, which stays when its holder or Redis dies
        "socket_timeout": _SOCKET_SECONDS,
        "socket_connect_timeout": settings.publish_seconds,
        "socket_keepalive": True,
        "health_check_interval": _SOCKET_SECONDS,
    }


def _rabbitmq_options() -> dict[str, Any]:
    return {"confirm_publish": True, "read_timeout": _SOCKET_SECONDS, "write_timeout": _SOCKET_SECONDS}
