"""The queue as both doors use it: Celery's configuration, and putting things on queues within a bound.

The values come from measurement: with Celery's own, publishing to a stalled broker hangs for more than half a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from celery import Celery
from kombu import Exchange, Queue
from kombu.exceptions import KombuError

from shared.bounded_calls import BoundedCalls
from shared.contracts import CHUNK_TASK, DEAD_SUFFIX, QUEUE, WORK_QUEUE
from shared.errors import BrokerUnavailable
from shared.job_states import ChunkRef
from shared.publishing import Publish
from shared.settings import Settings

_SOCKET_SECONDS: Final = 5.0  # a connection that says nothing for longer is dropped
_HEARTBEAT_SECONDS: Final = 10  # RabbitMQ; after two without a word a connection is dropped
_LONGEST_RESTORE_PAUSE: Final = 10.0  # s between looks for messages that a worker took and never acknowledged
_RETRY_ONCE: Final = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1}
_DELIVERIES: Final = 1_000_000  # RabbitMQ; a message goes back whenever the ledger is down or full, so: hardly a limit


def celery_app(settings: Settings, name: str) -> Celery:
    """A Celery application with this service's configuration; it connects when first used."""
    url = settings.broker_url.get_secret_value()
    rabbitmq = url.startswith(("amqp", "pyamqp"))
    app = Celery(name, broker=url, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_queues=[_queue(name, quorum=rabbitmq) for name in (QUEUE, WORK_QUEUE)],
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        enable_utc=True,
        broker_connection_timeout=settings.publish_seconds,  # the bound of a whole publish, too
        broker_connection_max_retries=None,  # a worker waits for its broker for ever
        broker_connection_retry_on_startup=True,
        broker_heartbeat=_HEARTBEAT_SECONDS,
        broker_transport_options=_RETRY_ONCE | (_rabbitmq_options() if rabbitmq else _redis_options(settings)),
        task_publish_retry=True,
        task_publish_retry_policy=_RETRY_ONCE,
    )
    return app


def publisher(app: Celery) -> Publish:
    """A function that puts chunks on the queue, all of them within PUBLISH_SECONDS. It raises BrokerUnavailable when
    that time is over; some may have been sent then."""
    calls = _calls(app)

    def publish(refs: Sequence[ChunkRef]) -> None:
        def send(in_time: Callable[[], bool]) -> None:
            with app.producer_or_acquire() as producer:
                for ref in refs:
                    if not in_time():
                        return
                    app.send_task(
                        CHUNK_TASK,
                        kwargs={"job_id": str(ref.job_id), "chunk_no": ref.chunk_no},
                        queue=WORK_QUEUE,
                        ignore_result=True,
                        producer=producer,
                        confirm_timeout=_SOCKET_SECONDS,
                    )

        _bounded(app, calls, send)

    return publish


def ping(app: Celery) -> None:
    """Open a channel to the broker, which asks it for an answer. Raises BrokerUnavailable."""

    def ask(_: Callable[[], bool]) -> None:
        with app.connection_for_write() as connection:
            connection.ensure_connection(**_RETRY_ONCE)
            connection.channel().close()

    _bounded(app, _calls(app), ask)
