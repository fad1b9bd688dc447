"""Puts a batch on RabbitMQ with kombu. Once that is confirmed, the job is as safe as one that came over HTTP.

usage: python publish_rabbitmq.py USER_ID...
       python publish_rabbitmq.py - < FILE      (one user id to a line)

Needs kombu: pip install kombu

BROKER_URL  RabbitMQ, with the name and password that you were given (amqp://newsletter:...@127.0.0.1:5672//)
LIMIT       titles per user (10)
JOB_ID      the job's id, a UUID (a new one); published again with the same id, it is the same job
"""

import os
from uuid import uuid4

from amqp import AMQPError  # type: ignore[import-untyped]
from console import LIMIT, Failed, run
from kombu import Connection
from kombu.exceptions import OperationalError

BROKER = os.environ.get("BROKER_URL", "amqp://127.0.0.1:5672//")
NOTHING = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


# region: publish
def publish(users: list[str]) -> None:
    """Any number of users, up to 100,000."""
    job_id = os.environ.get("JOB_ID") or str(uuid4())
    options = {"confirm_publish": True, "read_timeout": 5, "write_timeout": 5, "max_retries": 1}
    try:
        with Connection(BROKER, connect_timeout=5, transport_options=options) as broker, broker.Producer() as producer:
            producer.publish(
                [[], {"job_id": job_id, "user_ids": users, "limit": LIMIT}, NOTHING],
                headers={"task": "recommendations.batch.v1", "id": str(uuid4())},
                exchange="recommendations.publish",
                routing_key="recommendations",
                serializer="json",
                mandatory=True,  # what no queue takes is an error
                confirm_timeout=5,
            )
    except (AMQPError, OperationalError, OSError) as error:
        raise Failed(f"the queue did not take the message: {error}") from None
    print(f"job {job_id}, published")


# end
run(publish, __doc__)
