"""RabbitMQ as the queue: what a job takes, and what other services publish. Its faults are in tests/faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from shared.contracts import DEAD_SUFFIX, QUEUE, REPLY_PREFIX, WORK_QUEUE
from tests.on_rabbitmq import CHUNKS, SETTINGS, SOON, OnRabbitMQ, arguments, with_celery, with_kombu
from tests.platform import wait_for

REPLY: Final = f"{REPLY_PREFIX}tests"


def test_a_job_is_done_and_equals_what_each_user_gets_alone(on_rabbitmq: OnRabbitMQ) -> None:
    on_rabbitmq.complete(on_rabbitmq.submit())


def test_the_queues_are_durable_quorum_queues_with_a_place_for_what_is_given_up(on_rabbitmq: OnRabbitMQ) -> None:
    columns = ("name", "type", "durable", "auto_delete", "arguments")
    queues = {row.pop("name"): row for row in on_rabbitmq.rabbitmq.rows("queues", *columns)}
    for queue in (QUEUE, WORK_QUEUE):
        declared = {name: value for name, _, value in queues[queue].pop("arguments")}
        assert queues[queue] == {"type": "quorum", "durable": True, "auto_delete": False}
        assert declared.pop("x-delivery-limit") >= 100_000  # a batch goes back while the ledger is down
        assert declared == {
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": queue + DEAD_SUFFIX,
        }


def test_messages_are_persistent(on_rabbitmq: OnRabbitMQ) -> None:
    with on_rabbitmq.held_chunks():
        job_id = on_rabbitmq.submit()
        wait_for(lambda: on_rabbitmq.rabbitmq.waiting(WORK_QUEUE) == CHUNKS - SETTINGS["worker_concurrency"])
        with on_rabbitmq.rabbitmq.channel() as channel:
            message = channel.basic_get(WORK_QUEUE)
            assert message.properties["delivery_mode"] == 2
            channel.basic_reject(message.delivery_tag, requeue=True)
    on_rabbitmq.complete(job_id)


def test_a_message_counts_as_sent_when_rabbitmq_has_confirmed_it(on_rabbitmq: OnRabbitMQ) -> None:
    full = json.dumps({"max-length": 0, "overflow": "reject-publish"})
    on_rabbitmq.rabbitmq.control("set_policy", "full", f"^{WORK_QUEUE}$", full, "--apply-to=queues")
    try:
        job_id = on_rabbitmq.submit()
        assert on_rabbitmq.chunks(job_id, "queued") < CHUNKS
    finally:
        on_rabbitmq.rabbitmq.control("clear_policy", "full")
    on_rabbitmq.complete(job_id)


def test_the_end_of_a_job_is_told_as_json_on_a_durable_queue_that_expires(on_rabbitmq: OnRabbitMQ) -> None:
    job_id = on_rabbitmq.submit(reply_to=REPLY)
    on_rabbitmq.complete(job_id)
    wait_for(lambda: on_rabbitmq.rabbitmq.waiting(REPLY) == 1, SOON)
    rows = on_rabbitmq.rabbitmq.rows("queues", "name", "durable", "arguments")
    [queue] = [row for row in rows if row["name"] == REPLY]
    message = on_rabbitmq.rabbitmq.take(REPLY)
    assert message.properties["content_type"] == "application/json"
    assert message.properties["delivery_mode"] == 2
    announcement = json.loads(message.body)
    assert (announcement["type"], announcement["data"]) == ("job.completed", on_rabbitmq.job(job_id))
    declared = {name: value for name, _, value in queue["arguments"]}
    assert queue["durable"]
    assert declared["x-queue-type"] == "quorum"
    assert declared["x-expires"] > 0


def test_a_reply_queue_that_its_reader_has_declared_will_do(on_rabbitmq: OnRabbitMQ) -> None:
    own = f"{REPLY}.own"
    with on_rabbitmq.rabbitmq.channel() as channel:
        channel.queue_declare(own, durable=False, auto_delete=False, arguments={"x-expires": 60_000})
    on_rabbitmq.complete(on_rabbitmq.submit(reply_to=own))
    wait_for(lambda: on_rabbitmq.rabbitmq.waiting(own) == 1, SOON)
    with on_rabbitmq.rabbitmq.channel() as channel:
        channel.queue_delete(own)


@pytest.mark.parametrize("publish", [with_celery, with_kombu])
def test_a_batch_that_another_service_publishes_is_the_same_work(
    on_rabbitmq: OnRabbitMQ, publish: Callable[[str, dict[str, Any]], None]
) -> None:
    ordered = arguments(on_rabbitmq)
    publish(on_rabbitmq.rabbitmq.url, ordered)
    on_rabbitmq.complete(ordered["job_id"])


def test_bad_arguments_make_a_rejected_job(on_rabbitmq: OnRabbitMQ) -> None:
    ordered = arguments(on_rabbitmq, limit=101)
    with_kombu(on_rabbitmq.rabbitmq.url, ordered)
    job = on_rabbitmq.ended(ordered["job_id"])
    assert (job["state"], job["problem"]["type"]) == ("rejected", "/problems/invalid-request")


def queues(on_rabbitmq: OnRabbitMQ) -> set[str]:
    return {row["name"] for row in on_rabbitmq.rabbitmq.rows("queues", "name")}


def connections(on_rabbitmq: OnRabbitMQ) -> int:
    return len(on_rabbitmq.rabbitmq.rows("connections", "pid"))


def test_nothing_is_left_on_rabbitmq_by_what_comes_and_goes(on_rabbitmq: OnRabbitMQ) -> None:
    callers, of_the_worker = 4, 6  # who may publish at once: one connection each; one left open each time makes more
    before, connected = queues(on_rabbitmq), connections(on_rabbitmq)
    with ThreadPoolExecutor(callers) as executor:
        jobs = list(executor.map(lambda _: on_rabbitmq.submit(), range(12)))
    for _ in range(12):
        with_kombu(on_rabbitmq.rabbitmq.url, {})
        assert on_rabbitmq.broker_state() == "up"
    for job_id in jobs:
        on_rabbitmq.complete(job_id)
    assert queues(on_rabbitmq) <= before | {QUEUE, WORK_QUEUE, QUEUE + DEAD_SUFFIX, WORK_QUEUE + DEAD_SUFFIX}
    assert len(on_rabbitmq.rabbitmq.rows("bindings")) == len(queues(on_rabbitmq))
    exchanges = [row["name"] for row in on_rabbitmq.rabbitmq.rows("exchanges", "name")]
    assert [name for name in exchanges if name and not name.startswith("amq.")] == []
    assert connections(on_rabbitmq) <= connected + callers + of_the_worker
