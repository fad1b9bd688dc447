"""RabbitMQ as the queue: a real server, worker and gateway, told of it by BROKER_URL alone."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from celery import Celery
from kombu import Connection

from demo.databases import load_sample
from demo.servers import Postgres, Valkey
from shared.contracts import BATCH_TASK, DEAD_SUFFIX, QUEUE, REPLY_PREFIX, WORK_QUEUE
from tests.answers import ASYNC, NDJSON, batch
from tests.faults.sample import small_sample
from tests.platform import Gateway, Platform, wait_for
from tests.processes import WorkerProcess
from tests.rabbitmq import OPTIONS, RabbitMQ

REPLY: Final = f"{REPLY_PREFIX}tests"
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


class Stage:
    """The service on RabbitMQ: one worker, and a gateway in this process."""

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
        """Wait for the job's end. It equals what each of its users gets alone."""
        assert self.ended(job_id)["state"] == "completed"
        lines = self.gateway.client.get(f"/api/jobs/{job_id}/results", headers=NDJSON).text.splitlines()
        assert [json.loads(line) for line in lines] == self._alone

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


@pytest.fixture(scope="module")
def shared_stage(
    postgres: Postgres, valkey: Valkey, rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("rabbitmq")
    platform = Platform(postgres, valkey, folder / "models", prefix="rabbitmq_", redis_db=4)
    stage = Stage(platform, rabbitmq, folder)
    yield stage
    stage.close()


@pytest.fixture
def stage(shared_stage: Stage) -> Iterator[Stage]:
    """Whose worker survives every test."""
    yield shared_stage
    assert shared_stage.worker.process.running, shared_stage.worker.process.log_tail()


# A job, and what it takes.


def test_a_job_is_done_and_equals_what_each_user_gets_alone(stage: Stage) -> None:
    stage.complete(stage.submit())


def test_the_queues_are_durable_quorum_queues_with_a_place_for_what_is_given_up(stage: Stage) -> None:
    columns = ("name", "type", "durable", "auto_delete", "arguments")
    queues = {row.pop("name"): row for row in stage.rabbitmq.rows("queues", *columns)}
    for queue in (QUEUE, WORK_QUEUE):
        declared = {name: value for name, _, value in queues[queue].pop("arguments")}
        assert queues[queue] == {"type": "quorum", "durable": True, "auto_delete": False}
        assert declared.pop("x-delivery-limit") >= 100_000  # a batch goes back while the ledger is down
        assert declared == {
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": queue + DEAD_SUFFIX,
        }


def test_messages_are_persistent(stage: Stage) -> None:
    with stage.held_chunks():
        job_id = stage.submit()
        wait_for(lambda: stage.rabbitmq.waiting(WORK_QUEUE) == CHUNKS - SETTINGS["worker_concurrency"])
        with stage.rabbitmq.channel() as channel:
            message = channel.basic_get(WORK_QUEUE)
            assert message.properties["delivery_mode"] == 2
            channel.basic_reject(message.delivery_tag, requeue=True)
    stage.complete(job_id)


def test_a_message_counts_as_sent_when_rabbitmq_has_confirmed_it(stage: Stage) -> None:
    full = json.dumps({"max-length": 0, "overflow": "reject-publish"})
    stage.rabbitmq.control("set_policy", "full", f"^{WORK_QUEUE}$", full, "--apply-to=queues")
    try:
        job_id = stage.submit()
        assert stage.chunks(job_id, "queued") < CHUNKS
    finally:
        stage.rabbitmq.control("clear_policy", "full")
    stage.complete(job_id)


def test_the_end_of_a_job_is_told_as_json_on_a_durable_queue_that_expires(stage: Stage) -> None:
    job_id = stage.submit(reply_to=REPLY)
    stage.complete(job_id)
    wait_for(lambda: stage.rabbitmq.waiting(REPLY) == 1, SOON)
    rows = stage.rabbitmq.rows("queues", "name", "durable", "arguments")
    [queue] = [row for row in rows if row["name"] == REPLY]
    message = stage.rabbitmq.take(REPLY)
    assert message.properties["content_type"] == "application/json"
    assert message.properties["delivery_mode"] == 2
    announcement = json.loads(message.body)
    assert (announcement["type"], announcement["data"]) == ("job.completed", stage.job(job_id))
    declared = {name: value for name, _, value in queue["arguments"]}
    assert queue["durable"]
    assert declared["x-queue-type"] == "quorum"
    assert declared["x-expires"] > 0


def test_a_reply_queue_that_its_reader_has_declared_will_do(stage: Stage) -> None:
    own = f"{REPLY}.own"
    with stage.rabbitmq.channel() as channel:
        channel.queue_declare(own, durable=False, auto_delete=False, arguments={"x-expires": 60_000})
    stage.complete(stage.submit(reply_to=own))
    wait_for(lambda: stage.rabbitmq.waiting(own) == 1, SOON)
    with stage.rabbitmq.channel() as channel:
        channel.queue_delete(own)


# Other services.


def arguments(stage: Stage, **changes: Any) -> dict[str, Any]:
    return {"job_id": str(uuid4()), "user_ids": [str(user) for user in stage.users]} | changes


def with_celery(url: str, arguments: dict[str, Any]) -> None:
    app = Celery(broker=url, set_as_current=False)
    app.conf.broker_transport_options = OPTIONS
    app.send_task(BATCH_TASK, kwargs=arguments, queue=QUEUE, declare=[], ignore_result=True)


def with_kombu(url: str, arguments: dict[str, Any]) -> None:
    with Connection(url, transport_options=OPTIONS) as connection, connection.Producer() as producer:
        headers = {"task": BATCH_TASK, "id": str(uuid4())}
        producer.publish([[], arguments, NOTHING], headers=headers, routing_key=QUEUE)


@pytest.mark.parametrize("publish", [with_celery, with_kombu])
def test_a_batch_that_another_service_publishes_is_the_same_work(
    stage: Stage, publish: Callable[[str, dict[str, Any]], None]
) -> None:
    ordered = arguments(stage)
    publish(stage.rabbitmq.url, ordered)
    stage.complete(ordered["job_id"])


def test_bad_arguments_make_a_rejected_job(stage: Stage) -> None:
    ordered = arguments(stage, limit=101)
    with_kombu(stage.rabbitmq.url, ordered)
    job = stage.ended(ordered["job_id"])
    assert (job["state"], job["problem"]["type"]) == ("rejected", "/problems/invalid-request")


def test_a_batch_stays_on_the_queue_while_the_ledger_is_down(stage: Stage) -> None:
    ordered = arguments(stage)
    with stage.platform.down("jobs_db"):
        with_kombu(stage.rabbitmq.url, ordered)
        wait_for(lambda: "goes back on the queue" in stage.worker.log(), SOON)
        wait_for(lambda: stage.messages(QUEUE) == 1, SOON)
    stage.complete(ordered["job_id"])


# Faults.


def test_a_worker_is_killed_and_another_one_does_what_it_had(stage: Stage) -> None:
    with stage.held_chunks():
        job_id = stage.submit()
        wait_for(lambda: stage.chunks(job_id, "running") == SETTINGS["worker_concurrency"], SOON)
        stage.worker.process.kill()
        stage.start_worker()
    stage.complete(job_id)


def test_rabbitmq_is_killed_and_started_again(stage: Stage) -> None:
    """The messages are there again, what was submitted meanwhile is published, gateway and worker connect by
    themselves."""
    with stage.held_chunks():
        before = stage.submit()
        wait_for(lambda: stage.chunks(before, "running") == SETTINGS["worker_concurrency"], SOON)
        stage.rabbitmq.kill()
        assert stage.broker_state() == "down"
        meanwhile = stage.submit()
        stage.rabbitmq.start()
        assert stage.broker_state() == "up"
        wait_for(lambda: stage.messages(WORK_QUEUE) == 2 * CHUNKS, SOON)
    wait_for(lambda: all(stage.job(job)["finished_at"] for job in (before, meanwhile)), RECONNECTED_SECONDS)
    for job_id in (before, meanwhile, stage.submit()):
        stage.complete(job_id)


def test_rabbitmq_stands_still_when_jobs_are_submitted(stage: Stage) -> None:
    """Each is accepted within the bound of a publish, and published when RabbitMQ goes on."""
    stage.rabbitmq.pause()
    try:
        jobs = [stage.submit() for _ in range(2)]
        assert stage.broker_state() == "down"
        assert {stage.job(job_id)["state"] for job_id in jobs} == {"accepted"}
    finally:
        stage.rabbitmq.resume()
    for job_id in jobs:
        stage.complete(job_id)
    assert stage.broker_state() == "up"


def test_rabbitmq_is_short_of_memory_and_blocks_publishers(stage: Stage) -> None:
    stage.rabbitmq.control("set_vm_memory_high_watermark", "0.0000001")
    try:
        jobs = [stage.submit() for _ in range(2)]
        assert {stage.job(job_id)["state"] for job_id in jobs} == {"accepted"}
    finally:
        stage.rabbitmq.control("set_vm_memory_high_watermark", "0.4")
    for job_id in jobs:
        stage.complete(job_id)


def test_connections_that_rabbitmq_closes_are_made_anew(stage: Stage) -> None:
    stage.complete(stage.submit())
    stage.rabbitmq.control("close_all_connections", "a test")
    job_id = stage.submit()
    assert stage.chunks(job_id, "waiting") == 0  # all were published at once
    stage.complete(job_id)


def test_nothing_is_left_on_rabbitmq_by_what_comes_and_goes(stage: Stage) -> None:
    callers, of_the_worker = 4, 6  # who may publish at once: one connection each, and one to read by
    with ThreadPoolExecutor(callers) as executor:
        jobs = list(executor.map(lambda _: stage.submit(), range(12)))
    for _ in range(12):
        with_kombu(stage.rabbitmq.url, {})
        assert stage.broker_state() == "up"
    for job_id in jobs:
        stage.complete(job_id)
    queues = [row["name"] for row in stage.rabbitmq.rows("queues", "name")]
    assert set(queues) <= {QUEUE, WORK_QUEUE, QUEUE + DEAD_SUFFIX, WORK_QUEUE + DEAD_SUFFIX, REPLY}
    assert len(stage.rabbitmq.rows("bindings")) == len(queues)
    exchanges = [row["name"] for row in stage.rabbitmq.rows("exchanges", "name")]
    assert [name for name in exchanges if name and not name.startswith("amq.")] == []
    assert len(stage.rabbitmq.rows("connections", "pid")) <= callers + of_the_worker
