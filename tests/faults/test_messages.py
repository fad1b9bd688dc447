"""What strangers put on the queues: rubbish, and the same thing ten times."""

from __future__ import annotations

import base64
import random
import time
from uuid import uuid4

import hypothesis
import pytest
from hypothesis import strategies as st

from shared.contracts import QUEUE, WORK_QUEUE
from tests.faults import bounds
from tests.faults.cluster import SHORT, Cluster
from tests.faults.messages import batch_message, chunk_message, garbage, harmless, poison
from tests.faults.report import Row
from tests.faults.witness import Witness
from tests.platform import wait_for

COPIES = 10


def push_poison(cluster: Cluster, report: list[Row], fault: str, poison: list[tuple[str, bytes]]) -> None:
    """Put what is no message on its queue among jobs that run: the same workers' processes go on, all of it becomes
    dead letters, byte by byte, and the next job is done."""
    pids = {name: [worker.pid, *(p.pid for p in cluster.pool(name))] for name, worker in cluster.workers.items()}
    with Witness(cluster, report) as witness, cluster.slow_chunks(0.01):
        witness.submit(cluster.users)
        for number, (queue, raw) in enumerate(poison):
            cluster.broker.lpush(queue, raw)
            if number % 50 == 25:
                witness.submit(cluster.users[:100])
        wait_for(lambda: len(cluster.dead_letters()) >= len(poison))
        last = witness.submit(cluster.users[:100]).body["job_id"]
        recovery = witness.wait_for_end(last)
        witness.check(fault, injected=len(poison), recovery=recovery, bound=bounds.LOST_MESSAGES)
    letters = [(letter["queue"], base64.b64decode(letter["raw"])) for letter in cluster.dead_letters()]
    assert sorted(letters) == sorted(poison)
    assert {name: [w.pid, *(p.pid for p in cluster.pool(name))] for name, w in cluster.workers.items()} == pids


def test_every_shape_of_poison_is_pushed_onto_both_queues(cluster: Cluster, report: list[Row]) -> None:
    """Every vector of docs/messages that is no message; with those that the guard makes harmless, all that end or block
    a bare Celery worker."""
    mended = harmless(cluster.users[0])
    cluster.broker.lpush(QUEUE, *(letter.raw for letter in mended))
    push_poison(cluster, report, "poison on both queues", poison())
    completed = "SELECT count(*) FROM jobs WHERE state = 'completed' AND job_id IN %s"
    job_ids = tuple(str(letter.job_id) for letter in mended)
    assert cluster.platform.sql("jobs_db", completed, job_ids) == [(len(mended),)]


@pytest.mark.faults
def test_noise_is_pushed_onto_both_queues(cluster: Cluster, report: list[Row], seed: str) -> None:
    """Three hundred messages made by Hypothesis, of bytes, of JSON, and of messages with something wrong."""
    poison: list[tuple[str, bytes]] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(max_examples=30, deadline=None, database=None, phases=[hypothesis.Phase.generate])
    @hypothesis.given(st.lists(st.tuples(st.sampled_from((QUEUE, WORK_QUEUE)), garbage()), min_size=10, max_size=10))
    def make(messages: list[tuple[str, bytes]]) -> None:
        poison.extend(messages)

    make()
    push_poison(cluster, report, "noise on both queues", poison[:300])


@pytest.mark.parametrize("jobs", [2, pytest.param(10, marks=pytest.mark.faults)])
def test_each_chunk_message_comes_ten_times(
    cluster: Cluster, report: list[Row], draw: random.Random, jobs: int
) -> None:
    """Ten copies of each chunk's message, with delivery tags of their own, in any order: each chunk is claimed once,
    each result applied once."""
    with Witness(cluster, report) as witness:
        with cluster.held_chunks():
            accepted = [witness.submit(draw.sample(cluster.users, 100)).body["job_id"] for _ in range(jobs)]
            chunks = [(job_id, number) for job_id in accepted for number in range(100 // SHORT["chunk_users"])]
            copies = [chunk_message(*chunk) for chunk in chunks for _ in range(COPIES)]
            draw.shuffle(copies)
            cluster.broker.lpush(WORK_QUEUE, *copies)
        recovery = witness.wait_for_end()
        witness.check("ten copies of each chunk", injected=len(copies), recovery=recovery, bound=bounds.LOST_MESSAGES)
    assert cluster.platform.sql("jobs_db", "SELECT DISTINCT attempt FROM job_chunks") == [(1,)]


@pytest.mark.faults
def test_each_batch_message_comes_ten_times(cluster: Cluster, report: list[Row]) -> None:
    """A stranger publishes a job ten times, with the same job_id: it is one job."""
    with Witness(cluster, report) as witness:
        for part in range(5):
            job_id, users = str(uuid4()), cluster.users[part : part + 100]
            cluster.broker.lpush(QUEUE, *(batch_message(job_id, users) for _ in range(COPIES)))
            witness.promised(job_id, users)
        recovery = witness.wait_for_end()
        witness.check("ten copies of each job", injected=5 * COPIES, recovery=recovery, bound=bounds.LOST_MESSAGES)
    assert cluster.platform.sql("jobs_db", "SELECT count(*) FROM jobs") == [(5,)]


@pytest.mark.faults
def test_a_worker_dies_with_a_strangers_message_in_its_hand(cluster: Cluster, report: list[Row]) -> None:
    """kill -9 of every worker as one accepts a job and another looks for messages that were not acknowledged, which it
    locks: the message comes again, and the lock is no obstacle."""
    job_id, users = str(uuid4()), cluster.users[:100]
    accepting = cluster.to_workers["jobs_db"].hold(b"INSERT INTO jobs (")
    cluster.broker.lpush(QUEUE, batch_message(job_id, users))
    assert accepting.wait(bounds.BUSY)
    assert cluster.to_workers["broker"].hold(b"BYSCORE").wait(bounds.BUSY)
    assert cluster.broker.exists("unacked_mutex")
    with Witness(cluster, report) as witness:
        witness.promised(job_id, users)
        for worker in cluster.workers.values():
            worker.kill()
        killed = time.monotonic()
        for proxy in cluster.to_workers.values():
            proxy.restore()
        for name in cluster.workers:
            cluster.start_worker(name)
        witness.wait_for_end()
        recovery = time.monotonic() - killed
        witness.check("kill -9 over a stranger's message", injected=1, recovery=recovery, bound=bounds.REDELIVERED)
