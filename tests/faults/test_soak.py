"""Everything at random, one fault after another, under load: make faults SOAK=10m."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final
from uuid import uuid4

import pytest

from shared.contracts import QUEUE, WORK_QUEUE
from shared.job_states import JobState
from tests.faults import bounds
from tests.faults.cluster import Cluster
from tests.faults.messages import batch_message, chunk_message
from tests.faults.report import Row
from tests.faults.witness import Witness
from tests.platform import wait_for

_OPEN_JOBS: Final = 5
_DRAIN_SECONDS: Final = 300.0  # a message that was lost again and again is waited for twice as long each time


class Faults:
    """What can be done to a cluster, each for as long as it takes; afterwards nothing is broken any more."""

    def __init__(self, cluster: Cluster, draw: random.Random) -> None:
        self._cluster = cluster
        self._draw = draw

    def all(self) -> list[Callable[[], None]]:
        """Every fault."""
        return [
            self.kill_a_worker,
            self.kill_a_pools_process,
            self.stop_a_worker,
            self.pause_a_worker,
            self.wipe_redis,
            self.kill_redis,
            self.pause_redis,
            self.fill_redis,
            self.reset_connections,
            self.swallow_what_workers_and_broker_say,
            self.take_messages_away,
            self.send_messages_again,
            self.push_noise,
            self.restart_postgresql,
            self.kill_postgresql,
            self.pause_postgresql,
            self.slow_the_ledger_down,
            self.kill_the_gateway,
        ]

    def kill_a_worker(self) -> None:
        name = self._worker()
        self._cluster.workers[name].kill()
        self._cluster.start_worker(name)

    def kill_a_pools_process(self) -> None:
        self._draw.choice(self._cluster.pool(self._worker())).kill()

    def stop_a_worker(self) -> None:
        name = self._worker()
        worker = self._cluster.workers[name]
        os.kill(worker.pid, signal.SIGTERM)
        worker.wait(bounds.WORKER_START + bounds.STOPPING)
        self._cluster.start_worker(name)

    def pause_a_worker(self) -> None:
        worker = self._cluster.workers[self._worker()]
        worker.pause()
        self._last(1, 8)
        worker.resume()

    def wipe_redis(self) -> None:
        self._cluster.broker.flushall()

    def kill_redis(self) -> None:
        self._cluster.valkey.kill()
        self._cluster.valkey.start()

    def pause_redis(self) -> None:
        self._cluster.valkey.pause()
        self._last(1, 8)
        self._cluster.valkey.resume()

    def fill_redis(self) -> None:
        self._cluster.broker.config_set("maxmemory", 1)
        self._last(0.5, 3)
        self._cluster.broker.config_set("maxmemory", 0)

    def reset_connections(self) -> None:
        for proxy in (*self._cluster.to_workers.values(), *self._cluster.to_gateway.values()):
            proxy.reset()

    def swallow_what_workers_and_broker_say(self) -> None:
        self._cluster.to_workers["broker"].swallow()
        self._last(0.5, 3)
        self._cluster.to_workers["broker"].restore()

    def take_messages_away(self) -> None:
        self._cluster.broker.lpop(WORK_QUEUE, self._draw.randint(1, 20))

    def send_messages_again(self) -> None:
        chunks = self._cluster.platform.sql("jobs_db", "SELECT job_id, chunk_no FROM job_chunks LIMIT 200")
        copies = [chunk_message(str(job_id), number) for job_id, number in chunks]
        if copies:
            self._cluster.broker.lpush(WORK_QUEUE, *copies)

    def push_noise(self) -> None:
        whole = batch_message(str(uuid4()), [uuid4()])
        for queue in (QUEUE, WORK_QUEUE):
            self._cluster.broker.lpush(queue, whole[: self._draw.randrange(len(whole))], self._draw.randbytes(50))

    def restart_postgresql(self) -> None:
        self._cluster.postgres.stop()
        self._cluster.postgres.start()

    def kill_postgresql(self) -> None:
        self._cluster.postgres.kill()
        self._cluster.postgres.start()

    def pause_postgresql(self) -> None:
        self._cluster.postgres.pause()
        self._last(1, 5)
        self._cluster.postgres.resume()

    def slow_the_ledger_down(self) -> None:
        sides = (self._cluster.to_workers, self._cluster.to_gateway)
        for side in sides:
            side["jobs_db"].delay(0.1)
        self._last(1, 5)
        for side in sides:
            side["jobs_db"].restore()

    def kill_the_gateway(self) -> None:
        self._cluster.gateway.kill()
        self._cluster.start_gateway()

    def _worker(self) -> str:
        return self._draw.choice(sorted(self._cluster.workers))

    def _last(self, least: float, most: float) -> None:
        time.sleep(self._draw.uniform(least, most))


def submit_until_stopped(cluster: Cluster, witness: Witness, stopped: threading.Event, draw: random.Random) -> None:
    """A caller who keeps a few jobs open, asks again with the same key until each is accepted, and cancels some."""
    while not stopped.wait(0.1):
        if witness.open_jobs >= _OPEN_JOBS:
            continue
        users, key = draw.sample(cluster.users, draw.randint(1, len(cluster.users))), str(uuid4())
        while (answer := witness.submit(users, key=key)).status != 202 and not stopped.wait(0.5):
            pass
        if answer.status == 202 and draw.random() < 0.1:
            witness.cancel(answer.body["job_id"])


@pytest.mark.faults
@pytest.mark.timeout(0)
def test_faults_at_random_under_load(cluster: Cluster, report: list[Row], draw: random.Random, soak: float) -> None:
    """Faults of every kind, one after another, while callers submit, poll and cancel: every job that was accepted ends,
    and its results are right."""
    faults, injected = Faults(cluster, draw).all(), Counter[str]()
    stopped = threading.Event()
    with Witness(cluster, report, bound=bounds.ANSWER_WITHOUT_LEDGER, gateway_dies=True) as witness:
        callers = [
            threading.Thread(
                target=submit_until_stopped, args=(cluster, witness, stopped, random.Random(draw.random()))
            )
            for _ in range(2)
        ]
        for caller in callers:
            caller.start()
        until = time.monotonic() + soak
        try:
            while time.monotonic() < until:
                for fault in draw.sample(faults, len(faults)):  # each equally often
                    fault()
                    injected[fault.__name__] += 1
                    time.sleep(draw.uniform(0, 3))
                    if time.monotonic() > until:
                        break
        finally:
            stopped.set()
            for caller in callers:
                caller.join()
        over = time.monotonic()
        wait_for(lambda: cluster.readiness()["status"] == "ready")
        witness.wait_for_end(seconds=_DRAIN_SECONDS)
        cancelled = witness.ends()[JobState.CANCELLED]
        name = f"{len(injected)} faults at random, {soak:g} s; {cancelled} cancelled"
        witness.check_at_random(name, injected=injected.total(), recovery=time.monotonic() - over, bound=_DRAIN_SECONDS)
