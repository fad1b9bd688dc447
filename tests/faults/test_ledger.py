"""PostgreSQL, and with it the ledger, is restarted, killed, slow or still. Jobs wait for it, and are done."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.faults import bounds
from tests.faults.cluster import Cluster
from tests.faults.report import Row
from tests.faults.test_workers import failures
from tests.faults.witness import Witness
from tests.platform import wait_for

pytestmark = pytest.mark.faults

STALL_SECONDS = 8.0
SLOW_SECONDS = 0.2  # each answer comes so much later
SLOW_LEASE = 20  # s: a chunk's dozen answers, and what others hold of its job's row meanwhile, take seconds then

FAULTS: dict[str, Callable[[Cluster], None]] = {
    "fast restart": lambda cluster: cluster.postgres.stop(),
    "kill -9": lambda cluster: cluster.postgres.kill(),
}


@pytest.mark.parametrize("how", FAULTS)
def test_postgresql_goes_away_and_comes_back(cluster: Cluster, report: list[Row], how: str) -> None:
    """All databases are stopped in order, or killed, three times while jobs run: whatever was accepted is completed;
    meanwhile callers are told to come back."""
    with Witness(cluster, report, bound=bounds.ANSWER_WITHOUT_LEDGER) as witness, cluster.slow_chunks(0.02):
        for part in range(3):
            wait_for(lambda part=part: witness.submit(cluster.users[part:]).status == 202, bounds.LEDGER_BACK)
            wait_for(lambda: cluster.chunks("running") > 0)
            FAULTS[how](cluster)
            assert witness.submit(cluster.users[:20]).status == 503
            cluster.postgres.start()
        recovery = witness.wait_for_end()
        witness.check(f"PostgreSQL: {how}", injected=3, recovery=recovery, bound=bounds.LEDGER_BACK)
    assert failures(cluster) < 20  # of 120 chunks: those that were at work lose their leases, no others fail


def test_postgresql_stands_still(cluster: Cluster, report: list[Row]) -> None:
    """SIGSTOP of PostgreSQL: no request waits longer than its bounds, and nobody is taken for dead too soon
    afterwards."""
    with Witness(cluster, report, bound=bounds.ANSWER_WITHOUT_LEDGER) as witness, cluster.slow_chunks(0.02):
        witness.submit(cluster.users)
        wait_for(lambda: cluster.chunks("running") > 0)
        cluster.postgres.pause()
        until = time.monotonic() + STALL_SECONDS
        while time.monotonic() < until:
            assert witness.submit(cluster.users[:20]).status == 503
        cluster.postgres.resume()
        recovery = witness.wait_for_end()
        fault = f"SIGSTOP of PostgreSQL for {STALL_SECONDS:g} s"
        witness.check(fault, injected=1, recovery=recovery, bound=bounds.LEDGER_BACK)


def test_the_ledger_is_slow(cluster: Cluster, report: list[Row]) -> None:
    """Each of the ledger's answers comes 0.2 s late, to workers and gateway alike: that makes jobs slower, and
    counts as nobody's failure."""
    cluster.restart_workers(lease_seconds=SLOW_LEASE)
    with Witness(cluster, report, bound=20 * SLOW_SECONDS + bounds.ANSWER) as witness:
        for proxies in (cluster.to_workers, cluster.to_gateway):
            proxies["jobs_db"].delay(SLOW_SECONDS)
        for part in range(3):
            assert witness.submit(cluster.users[part : part + 60]).status == 202
        wait_for(lambda: cluster.chunks("done") >= 3)
        for proxies in (cluster.to_workers, cluster.to_gateway):
            proxies["jobs_db"].restore()
        recovery = witness.wait_for_end()
        witness.check("ledger slow by 0.2 s", injected=1, recovery=recovery, bound=bounds.LOST_MESSAGES)
    assert failures(cluster) == 0
