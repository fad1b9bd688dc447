"""Upkeep: whatever is lost on the way, an accepted job comes to its end, and is forgotten in time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from demo.servers import Valkey
from shared.contracts import WORK_QUEUE
from shared.errors import BrokerUnavailable, InvalidRequest, JobNotFound, SlowStatement
from shared.job_states import Announce, ChunkRef, Job, JobState, Order
from shared.migrations import steps
from shared.parts import Parts
from shared.repositories.chunks import ChunkRepository
from tests.platform import Platform

WORKER, JUDGE = "the worker", "the judge"
SILENCE = 20  # s


@pytest.fixture
def parts(platform: Platform) -> Parts:
    platform.title("A title", "Drama")
    return platform.parts(chunk_users=1, chunks_in_flight=3)


@pytest.fixture
def chunks(parts: Parts) -> ChunkRepository:
    return ChunkRepository(parts.ledger)


@pytest.fixture
def job(parts: Parts) -> Job:
    """Three chunks, all on the queue."""
    return parts.jobs.submit(Order([uuid4() for _ in range(3)], 5))


def work(parts: Parts, job: Job, *numbers: int) -> list[bool]:
    return [parts.jobs.work(ChunkRef(job.job_id, number), WORKER) for number in numbers]


def pass_time(platform: Platform, seconds: float, *columns: str) -> None:
    """Let it be later: everything the ledger noted was so much earlier."""
    for column in columns:
        table, name = column.split(".")
        platform.sql("jobs_db", f"UPDATE {table} SET {name} = {name} - make_interval(secs => %s)", seconds)


class TestLostMessages:
    def test_what_is_on_the_queue_is_left_alone_for_a_while(self, parts: Parts, job: Job) -> None:
        assert parts.upkeep.round(JUDGE) == {}

    def test_a_wiped_queue_is_filled_again(self, platform: Platform, parts: Parts, job: Job) -> None:
        with redis.Redis.from_url(platform.broker_url) as queue:
            queue.flushdb()
            pass_time(platform, 31, "job_chunks.due_at")
            assert parts.upkeep.round(JUDGE) == {"chunks published again": 3}
            assert queue.llen(WORK_QUEUE) == 3

    def test_each_time_it_waits_twice_as_long(self, platform: Platform, parts: Parts, job: Job) -> None:
        for expected in (60, 120, 240):
            pass_time(platform, 4000, "job_chunks.due_at")
            parts.upkeep.round(JUDGE)
            [(pause,)] = platform.sql(
                "jobs_db", "SELECT round(extract(epoch FROM min(due_at) - now())) FROM job_chunks"
            )
            assert expected - 2 <= pause <= expected

    def test_a_job_accepted_while_the_broker_is_down_is_published_when_it_is_back(
        self, platform: Platform, tmp_path: Path
    ) -> None:
        with Valkey(tmp_path / "broker", appendonly=False) as broker:
            parts = platform.parts(chunk_users=1, broker_url=broker.url(0))
            broker.stop()
            job = parts.jobs.submit(Order([uuid4() for _ in range(3)], 5))
            assert job.state == JobState.ACCEPTED
            pass_time(platform, 10, "job_chunks.due_at")
            with pytest.raises(BrokerUnavailable):
                parts.upkeep.round(JUDGE)
            broker.start()
            pass_time(platform, 10, "job_chunks.due_at")
            assert parts.upkeep.round(JUDGE) == {"chunks published again": 3}
            with redis.Redis.from_url(broker.url(0)) as queue:
                assert queue.llen(WORK_QUEUE) == 3

    def test_a_broker_that_is_down_keeps_no_job_from_expiring(self, platform: Platform) -> None:
        parts = platform.parts(broker_url="redis://127.0.0.1:1/0")
        job = parts.jobs.submit(Order([uuid4()], 5, datetime.now(UTC)))
        with pytest.raises(BrokerUnavailable):
            parts.jobs.submit(Order([uuid4()], 5))
            pass_time(platform, 10, "job_chunks.due_at")
            parts.upkeep.round(JUDGE)
        assert parts.jobs.get(job.job_id).state == JobState.EXPIRED

    def test_a_step_that_takes_too_long_keeps_no_other_from_being_done(
        self, platform: Platform, parts: Parts, job: Job, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def too_long() -> int:
            raise SlowStatement("jobs_db", "no answer within 2 s")

        monkeypatch.setattr(parts.upkeep._publishing, "waiting", too_long)
        pass_time(platform, 100, "job_chunks.due_at")
        with pytest.raises(SlowStatement):
            parts.upkeep.round(JUDGE)
        with redis.Redis.from_url(platform.broker_url) as queue:
            assert queue.llen(WORK_QUEUE) == 6  # the three that had been lost were published again

    def test_any_number_of_workers_publish_each_chunk_once(self, platform: Platform, parts: Parts, job: Job) -> None:
        pass_time(platform, 31, "job_chunks.due_at")
        with ThreadPoolExecutor(4) as pool:
            rounds = list(pool.map(lambda number: parts.upkeep.round(f"worker {number}"), range(4)))
        assert sum(done.get("chunks published again", 0) for done in rounds) == 3


class TestDeadWorkers:
    def test_a_lease_that_is_over_ends(
        self, platform: Platform, parts: Parts, chunks: ChunkRepository, job: Job
    ) -> None:
        claim = chunks.claim(ChunkRef(job.job_id, 1), worker=WORKER, lease_seconds=0)
        assert parts.upkeep.round(JUDGE) == {"chunks taken from dead workers": 1, "chunks published": 1}
        assert not chunks.close(claim)
        assert work(parts, job, 0, 1, 2) == [True] * 3
        assert parts.jobs.get(job.job_id).state == JobState.COMPLETED

    def test_a_worker_not_heard_of_loses_its_chunks_long_before(
        self, platform: Platform, parts: Parts, chunks: ChunkRepository, job: Job
    ) -> None:
        parts.workers.beat(WORKER)
        parts.workers.beat(JUDGE)
        chunks.claim(ChunkRef(job.job_id, 1), worker=WORKER, lease_seconds=3600)
        for _ in range(3):
            assert parts.upkeep.round(JUDGE) == {}
            pass_time(platform, 7, "workers.seen_at", "workers.awake_since")
            parts.workers.beat(JUDGE)
        assert parts.upkeep.round(JUDGE) == {"chunks taken from dead workers": 1, "chunks published": 1}

    @pytest.mark.parametrize("judge_beats_first", [False, True])
    def test_after_a_pause_of_the_database_nobody_is_taken_for_dead_who_beat_shortly_before_the_judge(
        self, platform: Platform, parts: Parts, chunks: ChunkRepository, job: Job, judge_beats_first: bool
    ) -> None:
        parts.workers.beat(WORKER)
        chunks.claim(ChunkRef(job.job_id, 1), worker=WORKER, lease_seconds=3600)
        pass_time(platform, 4, "workers.seen_at")
        parts.workers.beat(JUDGE)
        pass_time(platform, 300, "workers.awake_since")
        pass_time(platform, SILENCE - 2, "workers.seen_at")
        if judge_beats_first:
            parts.workers.beat(JUDGE)
        assert parts.upkeep.round(JUDGE) == {}

    def test_after_a_failure_of_the_database_nobody_is_taken_for_dead_too_soon(
        self, platform: Platform, parts: Parts, chunks: ChunkRepository, job: Job
    ) -> None:
        parts.workers.beat(WORKER)
        parts.workers.beat(JUDGE)
        chunks.claim(ChunkRef(job.job_id, 1), worker=WORKER, lease_seconds=3600)
        pass_time(platform, 300, "workers.seen_at", "workers.awake_since")
        assert parts.upkeep.round(JUDGE) == {}
        parts.workers.beat(WORKER)
        assert work(parts, job, 0, 2) == [True] * 2

    def test_a_chunk_whose_workers_die_three_times_is_dead_and_the_job_over(
        self, parts: Parts, chunks: ChunkRepository, job: Job
    ) -> None:
        assert work(parts, job, 0, 2) == [True] * 2
        for _ in range(3):
            assert chunks.claim(ChunkRef(job.job_id, 1), worker=WORKER, lease_seconds=0)
            parts.upkeep.round(JUDGE)
        job = parts.jobs.get(job.job_id)
        assert (job.state, job.done, job.failed) == (JobState.COMPLETED_WITH_ERRORS, 2, 1)
        assert job.problem.detail == "1 of 3 users failed: its worker died, or took longer than its lease"

    def test_a_worker_that_stops_is_no_longer_counted(self, parts: Parts) -> None:
        parts.workers.beat(WORKER)
        assert parts.workers.alive() == 1
        parts.workers.leave(WORKER)
        assert parts.workers.alive() == 0

    def test_workers_of_former_times_are_forgotten(self, platform: Platform, parts: Parts) -> None:
        parts.workers.beat(WORKER)
        pass_time(platform, 3590, "workers.seen_at")
        assert parts.upkeep.round(JUDGE) == {}
        pass_time(platform, 20, "workers.seen_at")
        assert parts.upkeep.round(JUDGE) == {"gone workers forgotten": 1}
        assert platform.sql("jobs_db", "SELECT name FROM workers") == []


class TestEnds:
    def test_past_its_deadline_a_job_expires_and_what_was_done_can_be_read(
        self, platform: Platform, parts: Parts, job: Job
    ) -> None:
        work(parts, job, 0)
        pass_time(platform, 90_000, "jobs.deadline")
        assert parts.upkeep.round(JUDGE)["jobs expired"] == 1
        ended = parts.jobs.get(job.job_id)
        assert (ended.state, ended.done, ended.problem.kind) == (JobState.EXPIRED, 1, "job-expired")
        assert sum(map(len, parts.results.stream(job.job_id))) == 1
        assert work(parts, job, 1) == [False]
        assert parts.jobs.cancel(job.job_id).state == JobState.EXPIRED

    def test_a_job_is_forgotten_after_its_time_with_all_that_belongs_to_it(
        self, platform: Platform, parts: Parts, job: Job
    ) -> None:
        parts.jobs.submit(Order([uuid4()], 5), idempotency_key="kept")
        work(parts, job, 0, 1, 2)
        parts.jobs.reject(uuid4(), InvalidRequest("no"), Announce())
        pass_time(platform, 604_700, "jobs.finished_at")
        assert "old jobs removed" not in parts.upkeep.round(JUDGE)
        pass_time(platform, 200, "jobs.finished_at")
        assert parts.upkeep.round(JUDGE)["old jobs removed"] == 2
        with pytest.raises(JobNotFound):
            parts.jobs.get(job.job_id)
        assert platform.sql("jobs_db", "SELECT count(*) FROM jobs") == [(1,)]
        assert platform.sql("jobs_db", "SELECT count(*) FROM job_chunks") == [(1,)]

    @pytest.mark.parametrize("end", ["cancel", "deadline", "work", "reject"])
    def test_however_a_job_ends_its_end_is_put_down_for_announcing_once(
        self, platform: Platform, parts: Parts, end: str
    ) -> None:
        announce = Announce(reply_to="recommendations.reply.here")
        job_id = uuid4()
        if end == "reject":
            parts.jobs.reject(job_id, InvalidRequest("no"), announce)
        else:
            deadline = datetime.now(UTC) + timedelta(seconds=0 if end == "deadline" else 60)
            job = parts.jobs.submit(Order([uuid4()], 5, deadline, announce), job_id=job_id)
            assert platform.sql("jobs_db", "SELECT count(*) FROM announcements") == [(0,)]
            {
                "cancel": lambda: parts.jobs.cancel(job_id),
                "deadline": lambda: parts.upkeep.round(JUDGE),
                "work": lambda: work(parts, job, 0),
            }[end]()
        parts.jobs.cancel(job_id)
        assert platform.sql("jobs_db", "SELECT job_id, kind FROM announcements") == [(str(job_id), "reply_to")]


class TestSchema:
    @pytest.fixture(autouse=True)
    def nothing_yet(self, platform: Platform) -> None:
        platform.drop_ledger()

    def test_it_is_made_once_by_many_processes_at_the_same_time(self, platform: Platform) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: platform.parts(), range(4)))
        assert platform.sql("jobs_db", "SELECT version FROM schema_version ORDER BY version") == [
            (step,) for step in steps()
        ]

    def test_a_database_of_a_newer_release_is_refused(self, platform: Platform) -> None:
        platform.parts()
        platform.sql("jobs_db", "INSERT INTO schema_version VALUES (99)")
        with pytest.raises(Exception, match="schema version 99"):
            platform.parts()

    def test_open_jobs_of_the_release_before_are_taken_over(self, platform: Platform) -> None:
        platform.title("A title", "Drama")
        platform.sql("jobs_db", steps()[1])
        platform.sql("jobs_db", "CREATE TABLE schema_version (version int PRIMARY KEY)")
        platform.sql("jobs_db", "INSERT INTO schema_version VALUES (1)")
        ended, opened = uuid4(), uuid4()
        for job_id, state, problem in [(ended, "failed", "engagement_db is gone"), (opened, "running", None)]:
            platform.sql(
                "jobs_db",
                "INSERT INTO jobs (job_id, state, title_limit, total, fingerprint, problem, finished_at) "
                "VALUES (%s, %s, 5, 3, '', %s, CASE WHEN %s = 'failed' THEN now() END)",
                str(job_id), state, problem, state,
            )  # fmt: skip
        for number, state, publications in [(0, "ready", 0), (1, "ready", 1), (2, "running", 1)]:
            platform.sql(
                "jobs_db",
                "INSERT INTO job_chunks (job_id, chunk_no, user_ids, users, state, publications, lease_until) "
                "VALUES (%s, %s, ARRAY[%s]::uuid[], 1, %s, %s, CASE WHEN %s = 'running' THEN now() END)",
                str(opened), number, str(uuid4()), state, publications, state,
            )  # fmt: skip
        parts = platform.parts()
        assert parts.jobs.get(ended).problem.detail == "engagement_db is gone"
        parts.upkeep.round(JUDGE)
        assert work(parts, parts.jobs.get(opened), 0, 1, 2) == [True] * 3
        assert parts.jobs.get(opened).state == JobState.COMPLETED
