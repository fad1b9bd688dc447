"""Hearing of a job's end on a reply queue. Needs redis: pip install redis (Celery and kombu bring it for Redis)."""

import json
import os
import sys
from collections.abc import Callable

import redis
from client import Refused

BROKER = os.environ.get("BROKER_URL", "redis://127.0.0.1:6379/1")
if not BROKER.startswith(("redis://", "rediss://")):
    sys.exit("error: BROKER_URL must start with redis:// or rediss://; for RabbitMQ see publish_rabbitmq.py")


# region: listen
def listener(queue: str) -> Callable[[float], None]:
    """What listens for an announcement. An announcement says that it is worth asking for the job: should it get lost,
    or come twice, nothing is wrong. Raises Refused."""

    def listen(seconds: float) -> None:
        try:
            with redis.Redis.from_url(BROKER, socket_timeout=seconds + 5, socket_connect_timeout=2) as broker:
                found = broker.brpop([queue], timeout=seconds)
        except redis.RedisError as error:
            raise Refused(0, f"the reply queue cannot be read: {error}") from None
        if found:
            announcement = json.loads(found[1])
            print(f"announced: {announcement['type']}", file=sys.stderr)

    return listen


# end
