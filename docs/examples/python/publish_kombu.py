"""The same as publish.py with kombu alone, the library below Celery: here one sees the message.

usage: python publish_kombu.py USER_ID...
       python publish_kombu.py - < FILE      (one user id to a line)

Needs kombu: pip install "kombu[redis]"

BROKER_URL        the broker, a Redis (redis://127.0.0.1:6379/1)
ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles per user (10)
JOB_ID            the job's id, a UUID (a new one); published again with the same id, it is the same job
APPEARS_SECONDS   longest wait for a worker to take the message (60)
"""

import os
import sys
from uuid import uuid4

from console import LIMIT, Failed, print_results, run
from kombu import Connection
from kombu.exceptions import OperationalError
from reply import BROKER, follow_published

BOUNDS = {"socket_timeout": 5, "socket_connect_timeout": 2}  # seconds


# region: publish
def publish(users: list[str]) -> None:
    """Any number of users, up to 100,000."""
    job_id = os.environ.get("JOB_ID") or str(uuid4())
    reply_to = f"recommendations.reply.{job_id.lower()}"
    arguments = {"job_id": job_id, "user_ids": users, "limit": LIMIT, "reply_to": reply_to}
    try:
        with Connection(BROKER, transport_options=BOUNDS) as broker, broker.Producer() as producer:
            producer.publish(
                [[], arguments, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}],
                headers={"task": "recommendations.batch.v1", "id": str(uuid4())},
                routing_key="recommendations",
                serializer="json",
                retry=True,
                retry_policy={"max_retries": 1},
            )
    except OperationalError as error:
        raise Failed(f"the queue did not take the message: {error}") from None
    print(f"job {job_id}, published", file=sys.stderr)
    print_results(follow_published(job_id, reply_to))


# end
run(publish, __doc__)
