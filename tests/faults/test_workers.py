"""Workers die, stop and stand still. What they had taken is done by others, once."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from typing import Any

import pytest

from shared.contracts import REPLY_PREFIX
from shared.job_states import JobState
from tests.faults import bounds
from tests.faults.cluster import SHORT, Cluster
from tests.faults.report import Row
from tests.faults.witness import Witness
from tests.platform import wait_for

REPLIES = REPLY_PREFIX + "faults"


def holder(cluster: Cluster, job_id: str) -> str:
    """The worker that has a chunk of this job; waits until there is one."""
    wait_for(lambda: cluster.chunks("running", job_id) > 0)
    [(name,)] = cluster.platform.sql(
        "jobs_db", "SELECT claimed_by FROM job_chunks WHERE job_id = %s AND state = 'running' LIMIT 1", job_id
    )
    return next(own for own, process in cluster.workers.items() if str(process.pid) in name.split(":"))


def failures(cluster: Cluster) -> int:
    """How many attempts at chunks went wrong, in all."""
    return cluster.platform.sql("jobs_db", "SELECT coalesce(sum(failures), 0)::int FROM job_chunks")[0][0]


def at_work(cluster: Cluster) -> list[Any]:
    """The chunks that workers hold, dead ones included."""
    return cluster.platform.sql("jobs_db", "SELECT job_id, chunk_no FROM job_chunks WHERE state = 'running'")


def until_done(cluster: Cluster, chunks: list[Any]) -> float:
    """Wait until these chunks are done; how long that took, in seconds."""
    started = time.monotonic()
    done = "SELECT count(*) FROM job_chunks WHERE state = 'done' AND (job_id, chunk_no) IN %s"
    wait_for(lambda: not chunks or cluster.platform.sql("jobs_db", done, tuple(chunks)) == [(len(chunks),)])
    return time.monotonic() - started


def attempts(cluster: Cluster, job_id: str) -> list[int]:
    """How often each chunk of a job was claimed."""
    rows = cluster.platform.sql("jobs_db", "SELECT attempt FROM job_chunks WHERE job_id = %s ORDER BY chunk_no", job_id)
    return [attempt for (attempt,) in rows]


def announced(cluster: Cluster) -> set[str]:
    """Whose ends were told, so far."""
    return {json.loads(raw)["data"]["job_id"] for raw in cluster.broker.lrange(REPLIES, 0, -1)}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("times", [3, pytest.param(25, marks=pytest.mark.faults)])
def test_workers_are_killed_at_random_moments(
    cluster: Cluster, report: list[Row], draw: random.Random, times: int
) -> None:
    """kill -9 of a whole worker while jobs run, again and again: each job is completed."""
    with Witness(cluster, report) as witness:
        for _ in range(times):
            witness.keep_busy(draw)
            wait_for(lambda: cluster.chunks("running") > 0)
            time.sleep(draw.uniform(0, 1.5))  # the random moment
            name = draw.choice(sorted(cluster.workers))
            cluster.workers[name].kill()
            held = at_work(cluster)
            cluster.start_worker(name)
        recovery = until_done(cluster, held)
        witness.check("kill -9 of a worker", injected=times, recovery=recovery, bound=bounds.NO_WORKER)
    assert failures(cluster) <= times * SHORT["worker_concurrency"]


@pytest.mark.faults
def test_the_end_of_a_job_is_told_whichever_workers_die(
    cluster: Cluster, report: list[Row], draw: random.Random
) -> None:
    """kill -9 of workers while jobs end and their ends are announced: each is told at least once."""
    with Witness(cluster, report) as witness:
        jobs = set()
        for _ in range(6):
            jobs |= {witness.submit(draw.sample(cluster.users, 50), reply_to=REPLIES).body["job_id"] for _ in range(5)}
            name = draw.choice(sorted(cluster.workers))
            cluster.workers[name].kill()
            killed = time.monotonic()
            cluster.start_worker(name)
        wait_for(lambda: announced(cluster) == jobs, bounds.ANNOUNCED)
        recovery = time.monotonic() - killed
        witness.check("kill -9 while ends are told", injected=6, recovery=recovery, bound=bounds.ANNOUNCED)


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_processes_of_a_pool_are_killed_at_random_moments(
    cluster: Cluster, report: list[Row], draw: random.Random
) -> None:
    """kill -9 of one of a worker's processes, twenty times: its chunk is done by another, the worker goes on. Each
    kill counts as one failure at most."""
    pids = {name: worker.pid for name, worker in cluster.workers.items()}
    with Witness(cluster, report) as witness:
        for _ in range(20):
            witness.keep_busy(draw)
            wait_for(lambda: cluster.chunks("running") > 0)
            time.sleep(draw.uniform(0, 0.5))  # the random moment
            draw.choice(cluster.pool(draw.choice(sorted(cluster.workers)))).kill()
        recovery = until_done(cluster, at_work(cluster))
        witness.check_at_random("kill -9 of a pool's process", injected=20, recovery=recovery, bound=bounds.NO_WORKER)
    assert failures(cluster) <= 20
    assert {name: worker.pid for name, worker in cluster.workers.items() if worker.running} == pids


@pytest.mark.faults
def test_a_chunk_that_kills_its_process_three_times_is_dead_and_the_others_are_kept(
    cluster: Cluster, report: list[Row]
) -> None:
    """A chunk takes the process that works on it along, each time: it is given up after three, and says why; the
    other chunks' results are kept."""
    users = cluster.users[:30]
    cluster.to_workers["engagement_db"].hold(users[15].hex.encode())  # nobody gets beyond this in the second chunk
    with Witness(cluster, report) as witness:
        job_id = witness.submit(users).body["job_id"]
        for number in range(3):
            name = holder(cluster, job_id)
            wait_for(lambda: cluster.chunks("running", job_id) == 1 and cluster.chunks("done", job_id) == 2)
            for process in cluster.pool(name):
                process.kill()
            wait_for(lambda number=number: failures(cluster) == number + 1, seconds=bounds.DEAD_WORKER)
        recovery = witness.wait_for_end()
        ends = {JobState.COMPLETED_WITH_ERRORS: 1}
        witness.check(
            "kill -9 three times over one chunk", injected=3, recovery=recovery, bound=bounds.DEAD_WORKER, ends=ends
        )
        body = witness.look(job_id).body
    assert (body["done"], body["failed"]) == (20, 10)
    assert body["problem"]["detail"].startswith("10 of 30 users failed: ")


@pytest.mark.faults
@pytest.mark.parametrize("held", [False, True], ids=["work-that-is-soon-done", "work-that-does-not-end"])
def test_a_worker_that_is_told_to_stop_loses_nothing(cluster: Cluster, report: list[Row], held: bool) -> None:
    """SIGTERM during a job: the worker ends within its grace, what it has not finished is given back, and no failure
    is counted."""
    users = cluster.users[:200]
    if held:
        cluster.to_workers["engagement_db"].hold(users[0].hex.encode())
    with Witness(cluster, report) as witness, cluster.slow_chunks(0.02):
        job_id = witness.submit(users).body["job_id"]
        name = holder(cluster, job_id)
        worker = cluster.workers[name]
        os.kill(worker.pid, signal.SIGTERM)
        told = time.monotonic()
        assert worker.wait(bounds.STOPPING) == 0
        seconds = time.monotonic() - told
        cluster.to_workers["engagement_db"].restore()
        witness.wait_for_end()
        fault = f"SIGTERM during {'a chunk that does not end' if held else 'a job'}"
        witness.check(fault, injected=1, recovery=seconds, bound=bounds.STOPPING)
    assert failures(cluster) == 0


@pytest.mark.faults
@pytest.mark.parametrize("done", [True, False], ids=["done-by-another", "at-work-at-another"])
def test_a_worker_that_stood_still_beyond_its_lease_changes_nothing_afterwards(
    cluster: Cluster, report: list[Row], done: bool
) -> None:
    """SIGSTOP of a worker that holds a chunk, until its lease is over and another has done it, or is at it, then
    SIGCONT: the late one is fenced out. With the long beats here nobody takes its silence for its death before that."""
    cluster.restart_workers(beat_seconds=bounds.SLOW_BEAT)
    users = cluster.users[:10]
    engagement_db = cluster.to_workers["engagement_db"]
    engagement_db.hold(users[0].hex.encode())
    with Witness(cluster, report) as witness:
        job_id = witness.submit(users).body["job_id"]
        late = cluster.workers[holder(cluster, job_id)]
        late.pause()
        paused = time.monotonic()
        if done:
            engagement_db.restore()
            witness.wait_for_end(job_id)
            late.resume()
        else:
            wait_for(lambda: attempts(cluster, job_id) == [2])
            late.resume()
            engagement_db.restore()
            witness.wait_for_end(job_id)
        recovery = time.monotonic() - paused
        assert recovery > SHORT["lease_seconds"] - 1  # it had begun a little before
        ended = witness.look(job_id).body
        cluster.wait_until_ready()
        again = witness.submit(users).body["job_id"]  # the late one is at work again
        witness.wait_for_end(again)
        fault = f"SIGSTOP of a worker, chunk {'done by' if done else 'at work at'} another"
        witness.check(fault, injected=1, recovery=recovery, bound=bounds.STANDING_STILL)
        assert witness.look(job_id).body == ended
    assert attempts(cluster, job_id) == [2]


@pytest.mark.faults
def test_all_workers_are_gone_and_come_back(cluster: Cluster, report: list[Row]) -> None:
    """kill -9 of every worker at once, while a job runs: jobs are accepted and wait, visibly; with the workers back
    all of them are completed."""
    with Witness(cluster, report) as witness, cluster.slow_chunks(0.02):
        witness.submit(cluster.users)
        wait_for(lambda: cluster.chunks("done") > 0)
        for worker in cluster.workers.values():
            worker.kill()
        assert witness.submit(cluster.users[:100]).status == 202
        wait_for(lambda: cluster.readiness()["checks"]["worker"]["state"] == "down")
        for name in cluster.workers:
            cluster.start_worker(name)
        recovery = witness.wait_for_end()
        witness.check("kill -9 of every worker", injected=2, recovery=recovery, bound=bounds.NO_WORKER)


@pytest.mark.faults
def test_many_workers_look_after_the_same_jobs(cluster: Cluster, report: list[Row], draw: random.Random) -> None:
    """Four reconcilers at once, over messages that are lost again and again: nothing is done twice or left out."""
    for name in ("c", "d"):
        cluster.start_worker(name, worker_concurrency=1)
    cluster.wait_until_ready()
    with Witness(cluster, report) as witness, cluster.slow_chunks(0.02):
        for _ in range(3):
            for _ in range(4):
                witness.submit(draw.sample(cluster.users, 100))
            cluster.broker.delete(*cluster.messages())
        recovery = witness.wait_for_end()
        witness.check("messages lost, four reconcilers", injected=3, recovery=recovery, bound=bounds.LOST_MESSAGES)
