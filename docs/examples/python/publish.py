"""Puts a batch straight on the queue with Celery, waits to be told of its end, and prints the best title of each user.

usage: python publish.py USER_ID...
       python publish.py - < FILE      (one user id to a line)

Needs Celery: pip install "celery[redis]"

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

from celery import Celery
from celery.exceptions import OperationalError
from console import LIMIT, Failed, print_results, run
from reply import BROKER, follow_published


# region: publish
def publish(users: list[str]) -> None:
    """Any number of users, up to 100,000."""
    job_id = os.environ.get("JOB_ID") or str(uuid4())
    reply_to = f"recommendations.reply.{job_id.lower()}"
    queue = Celery(broker=BROKER)
    queue.conf.broker_transport_options = {"socket_timeout": 5, "socket_connect_timeout": 2}
    try:
        queue.send_task(
            "recommendations.batch.v1",
            kwargs={"job_id": job_id, "user_ids": users, "limit": LIMIT, "reply_to": reply_to},
            queue="recommendations",
            declare=[],  # the queue is the service's; to declare it takes more rights than to publish
            ignore_result=True,
            retry_policy={"max_retries": 2},
        )
    except OperationalError as error:
        raise Failed(f"the queue did not take the message: {error}") from None
    print(f"job {job_id}, published", file=sys.stderr)
    print_results(follow_published(job_id, reply_to))


# end
run(publish, __doc__)
