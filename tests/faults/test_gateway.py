"""The gateway dies while it takes a job, at each moment that counts. The caller asks again with the same key."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.faults import bounds
from tests.faults.cluster import Cluster
from tests.faults.proxy import Proxy
from tests.faults.report import Row
from tests.faults.witness import Witness
from tests.platform import wait_for

KEY = "the-same-key"


@dataclass(frozen=True)
class Moment:
    """When the gateway is killed: as it sends this, which never arrives."""

    server: str
    sends: bytes
    jobs: int  # in the ledger by then


MOMENTS = {
    "before the commit": Moment("jobs_db", b"COMMIT", 0),
    "between commit and publish": Moment("jobs_db", b"SET state = 'queued'", 1),
    "within the publish": Moment("broker", b"recommendations.chunk.v1", 1),
    "between publish and reply": Moment("jobs_db", b"WHERE job.job_id =", 1),
}
SHORT_SET = "between commit and publish"


def jobs(cluster: Cluster) -> int:
    return cluster.platform.sql("jobs_db", "SELECT count(*) FROM jobs")[0][0]


@pytest.fixture
def caller() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.mark.parametrize(
    "when", [pytest.param(when, marks=[] if when == SHORT_SET else pytest.mark.faults) for when in MOMENTS]
)
def test_the_gateway_is_killed(cluster: Cluster, report: list[Row], caller: ThreadPoolExecutor, when: str) -> None:
    """kill -9 of the whole gunicorn: the caller gets no answer, asks again with the same Idempotency-Key, and finds the
    same job, or makes it; there is exactly one, and it is completed."""
    moment = MOMENTS[when]
    proxy: Proxy = cluster.to_gateway[moment.server]
    with Witness(cluster, report, gateway_dies=True) as witness:
        seen: threading.Event = proxy.hold(moment.sends)
        unanswered = caller.submit(witness.submit, cluster.users, key=KEY)
        assert seen.wait(bounds.ANSWER)
        cluster.gateway.kill()
        killed = time.monotonic()
        assert unanswered.result().status == 0
        proxy.restore()
        wait_for(lambda: jobs(cluster) == moment.jobs)
        cluster.start_gateway()
        cluster.wait_until_ready()
        found = [witness.submit(cluster.users, key=KEY) for _ in range(3)]
        assert {answer.status for answer in found} == {202}
        assert len({answer.body["job_id"] for answer in found}) == 1
        witness.wait_for_end()
        recovery = time.monotonic() - killed
        witness.check(f"gateway killed {when}", injected=1, recovery=recovery, bound=bounds.NO_GATEWAY)
    assert jobs(cluster) == 1


@pytest.mark.faults
def test_the_answer_to_a_commit_is_lost(cluster: Cluster, report: list[Row]) -> None:
    """The job is written, but the gateway never hears of it: the caller is told to come back, and with the same
    Idempotency-Key finds the job."""
    proxy = cluster.to_gateway["jobs_db"]
    with Witness(cluster, report, bound=bounds.ANSWER_WITHOUT_LEDGER) as witness:
        witness.submit(cluster.users[:20])  # so that a connection is there
        proxy.swallow(requests=False)
        assert witness.submit(cluster.users, key=KEY).status == 503
        proxy.restore()
        wait_for(lambda: witness.submit(cluster.users, key=KEY).status == 202, bounds.LEDGER_BACK)
        recovery = witness.wait_for_end()
        witness.check("answer to the commit lost", injected=1, recovery=recovery, bound=bounds.LEDGER_BACK)
