"""RabbitMQ as the queue: it is killed, stands still, is out of memory, hangs up; and so do worker and ledger."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from shared.contracts import QUEUE, WORK_QUEUE
from tests.faults.report import Row
from tests.on_rabbitmq import CHUNKS, RECONNECTED_SECONDS, SETTINGS, SOON, OnRabbitMQ, arguments, with_kombu
from tests.platform import wait_for

pytestmark = pytest.mark.faults


def check(on_rabbitmq: OnRabbitMQ, report: list[Row], fault: str, jobs: Sequence[str], *, since: float) -> None:
    """All of these jobs come to their end, and equal what each of their users gets alone. since: the fault's end, on
    the monotonic clock."""
    lost, wrong = list[str](), list[str]()
    for job_id in jobs:
        try:
            on_rabbitmq.ended(job_id)
        except AssertionError:
            lost.append(job_id)
        else:
            wrong += [] if on_rabbitmq.is_right(job_id) else [job_id]
    report.append(Row(f"RabbitMQ: {fault}", 1, len(jobs), len(lost), len(wrong), time.monotonic() - since))
    assert not lost
    assert not wrong


def wait_until_at_work(on_rabbitmq: OnRabbitMQ, job_id: str) -> None:
    wait_for(lambda: on_rabbitmq.chunks(job_id, "running") == SETTINGS["worker_concurrency"], SOON)


def test_a_batch_stays_on_the_queue_while_the_ledger_is_down(on_rabbitmq: OnRabbitMQ, report: list[Row]) -> None:
    """It goes back, and comes again, until there is a ledger to write it into."""
    ordered = arguments(on_rabbitmq)
    with on_rabbitmq.platform.down("jobs_db"):
        with_kombu(on_rabbitmq.rabbitmq.url, ordered)
        wait_for(lambda: "goes back on the queue" in on_rabbitmq.worker.log(), SOON)
        wait_for(lambda: on_rabbitmq.messages(QUEUE) == 1, SOON)
    back = time.monotonic()
    wait_for(lambda: bool(on_rabbitmq.job(ordered["job_id"])), SOON)
    check(on_rabbitmq, report, "ledger down when a batch comes", [ordered["job_id"]], since=back)


def test_a_worker_is_killed_and_another_one_does_what_it_had(on_rabbitmq: OnRabbitMQ, report: list[Row]) -> None:
    """Its messages are back when it is gone, and what it held is taken up by another that starts."""
    with on_rabbitmq.held_chunks():
        job_id = on_rabbitmq.submit()
        wait_until_at_work(on_rabbitmq, job_id)
        on_rabbitmq.worker.process.kill()
        killed = time.monotonic()
        on_rabbitmq.start_worker()
    check(on_rabbitmq, report, "kill -9 of a worker", [job_id], since=killed)


def test_rabbitmq_is_killed_and_started_again(on_rabbitmq: OnRabbitMQ, report: list[Row]) -> None:
    """The messages are there again, what was submitted meanwhile is published, gateway and worker connect by
    themselves."""
    with on_rabbitmq.held_chunks():
        before = on_rabbitmq.submit()
        wait_until_at_work(on_rabbitmq, before)
        on_rabbitmq.rabbitmq.kill()
        assert on_rabbitmq.broker_state() == "down"
        meanwhile = on_rabbitmq.submit()
        on_rabbitmq.rabbitmq.start()
        back = time.monotonic()
        assert on_rabbitmq.broker_state() == "up"
        wait_for(lambda: on_rabbitmq.messages(WORK_QUEUE) == 2 * CHUNKS, SOON)
    wait_for(lambda: all(on_rabbitmq.job(job)["finished_at"] for job in (before, meanwhile)), RECONNECTED_SECONDS)
    check(on_rabbitmq, report, "kill -9", [before, meanwhile, on_rabbitmq.submit()], since=back)


def test_rabbitmq_stands_still_when_jobs_are_submitted(on_rabbitmq: OnRabbitMQ, report: list[Row]) -> None:
    """Each is accepted within the bound of a publish, and published when RabbitMQ goes on."""
    on_rabbitmq.rabbitmq.pause()
    try:
        jobs = [on_rabbitmq.submit() for _ in range(2)]
        assert on_rabbitmq.broker_state() == "down"
        assert {on_rabbitmq.job(job_id)["state"] for job_id in jobs} == {"accepted"}
    finally:
        on_rabbitmq.rabbitmq.resume()
    check(on_rabbitmq, report, "SIGSTOP", jobs, since=time.monotonic())
    assert on_rabbitmq.broker_state() == "up"


def test_rabbitmq_is_short_of_memory_and_blocks_publishers(on_rabbitmq: OnRabbitMQ, report: list[Row]) -> None:
    """Jobs are accepted meanwhile, and published when it listens again."""
    on_rabbitmq.rabbitmq.control("set_vm_memory_high_watermark", "0.0000001")
    try:
        jobs = [on_rabbitmq.submit() for _ in range(2)]
        assert {on_rabbitmq.job(job_id)["state"] for job_id in jobs} == {"accepted"}
    finally:
        on_rabbitmq.rabbitmq.control("set_vm_memory_high_watermark", "0.4")
    check(on_rabbitmq, report, "out of memory", jobs, since=time.monotonic())


def test_connections_that_rabbitmq_closes_are_made_anew(on_rabbitmq: OnRabbitMQ, report: list[Row]) -> None:
    """The next job is published at once over new ones."""
    on_rabbitmq.complete(on_rabbitmq.submit())
    on_rabbitmq.rabbitmq.control("close_all_connections", "a test")
    closed = time.monotonic()
    job_id = on_rabbitmq.submit()
    assert on_rabbitmq.chunks(job_id, "waiting") == 0
    check(on_rabbitmq, report, "closes all connections", [job_id], since=closed)
