"""The queue as both doors use it: Celery's configuration, and putting chunks on the queue with a bound.

The values come from measurement: with Celery's own, publishing to a stalled broker hangs for more than half a minute.
"""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery
from kombu.exceptions import KombuError, OperationalError

from shared.contracts import CHUNK_TASK, QUEUE
from shared.errors import BrokerUnavailable
from shared.job_states import ChunkRef
from shared.jobs import Publish
from shared.settings import Settings

_VISIBILITY_SECONDS = 600  # an unacknowledged message comes back after this; the ledger is what makes that harmless


def celery_app(settings: Settings, name: str) -> Celery:
    """A Celery application with this service's configuration; it connects when first used."""
    app = Celery(name, broker=settings.broker_url.get_secret_value(), set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        enable_utc=True,
        broker_connection_timeout=settings.publish_seconds,
        broker_connection_max_retries=None,  # a worker waits for its broker for ever
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": _VISIBILITY_SECONDS,
            "socket_timeout": settings.publish_seconds,
            "socket_connect_timeout": settings.publish_seconds,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
        task_publish_retry=True,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1},
    )
    return app


def publisher(app: Celery) -> Publish:
    """A function that puts chunks on the queue. It raises BrokerUnavailable once the broker has had its time."""

    def publish(refs: Sequence[ChunkRef]) -> None:
        try:
            with app.producer_or_acquire() as producer:
                for ref in refs:
                    app.send_task(
                        CHUNK_TASK,
                        kwargs={"job_id": str(ref.job_id), "chunk_no": ref.chunk_no},
                        queue=QUEUE,
                        ignore_result=True,
                        producer=producer,
                    )
        except (KombuError, OperationalError, OSError) as error:
            raise BrokerUnavailable(f"the queue did not take the message: {error}") from error

    return publish


def ping(app: Celery) -> None:
    """Open a channel to the broker, which asks it for an answer. Raises BrokerUnavailable."""
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=1)
            with connection.channel():
                return
    except (KombuError, OperationalError, OSError) as error:
        raise BrokerUnavailable(f"the broker does not answer: {error}") from error
