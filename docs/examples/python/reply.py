"""Hearing of a job's end on a reply queue. Needs redis: pip install redis (Celery and kombu bring it for Redis)."""

import json
import os
import sys
import time

import redis
from console import SERVICE, Failed, show_progress
from documents import Job
from transport import Problem

BROKER = os.environ.get("BROKER_URL", "redis://127.0.0.1:6379/1")
if not BROKER.startswith(("redis://", "rediss://")):
    sys.exit("error: BROKER_URL must start with redis:// or rediss://; for RabbitMQ see publish_rabbitmq.py")
APPEARS_SECONDS = float(os.environ.get("APPEARS_SECONDS", "60"))  # longest wait for a worker to take a message


# region: listen
def listen(queue: str, seconds: float) -> None:
    """Wait for an announcement. It says that it is worth asking for the job: should it get lost, or come twice, nothing
    is wrong. Raises Failed."""
    try:
        with redis.Redis.from_url(BROKER, socket_timeout=seconds + 5, socket_connect_timeout=2) as broker:
            found = broker.brpop([queue], timeout=seconds)
    except redis.RedisError as error:
        raise Failed(f"the reply queue cannot be read: {error}") from None
    if found:
        announcement = json.loads(found[1])
        print(f"announced: {announcement['type']}", file=sys.stderr)


def follow_published(job_id: str, queue: str) -> Job:
    """A job that was put on the queue, once it has ended; it is unknown until a worker has taken the message. Raises
    Problem, Failed."""
    deadline, pause = time.monotonic() + APPEARS_SECONDS, 5.0
    while True:
        listen(queue, pause)
        try:
            return SERVICE.follow(job_id, progress=show_progress, wait=lambda seconds: listen(queue, seconds))
        except Problem as problem:
            if problem.type != "/problems/job-not-found":
                raise
        if time.monotonic() > deadline:
            again = f"publish again with JOB_ID={job_id}, which is safe"
            raise Failed(f"not taken within {APPEARS_SECONDS:g} s; {again}")
        pause = 2.0


# end
