"""How the worker is connected to its broker: through the guard, and with nothing on RabbitMQ that is not needed."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.connection import Connection

from shared.errors import ConfigurationError
from worker.guard.guard import Guard
from worker.guard.rabbitmq import guarded_rabbitmq
from worker.guard.redis import guarded_redis

_LOOK_OUT: Final = {"interval_start": 1, "interval_step": 1, "interval_max": 5}  # s


def guarded_connection(guard: Guard) -> type[Connection]:
    """A kind of connection whose messages pass the guard, whatever address it is switched to.

    It raises ConfigurationError for a broker that is neither Redis nor RabbitMQ.
    """

    @cache
    def guarded(transport: Any) -> Any:
        match transport.driver_type:
            case "redis":
                return guarded_redis(transport, guard)
            case "amqp":
                return guarded_rabbitmq(transport, guard)
        raise ConfigurationError("BROKER_URL: not a Redis (redis, rediss) or RabbitMQ (amqp, amqps) address")

    class GuardedConnection(Connection):
        def ensure_connection(self, *arguments: Any, **keywords: Any) -> Any:
            """Connect; as long as it takes, look every few seconds rather than every half minute."""
            return super().ensure_connection(*arguments, **(_LOOK_OUT | keywords))  # type: ignore[no-untyped-call]

        def get_transport_cls(self) -> Any:
            return guarded(super().get_transport_cls())  # type: ignore[no-untyped-call]

    return GuardedConnection


class Consumer(CeleryConsumer):  # type: ignore[misc]  # Celery has no types
    """Celery's consumer without what it declares for tasks that are due later, three dozen exchanges and queues."""

    class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[misc]
        """The consumer's parts."""

        default_steps = tuple(
            step for step in CeleryConsumer.Blueprint.default_steps if not step.endswith(":DelayedDelivery")
        )
