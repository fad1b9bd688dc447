"""The service on a real RabbitMQ: one worker, and a gateway in the test's process."""

from __future__ import annotations

import itertools
import json
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from celery import Celery
from kombu import Connection

from demo.databases import load_sample
from shared.contracts import BATCH_TASK, QUEUE
from tests.answers import ASYNC, NDJSON, batch
from tests.faults.sample import small_sample
from tests.platform import Gateway, Platform, wait_for
from tests.processes import WorkerProcess
from tests.rabbitmq import OPTIONS, RabbitMQ

CHUNK_USERS: Final = 4
CHUNKS: Final = 10  # of a job
PUBLISH_SECONDS: Final = 1.0
ACCEPTED_SECONDS: Final = PUBLISH_SECONDS + 1.0  # to a 202, whatever RabbitMQ does
RECONNECTED_SECONDS: Final = 10.0  # a worker looks for its broker every 5 s at least
SOON: Final = 20.0  # s
SETTINGS: Final[dict[str, Any]] = {
    "publish_seconds": PUBLISH_SECONDS,
    "republish_seconds": 600,  # a message that is lost is not sent again in time
    "beat_seconds": 0.5,
    "retry_pause_seconds": 0.5,
    "database_bulk_seconds": 100.0,  # a test may hold a chunk for as long
    "lease_seconds": 300,
    "chunk_users": CHUNK_USERS,
    "worker_concurrency": 2,
}
NOTHING: Final = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


class OnRabbitMQ:
    """Worker and gateway, told of RabbitMQ by BROKER_URL alone."""

    def __init__(self, platform: Platform, rabbitmq: RabbitMQ, folder: Path) -> None:
        sample = small_sample()
        load_sample(sample, *(platform.urls[name] for name in ("user_db", "catalog_db", "engagement_db")))
        platform.broker_url = rabbitmq.url
        platform.train()
        self.platform = platform
        self.rabbitmq = rabbitmq
        self.users = [user.id for user in sample.users[: CHUNKS * CHUNK_USERS]]
        self.gateway: Gateway = platform.gateway(**SETTINGS)
        self._alone = [self.gateway.page(user) for user in self.users]
        self._logs = (folder / f"worker-{number}.log" for number in itertools.count())
        self._workers = ExitStack()
        self.start_worker()

    def start_worker(self) -> None:
        """Start a worker and wait until it reads the queues."""
        self.worker = self._workers.enter_context(WorkerProcess(self.platform, next(self._logs), **SETTINGS))

    def close(self) -> None:
        """Stop everything but the servers."""
        self._workers.close()
        self.platform.close()

    # What callers and other services do.

    def submit(self, **fields: Any) -> str:
        """A job of all users, over HTTP; its id. Fails unless it is accepted within the bound."""
        asked = time.monotonic()
        answer = batch(self.gateway, *self.users, headers=ASYNC, **fields)
        assert time.monotonic() - asked < ACCEPTED_SECONDS
        assert answer.status_code == 202, answer.text
        return answer.get_json()["job_id"]

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as callers see it; empty when there is none."""
        answer = self.gateway.client.get(f"/api/jobs/{job_id}")
        return answer.get_json() if answer.status_code == 200 else {}

    def ended(self, job_id: str, seconds: float = SOON) -> dict[str, Any]:
        """The job when it has come to its end."""
        wait_for(lambda: self.job(job_id).get("finished_at") is not None, seconds)
        return self.job(job_id)

    def complete(self, job_id: str) -> None:
        """Wait for the job's end, and look at its results."""
        self.ended(job_id)
        assert self.is_right(job_id)

    def is_right(self, job_id: str) -> bool:
        """Whether a job of all users is completed, and equals what each of them gets alone."""
        if self.job(job_id)["state"] != "completed":
            return False
        lines = self.gateway.client.get(f"/api/jobs/{job_id}/results", headers=NDJSON).text.splitlines()
        return [json.loads(line) for line in lines] == self._alone

    def broker_state(self) -> str:
        """What readiness says of it."""
        return self.gateway.client.get("/health/ready").get_json()["checks"]["broker"]["state"]

    def chunks(self, job_id: str, state: str) -> int:
        """How many of a job's chunks are in a state."""
        sql = "SELECT count(*) FROM job_chunks WHERE job_id = %s AND state = %s"
        return self.platform.sql("jobs_db", sql, job_id, state)[0][0]

    def held_chunks(self) -> AbstractContextManager[None]:
        """Meanwhile no chunk gets any further than its claim."""
        return self.platform.locked("engagement_db", "interaction")

    def messages(self, queue: str) -> int:
        """How many messages there were some seconds ago, those included that a worker was given."""
        [count] = [row["messages"] for row in self.rabbitmq.rows("queues", "name", "messages") if row["name"] == queue]
        return count


def arguments(on_rabbitmq: OnRabbitMQ, **changes: Any) -> dict[str, Any]:
    return {"job_id": str(uuid4()), "user_ids": [str(user) for user in on_rabbitmq.users]} | changes


def with_celery(url: str, arguments: dict[str, Any]) -> None:
    app = Celery(broker=url, set_as_current=False)
    app.conf.broker_transport_options = OPTIONS
    app.send_task(BATCH_TASK, kwargs=arguments, queue=QUEUE, declare=[], ignore_result=True)


def with_kombu(url: str, arguments: dict[str, Any]) -> None:
    with Connection(url, transport_options=OPTIONS) as connection, connection.Producer() as producer:
        headers = {"task": BATCH_TASK, "id": str(uuid4())}
        producer.publish([[], arguments, NOTHING], headers=headers, routing_key=QUEUE)
