"""Too much at once, large before small, and ending what is just ending."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from shared.job_states import ChunkRef, JobState, Order
from shared.repositories.chunks import ChunkRepository
from tests.faults import bounds
from tests.faults.cluster import Cluster
from tests.faults.report import Row
from tests.faults.sample import stranger
from tests.faults.witness import Witness
from tests.platform import Platform, wait_for


@pytest.mark.faults
@pytest.mark.parametrize(
    ("full", "status", "problem"),
    [("queue_users", 503, "queue-full"), ("caller_users", 429, "too-much-at-once")],
    ids=["the-queue", "a-callers-share"],
)
def test_there_is_no_room(cluster: Cluster, report: list[Row], full: str, status: int, problem: str) -> None:
    """More users than open jobs, or those of one caller, may have: refused with Retry-After, and nothing of it is
    kept; a smaller job is accepted, and after the drain the refused one, too."""
    cluster.restart_gateway(**{full: 500})
    with Witness(cluster, report) as witness:
        with cluster.held_chunks():
            assert witness.submit(cluster.users).status == 202  # 400
            refused = [witness.submit(cluster.users[:200]) for _ in range(20)]
            assert {(answer.status, answer.body["type"]) for answer in refused} == {(status, f"/problems/{problem}")}
            assert witness.submit(cluster.users[:100]).status == 202
        witness.wait_for_end()
        drained = time.monotonic()
        assert witness.submit(cluster.users[:200]).status == 202
        recovery = time.monotonic() - drained
        witness.check(problem.replace("-", " "), injected=20, recovery=recovery, bound=bounds.ANSWER)


@pytest.mark.faults
def test_a_small_job_is_not_stuck_behind_a_large_one(cluster: Cluster, report: list[Row]) -> None:
    """A job of 100 users, submitted behind one of 5,000, ends when that has hardly begun."""
    with Witness(cluster, report) as witness:
        large = witness.submit(map(stranger, range(5_000))).body["job_id"]
        wait_for(lambda: cluster.chunks("done") > 0)
        small = witness.submit(cluster.users[:100]).body["job_id"]
        seconds = witness.wait_for_end(small)
        assert witness.look(large).body["done"] < 2500
        witness.wait_for_end()
        witness.check("100 users behind 5,000", injected=1, recovery=seconds, bound=bounds.BUSY)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("races", [50, pytest.param(1000, marks=pytest.mark.faults)])
def test_a_job_is_cancelled_in_the_moment_of_its_completion(platform: Platform, report: list[Row], races: int) -> None:
    """A cancel and the last close meet at the ledger: one of them wins, both see the same, and it stays so."""
    parts = platform.parts()
    chunks = ChunkRepository(parts.ledger)
    winners: Counter[JobState] = Counter()
    wrong = 0
    slowest = 0.0
    with ThreadPoolExecutor(1) as other:
        for _ in range(races):
            job_id = parts.jobs.submit(Order([uuid4()], 1)).job_id
            claim = chunks.claim(ChunkRef(job_id, 0), worker="a", lease_seconds=60)
            assert claim is not None
            together = threading.Barrier(2)

            def cancel(job_id: UUID = job_id, together: threading.Barrier = together) -> JobState:
                together.wait()
                return parts.jobs.cancel(job_id).state

            asked = time.monotonic()
            cancelling = other.submit(cancel)
            together.wait()
            closed = chunks.close(claim)
            state = cancelling.result()
            slowest = max(slowest, time.monotonic() - asked)
            winners[state] += 1
            again = [chunks.close(claim), parts.jobs.cancel(job_id).state, parts.jobs.get(job_id).state]
            wrong += closed != (state == JobState.COMPLETED) or again != [False, state, state]
    report.append(Row("cancel meets completion, in one process", races, races, 0, wrong, 0.0, races, slowest))
    assert wrong == 0
    assert set(winners) == {JobState.CANCELLED, JobState.COMPLETED}, f"no race: {winners}"


@pytest.mark.faults
def test_jobs_are_cancelled_while_they_run(cluster: Cluster, report: list[Row], draw: random.Random) -> None:
    """Cancels at random moments of forty jobs' lives: what the cancel answers is how the job stays, its progress
    included."""
    with Witness(cluster, report) as witness:
        ends: Counter[str] = Counter()
        for _ in range(40):
            job_id = witness.submit(draw.sample(cluster.users, 100)).body["job_id"]
            time.sleep(draw.uniform(0, 0.4))  # the random moment
            cancelled = witness.cancel(job_id).body
            ends[cancelled["state"]] += 1
            assert witness.look(job_id).body == cancelled
        witness.check("cancel while a job runs", injected=40, recovery=0.0, bound=bounds.BUSY, ends=ends)
