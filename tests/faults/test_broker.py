"""The broker dies, forgets, stands still, is full, or is out of reach. No accepted job is lost with its messages."""

from __future__ import annotations

import contextlib
import random
import shutil
import time
from collections.abc import Iterator

import pytest
import redis

from tests.faults import bounds
from tests.faults.cluster import Cluster
from tests.faults.report import Row
from tests.faults.witness import Witness
from tests.platform import wait_for


@contextlib.contextmanager
def running_jobs(cluster: Cluster, report: list[Row], *, bound: float = bounds.ANSWER) -> Iterator[Witness]:
    """Three jobs that are under way, and a caller who watches them."""
    with Witness(cluster, report, bound=bound) as witness, cluster.slow_chunks(0.03):
        for part in range(3):
            witness.submit(cluster.users[100 * part : 100 * part + 200])
        wait_for(lambda: cluster.chunks("done") > 0)
        yield witness


def test_redis_is_wiped(cluster: Cluster, report: list[Row]) -> None:
    """FLUSHALL after jobs were accepted, some not begun and some under way: all are completed, and equal an
    undisturbed run."""
    with running_jobs(cluster, report) as witness:
        cluster.broker.flushall()
        recovery = witness.wait_for_end()
        witness.check("FLUSHALL of Redis", injected=1, recovery=recovery, bound=bounds.LOST_MESSAGES)


@pytest.mark.faults
@pytest.mark.parametrize("keeps", [True, False], ids=["with-its-file", "without-its-file"])
def test_redis_is_killed(cluster: Cluster, report: list[Row], keeps: bool) -> None:
    """kill -9 of Redis, which comes back with its append-only file, or with nothing: the workers find it again by
    themselves, and what it forgot is sent again."""
    with running_jobs(cluster, report, bound=bounds.ANSWER_WITHOUT_BROKER) as witness:
        cluster.valkey.kill()
        assert witness.submit(cluster.users[:50]).status == 202
        if not keeps:
            shutil.rmtree(cluster.valkey.directory / "appendonlydir")
        cluster.valkey.start()
        recovery = witness.wait_for_end()
        fault = f"kill -9 of Redis, {'AOF' if keeps else 'nothing kept'}"
        witness.check(fault, injected=1, recovery=recovery, bound=bounds.BROKER_BACK)


@pytest.mark.faults
def test_redis_stands_still(cluster: Cluster, report: list[Row]) -> None:
    """SIGSTOP of Redis for 12 s: jobs are accepted into the ledger within the bound of a publish, and the workers go
    on by themselves afterwards."""
    with running_jobs(cluster, report, bound=bounds.ANSWER_WITHOUT_BROKER) as witness:
        cluster.valkey.pause()
        until = time.monotonic() + 12
        while time.monotonic() < until:
            assert witness.submit(cluster.users[:20]).status == 202
            time.sleep(0.5)  # nothing waits for what is known to be down, and all of it is to be done afterwards
        cluster.valkey.resume()
        recovery = witness.wait_for_end()
        witness.check("SIGSTOP of Redis for 12 s", injected=1, recovery=recovery, bound=bounds.BROKER_BACK)


@pytest.mark.faults
@pytest.mark.parametrize("by", ["the-server", "the-network"])
def test_every_connection_to_the_broker_is_reset(cluster: Cluster, report: list[Row], by: str) -> None:
    """CLIENT KILL, or RST on the way, ten times while jobs run: workers and gateway connect again."""
    with running_jobs(cluster, report) as witness:
        for _ in range(10):
            if by == "the-server":
                cluster.broker.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            else:
                cluster.to_workers["broker"].reset()
                cluster.to_gateway["broker"].reset()
            witness.submit(cluster.users[:50])
            time.sleep(0.3)  # so that some have connected again
        recovery = witness.wait_for_end()
        fault = f"reset of all connections by {by.replace('-', ' ')}"
        witness.check(fault, injected=10, recovery=recovery, bound=bounds.BROKER_BACK)


@pytest.mark.faults
def test_connections_to_the_broker_are_half_open(cluster: Cluster, report: list[Row]) -> None:
    """The network swallows all that the workers and Redis say to each other, and nobody is told: the workers notice,
    connect again, and what was swallowed is sent again."""
    with running_jobs(cluster, report) as witness:
        cluster.to_workers["broker"].swallow()
        time.sleep(2)
        cluster.to_workers["broker"].restore()  # for new connections; the old ones stay silent
        recovery = witness.wait_for_end()
        witness.check("half-open connections", injected=1, recovery=recovery, bound=bounds.SILENT_BROKER)


@pytest.mark.faults
def test_redis_is_out_of_memory(cluster: Cluster, report: list[Row]) -> None:
    """maxmemory is reached and nothing may be evicted: BRPOP works and what follows is refused, so messages vanish.
    With room again every job is completed, by the workers that were there."""
    pids = {name: worker.pid for name, worker in cluster.workers.items()}
    with running_jobs(cluster, report, bound=bounds.ANSWER_WITHOUT_BROKER) as witness:
        cluster.broker.config_set("maxmemory", 1)
        with pytest.raises(redis.ResponseError, match="maxmemory"):
            cluster.broker.set("more", "of it")
        until = time.monotonic() + 5
        while time.monotonic() < until:
            assert witness.submit(cluster.users[:20]).status == 202
            time.sleep(0.2)  # a caller's pause
        cluster.broker.config_set("maxmemory", 0)
        recovery = witness.wait_for_end()
        witness.check("Redis out of memory for 5 s", injected=1, recovery=recovery, bound=bounds.BROKER_BACK)
    assert {name: worker.pid for name, worker in cluster.workers.items() if worker.running} == pids


@pytest.mark.faults
@pytest.mark.parametrize("how", ["dead", "stalled"])
def test_the_broker_is_out_of_the_gateways_reach(cluster: Cluster, report: list[Row], how: str) -> None:
    """Nobody listens, or nobody answers, when jobs are submitted: each is accepted within the bound of a publish, and
    sent by the reconciler."""
    proxy = cluster.to_gateway["broker"]
    with Witness(cluster, report, bound=bounds.ANSWER_WITHOUT_BROKER) as witness:
        proxy.cut() if how == "dead" else proxy.swallow()
        for part in range(5):
            assert witness.submit(cluster.users[part : part + 100]).status == 202
        recovery = witness.wait_for_end()
        proxy.restore()
        witness.check(f"broker {how} at submission", injected=5, recovery=recovery, bound=bounds.LOST_MESSAGES)


@pytest.mark.faults
def test_messages_are_lost_one_by_one(cluster: Cluster, report: list[Row], draw: random.Random) -> None:
    """Messages vanish from the queue at random while jobs run, as between BRPOP and its bookkeeping: each is sent
    again until its chunk is done."""
    lost = 0
    with running_jobs(cluster, report) as witness:
        while lost < 30 and cluster.chunks("waiting"):
            queue = draw.choice([cluster.broker.lpop, cluster.broker.rpop])
            lost += queue("recommendations.work") is not None
        recovery = witness.wait_for_end()
        witness.check(
            "messages vanish from the queue", injected=lost, recovery=recovery, bound=2 * bounds.LOST_MESSAGES
        )
