"""The worker as a process: how it ends, and what it does when the processes of its pool do."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import pytest
import redis
from celery import Celery

from demo.process import Process
from demo.servers import Postgres, Valkey
from shared.contracts import BATCH_TASK, QUEUE, WORK_QUEUE
from shared.job_states import Job, JobState, Order
from shared.parts import Parts
from tests.platform import Platform, wait_for
from tests.processes import WorkerProcess

MARGIN = 5.0  # s after the grace, at the very most


@pytest.fixture(scope="module")
def platform(postgres: Postgres, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(postgres, valkey, tmp_path_factory.mktemp("worker") / "models", prefix="worker_", redis_db=8)
    platform.title("A title", "Drama")
    yield platform
    platform.close()


@pytest.fixture(scope="module")
def parts(platform: Platform) -> Parts:
    return platform.parts(chunk_users=1)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "worker.log"


def submit(parts: Parts, users: int = 1) -> Job:
    return parts.jobs.submit(Order([uuid4() for _ in range(users)], 5))


def chunks(platform: Platform, job: Job) -> list[tuple[str, int, str | None]]:
    """State, failures and problem of each chunk."""
    statement = "SELECT state, failures, problem FROM job_chunks WHERE job_id = %s ORDER BY chunk_no"
    rows = platform.sql("jobs_db", statement, str(job.job_id))
    return [(state, failures, problem) for state, failures, problem in rows]


def were_given_back(platform: Platform, job: Job) -> bool:
    """Whether its chunks may be taken by anybody, and nothing is held against them."""
    return all(state in ("waiting", "queued") and failures == 0 for state, failures, _ in chunks(platform, job))


def are_running(platform: Platform, job: Job, count: int = 1) -> bool:
    return [state for state, *_ in chunks(platform, job)].count("running") == count


def is_over(parts: Parts, job_id: UUID, state: JobState = JobState.COMPLETED) -> bool:
    rows = parts.ledger.fetch("SELECT state FROM jobs WHERE job_id = %(id)s", id=job_id)
    return rows == [(state,)]


@contextmanager
def chunks_held(platform: Platform) -> Iterator[None]:
    """Meanwhile a chunk that is begun does not come to its end."""
    with platform.locked("user_db", "tb_user_genre"):
        yield


def told(worker: WorkerProcess, number: signal.Signals = signal.SIGTERM, *, everyone: bool = False) -> float:
    """Tell a worker to stop, everyone: with all of its processes; when that was."""
    at = time.monotonic()
    for process in [psutil.Process(worker.process.pid), *(worker.pool() if everyone else ())]:
        process.send_signal(number)
    return at


def publish(platform: Platform, job_id: UUID, users: int = 1) -> None:
    """Put a batch on the queue, as another service would."""
    arguments = {"job_id": str(job_id), "user_ids": [str(uuid4()) for _ in range(users)]}
    Celery(broker=platform.broker_url, set_as_current=False).send_task(BATCH_TASK, kwargs=arguments, queue=QUEUE)


class TestStopping:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_what_runs_is_finished_and_nothing_new_is_begun(
        self, platform: Platform, parts: Parts, log: Path, number: signal.Signals
    ) -> None:
        """Long before the grace is over, and also when its processes get the signal, as by Ctrl-C."""
        with WorkerProcess(platform, log, worker_concurrency=2, grace_seconds=60) as worker:
            with chunks_held(platform):
                job = submit(parts, users=2)
                wait_for(lambda: are_running(platform, job, 2))
                told(worker, number, everyone=True)
                wait_for(lambda: "told to stop" in worker.log())
                later = submit(parts)
            assert worker.process.wait(20) == 0
        assert is_over(parts, job.job_id)
        assert chunks(platform, later) == [("queued", 0, None)]
        parts.jobs.cancel(later.job_id)

    def test_what_is_not_finished_within_the_grace_is_given_back_and_somebody_else_does_it(
        self, platform: Platform, parts: Parts, log: Path
    ) -> None:
        with WorkerProcess(platform, log, worker_concurrency=2, grace_seconds=1) as worker, chunks_held(platform):
            job = submit(parts, users=2)
            wait_for(lambda: are_running(platform, job, 2))
            at = told(worker)
            assert worker.process.wait(20) == 0
            assert 1 <= time.monotonic() - at <= 1 + MARGIN
            assert were_given_back(platform, job)
        with redis.Redis.from_url(platform.broker_url) as queue:
            assert queue.llen(WORK_QUEUE) >= 2
            assert queue.hlen("unacked") == 0
        assert parts.workers.alive() == 0
        with WorkerProcess(platform, log.with_name("other.log")):
            wait_for(lambda: is_over(parts, job.job_id), 10)
        assert chunks(platform, job) == [("done", 0, None)] * 2

    def test_a_second_signal_gives_back_at_once(self, platform: Platform, parts: Parts, log: Path) -> None:
        with WorkerProcess(platform, log, grace_seconds=60) as worker, chunks_held(platform):
            job = submit(parts)
            wait_for(lambda: are_running(platform, job))
            told(worker)
            wait_for(lambda: "told to stop" in worker.log())
            at = told(worker)
            assert worker.process.wait(20) == 0
            assert time.monotonic() - at <= MARGIN
            assert were_given_back(platform, job)
        parts.jobs.cancel(job.job_id)

    def test_neither_a_process_that_hangs_nor_a_broker_that_stalls_keeps_it(
        self, platform: Platform, parts: Parts, tmp_path: Path, log: Path
    ) -> None:
        with ExitStack() as stack:
            broker = stack.enter_context(Valkey(tmp_path / "broker", appendonly=False))
            parts = platform.parts(chunk_users=1, broker_url=broker.url())
            worker = stack.enter_context(WorkerProcess(platform, log, broker_url=broker.url(), grace_seconds=1))
            with chunks_held(platform):
                job = submit(parts)
                wait_for(lambda: are_running(platform, job))
                for process in worker.pool():
                    process.suspend()
                broker.pause()
                at = told(worker)
                assert worker.process.wait(20) == 0
                assert time.monotonic() - at <= 1 + MARGIN
                assert were_given_back(platform, job)
                broker.resume()
        parts.jobs.cancel(job.job_id)

    def test_one_that_cannot_reach_its_broker_ends_too(self, platform: Platform, log: Path) -> None:
        worker = WorkerProcess(platform, log, broker_url="redis://127.0.0.1:1/0", grace_seconds=1)
        try:
            wait_for(lambda: "Cannot connect" in worker.log())
            at = told(worker)
            assert worker.process.wait(20) == 0
            assert time.monotonic() - at <= 1 + MARGIN
        finally:
            worker.process.stop()


def test_a_chunk_that_hangs_is_ended_before_its_lease_is(platform: Platform, parts: Parts, log: Path) -> None:
    with WorkerProcess(platform, log, worker_concurrency=1, lease_seconds=4) as worker:
        [process] = worker.pool()
        process.suspend()
        with chunks_held(platform):
            process.resume()
            job = submit(parts)
            wait_for(lambda: are_running(platform, job))
            process.suspend()
            wait_for(lambda: chunks(platform, job)[0][1] == 1)
            assert chunks(platform, job)[0][2] == "it took longer than 3.6 s"
        wait_for(lambda: is_over(parts, job.job_id))


@pytest.fixture(scope="module")
def staying(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker that nothing ends, alone from here on. Leases are long: it is not them that bring a chunk back."""
    log = tmp_path_factory.mktemp("staying") / "worker.log"
    with WorkerProcess(platform, log, worker_concurrency=2, beat_seconds=1, queue_users=4, caller_users=3) as worker:
        yield worker
        assert worker.process.running
        assert worker.log().count("is ready: ") == 1


def kill_pool(worker: WorkerProcess) -> None:
    """SIGKILL its processes, and wait until there are others."""
    victims = worker.pool()
    for process in victims:
        process.kill()
    wait_for(lambda: len(set(worker.pool()) - set(victims)) == len(victims))


def test_a_batch_outlives_the_time_limit_of_its_pause_before_it_goes_back(
    platform: Platform, parts: Parts, log: Path
) -> None:
    """The soft limit, 1.5 s here, ends the pause and not the message."""
    job_id = uuid4()
    with WorkerProcess(platform, log, lease_seconds=2, retry_pause_seconds=4) as worker:
        with platform.down("jobs_db"):
            publish(platform, job_id)
            wait_for(lambda: worker.log().count("goes back on the queue") >= 2, 20)  # it came again
        wait_for(lambda: is_over(parts, job_id), 20)


def test_a_worker_older_than_the_ledger_does_not_start(platform: Platform, parts: Parts, log: Path) -> None:
    platform.sql("jobs_db", "INSERT INTO schema_version VALUES (99)")
    try:
        worker = Process([Path(sys.executable), "-m", "worker", "run"], log=log, environment=platform.environment())
        assert worker.wait(30) == 1
        assert "worker: " in worker.log_tail()
        assert "schema version 99" in worker.log_tail()
    finally:
        platform.sql("jobs_db", "DELETE FROM schema_version WHERE version = 99")


class TestProcessesThatDie:
    def test_a_chunk_whose_process_is_killed_is_done_again_at_once(
        self, platform: Platform, parts: Parts, staying: WorkerProcess
    ) -> None:
        with chunks_held(platform):
            job = submit(parts)
            wait_for(lambda: are_running(platform, job))
            kill_pool(staying)
            wait_for(lambda: chunks(platform, job)[0][1] == 1, 5)
        wait_for(lambda: is_over(parts, job.job_id), 10)

    def test_one_that_kills_its_process_three_times_is_dead_and_the_next_job_runs(
        self, platform: Platform, parts: Parts, staying: WorkerProcess
    ) -> None:
        with chunks_held(platform):
            job = submit(parts)
            for failures in range(3):
                wait_for(lambda n=failures: are_running(platform, job) and chunks(platform, job)[0][1] == n)
                kill_pool(staying)
            wait_for(lambda: is_over(parts, job.job_id, JobState.FAILED), 5)
        [(state, failures, problem)] = chunks(platform, job)
        assert (state, failures) == ("dead", 3)
        assert problem == "Worker exited prematurely: signal 9 (SIGKILL)"
        following = submit(parts)
        wait_for(lambda: is_over(parts, following.job_id), 10)

    def test_a_batch_whose_process_is_killed_before_it_is_in_the_ledger_is_not_lost(
        self, platform: Platform, parts: Parts, staying: WorkerProcess
    ) -> None:
        job_id = uuid4()
        with platform.locked("jobs_db", "jobs"):
            publish(platform, job_id)
            wait_for(lambda: f"{BATCH_TASK}[" in staying.log())
            kill_pool(staying)
        wait_for(lambda: is_over(parts, job_id), 10)

    def test_a_batch_waits_on_the_queue_while_the_ledger_is_down(
        self, platform: Platform, parts: Parts, staying: WorkerProcess
    ) -> None:
        job_id = uuid4()
        with platform.down("jobs_db"):
            publish(platform, job_id)
            wait_for(lambda: staying.log().count("goes back on the queue") >= 2)
        wait_for(lambda: is_over(parts, job_id), 20)

    def test_a_batch_waits_on_the_queue_while_the_ledger_is_full_and_chunks_run_meanwhile(
        self, platform: Platform, parts: Parts, staying: WorkerProcess
    ) -> None:
        """Its chunks are what makes room; QUEUE_USERS is 4 here."""
        with chunks_held(platform):
            job = submit(parts, users=3)
            wait_for(lambda: are_running(platform, job, 2))
            waiting = [uuid4() for _ in range(3)]
            for job_id in waiting:
                publish(platform, job_id, users=3)
        wait_for(lambda: all(is_over(parts, job_id) for job_id in [job.job_id, *waiting]), 30)

    def test_all_publishers_together_have_one_callers_share_and_leave_the_rest_to_others(
        self, platform: Platform, parts: Parts, staying: WorkerProcess
    ) -> None:
        """CALLER_USERS is 3 here: the second batch waits, though the ledger has room for one user more."""
        first, second, put_back = uuid4(), uuid4(), staying.log().count("3 of one caller may be")
        with chunks_held(platform):
            publish(platform, first, users=3)
            wait_for(lambda: is_over(parts, first, JobState.RUNNING))
            publish(platform, second, users=1)
            wait_for(lambda: staying.log().count("3 of one caller may be") > put_back)
        wait_for(lambda: is_over(parts, first) and is_over(parts, second), 20)

    def test_the_same_id_with_another_request_changes_nothing(
        self, platform: Platform, parts: Parts, staying: WorkerProcess
    ) -> None:
        job = submit(parts)
        wait_for(lambda: is_over(parts, job.job_id))
        publish(platform, job.job_id)
        wait_for(lambda: f"a message with the id of job {job.job_id} is ignored" in staying.log())
        assert is_over(parts, job.job_id)

    def test_a_lost_connection_to_the_broker_does_not_end_a_chunk_or_cost_a_slot(
        self, platform: Platform, parts: Parts, staying: WorkerProcess
    ) -> None:
        with redis.Redis.from_url(platform.broker_url) as queue:
            for number in range(3):
                with chunks_held(platform):
                    job = submit(parts)
                    wait_for(lambda job=job: are_running(platform, job))
                    ours, database = queue.client_info()["id"], queue.connection_pool.connection_kwargs["db"]
                    for client in queue.client_list():
                        if int(client["db"]) == database and int(client["id"]) != ours:
                            queue.client_kill_filter(_id=client["id"])
                    wait_for(lambda n=number: staying.log().count("Connection to broker lost") == n + 1)
                wait_for(lambda job=job: is_over(parts, job.job_id), 10)
                assert chunks(platform, job) == [("done", 0, None)]
