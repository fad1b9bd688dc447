"""The ledger: what is accepted is done once, whoever dies and whatever is sent twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
import redis

from demo.servers import Valkey
from shared.contracts import QUEUE
from shared.errors import (
    IdempotencyMismatch,
    JobNotFound,
    ResultsExpired,
    ResultsNeverCame,
    ResultsNotReady,
)
from shared.job_states import ChunkRef, JobState
from shared.jobs import Jobs, Position
from shared.parts import Parts
from tests.platform import Platform


@pytest.fixture
def users(platform: Platform) -> list[UUID]:
    """Twenty-five users, each with a taste; ten to a chunk makes three chunks."""
    titles = [platform.title(f"T{i}", "Drama" if i % 2 else "War") for i in range(12)]
    users = [uuid4() for _ in range(25)]
    for place, user in enumerate(users):
        platform.like(user, titles[place % 12], titles[(place * 5 + 1) % 12])
    platform.train()
    return users


@pytest.fixture
def parts(platform: Platform, users: list[UUID]) -> Parts:
    return platform.parts(chunk_users=10)


def work_on_all(jobs: Jobs, job_id: UUID, chunks: int = 3) -> None:
    for number in range(chunks):
        assert jobs.work(ChunkRef(job_id, number))


def test_a_job_goes_from_accepted_through_running_to_completed(parts: Parts, users: list[UUID]) -> None:
    jobs = parts.jobs
    job = jobs.submit(users, limit=5)
    assert (job.state, job.total, job.done, job.failed) == (JobState.ACCEPTED, 25, 0, 0)
    jobs.work(ChunkRef(job.job_id, 1))
    job = jobs.get(job.job_id)
    assert (job.state, job.done) == (JobState.RUNNING, 10)
    jobs.work(ChunkRef(job.job_id, 0))
    jobs.work(ChunkRef(job.job_id, 2))
    job = jobs.get(job.job_id)
    assert (job.state, job.done, job.failed, job.problem) == (JobState.COMPLETED, 25, 0, None)
    assert job.created_at <= job.started_at <= job.finished_at < job.expires_at


def test_its_results_are_what_each_user_gets_alone(platform: Platform, parts: Parts, users: list[UUID]) -> None:
    job = parts.jobs.submit(users, limit=5)
    work_on_all(parts.jobs, job.job_id)
    pages = [page for chunk in parts.jobs.result_stream(job.job_id) for page in chunk]
    assert [page.user_id for page in pages] == users
    for page in pages:
        [alone] = parts.recommender.pages([page.user_id], limit=5, fresh=True).values()
        assert page == alone


def test_users_listed_twice_count_once(parts: Parts, users: list[UUID]) -> None:
    assert parts.jobs.submit([*users, *users, users[0]], limit=5).total == 25


def test_a_message_carries_no_user_ids(platform: Platform, parts: Parts, users: list[UUID]) -> None:
    parts.jobs.submit(users, limit=5)
    with redis.Redis.from_url(platform.broker_url) as queue:
        messages = queue.lrange(QUEUE, 0, -1)
    assert len(messages) == 3
    assert all(len(message) < 2000 for message in messages)


def test_a_chunk_is_done_once_however_often_its_message_comes(parts: Parts, users: list[UUID]) -> None:
    job = parts.jobs.submit(users, limit=5)
    done = [parts.jobs.work(ChunkRef(job.job_id, 0)) for _ in range(10)]
    assert done == [True] + [False] * 9
    assert parts.jobs.get(job.job_id).done == 10


def test_a_chunk_that_is_held_is_not_given_to_another(parts: Parts, users: list[UUID]) -> None:
    ref = ChunkRef(parts.jobs.submit(users, limit=5).job_id, 0)
    assert parts.ledger.claim(ref, lease_seconds=60)
    assert parts.ledger.claim(ref, lease_seconds=60) is None


def test_a_worker_that_lost_its_lease_can_no_longer_close_the_chunk(parts: Parts, users: list[UUID]) -> None:
    job = parts.jobs.submit(users, limit=5)
    ref = ChunkRef(job.job_id, 0)
    slow = parts.ledger.claim(ref, lease_seconds=0)
    quick = parts.ledger.claim(ref, lease_seconds=60)
    assert (slow.attempt, quick.attempt) == (1, 2)
    assert not parts.ledger.close(slow, result_seconds=60)
    assert parts.jobs.get(job.job_id).done == 0
    assert parts.ledger.close(quick, result_seconds=60)
    assert parts.jobs.get(job.job_id).done == 10


def test_the_last_two_chunks_closed_at_once_complete_the_job(parts: Parts, users: list[UUID]) -> None:
    for _ in range(10):
        job = parts.jobs.submit(users[:20], limit=5)
        claims = [parts.ledger.claim(ChunkRef(job.job_id, number), lease_seconds=60) for number in (0, 1)]
        together = threading.Barrier(2)

        def close(claim: object, together: threading.Barrier = together) -> bool:
            together.wait()
            return parts.ledger.close(claim, result_seconds=60)

        with ThreadPoolExecutor(2) as pool:
            assert all(pool.map(close, claims))
        assert parts.jobs.get(job.job_id).state == JobState.COMPLETED


class TestFailure:
    def test_a_chunk_that_cannot_be_read_for_is_given_back_and_done_later(
        self, platform: Platform, users: list[UUID]
    ) -> None:
        broken = platform.parts(chunk_users=100, engagement_db_url="postgresql://nobody@127.0.0.1:1/none")
        whole = platform.parts(chunk_users=100)
        job = broken.jobs.submit(users, limit=5)
        assert not broken.jobs.work(ChunkRef(job.job_id, 0))
        assert broken.jobs.get(job.job_id).state == JobState.RUNNING
        assert whole.jobs.work(ChunkRef(job.job_id, 0))
        assert whole.jobs.get(job.job_id).state == JobState.COMPLETED

    def test_after_three_attempts_a_chunk_is_dead_and_the_job_says_why(
        self, platform: Platform, users: list[UUID]
    ) -> None:
        broken = platform.parts(chunk_users=100, engagement_db_url="postgresql://nobody@127.0.0.1:1/none")
        job = broken.jobs.submit(users, limit=5)
        for _ in range(3):
            broken.jobs.work(ChunkRef(job.job_id, 0))
        job = broken.jobs.get(job.job_id)
        assert (job.state, job.done, job.failed) == (JobState.FAILED, 0, 25)
        assert "engagement_db" in job.problem
        with pytest.raises(ResultsNeverCame):
            broken.jobs.result_stream(job.job_id)

    def test_the_good_chunks_of_a_job_with_a_dead_one_keep_their_results(
        self, platform: Platform, parts: Parts, users: list[UUID]
    ) -> None:
        broken = platform.parts(chunk_users=10, engagement_db_url="postgresql://nobody@127.0.0.1:1/none")
        job = parts.jobs.submit(users, limit=5)
        for _ in range(3):
            broken.jobs.work(ChunkRef(job.job_id, 1))
        parts.jobs.work(ChunkRef(job.job_id, 0))
        parts.jobs.work(ChunkRef(job.job_id, 2))
        job = parts.jobs.get(job.job_id)
        assert (job.state, job.done, job.failed) == (JobState.COMPLETED_WITH_ERRORS, 15, 10)
        pages = [page.user_id for chunk in parts.jobs.result_stream(job.job_id) for page in chunk]
        assert pages == users[:10] + users[20:]
        paged, after = parts.jobs.result_page(job.job_id, Position(), 12)
        rest, end = parts.jobs.result_page(job.job_id, after, 12)
        assert [page.user_id for page in paged + rest] == pages
        assert end is None


class TestResults:
    def test_they_come_in_pages_of_any_size_each_user_once(self, parts: Parts, users: list[UUID]) -> None:
        job = parts.jobs.submit(users, limit=5)
        work_on_all(parts.jobs, job.job_id)
        for size in (1, 7, 10, 24, 25, 100):
            seen, position = [], Position()
            while position:
                pages, position = parts.jobs.result_page(job.job_id, position, size)
                assert 1 <= len(pages) <= size
                seen += [page.user_id for page in pages]
            assert seen == users

    def test_they_are_computed_again_when_redis_lost_them(
        self, platform: Platform, parts: Parts, users: list[UUID]
    ) -> None:
        job = parts.jobs.submit(users, limit=5)
        work_on_all(parts.jobs, job.job_id)
        before = list(parts.jobs.result_stream(job.job_id))
        with redis.Redis.from_url(platform.redis_url) as store:
            store.flushdb()
            assert list(parts.jobs.result_stream(job.job_id)) == before
            assert store.dbsize() == 3  # and kept again

    def test_every_one_of_them_has_a_life(self, platform: Platform, parts: Parts, users: list[UUID]) -> None:
        job = parts.jobs.submit(users, limit=5)
        work_on_all(parts.jobs, job.job_id)
        with redis.Redis.from_url(platform.redis_url) as store:
            assert [86_400 < store.ttl(key) <= 90_000 for key in store.scan_iter()] == [True] * 3

    def test_there_are_none_before_the_job_is_over(self, parts: Parts, users: list[UUID]) -> None:
        job = parts.jobs.submit(users, limit=5)
        parts.jobs.work(ChunkRef(job.job_id, 0))
        with pytest.raises(ResultsNotReady, match="10 of 25"):
            parts.jobs.result_page(job.job_id, Position(), 10)

    def test_there_are_none_after_their_time(self, platform: Platform, parts: Parts, users: list[UUID]) -> None:
        job = parts.jobs.submit(users, limit=5)
        work_on_all(parts.jobs, job.job_id)
        platform.sql("jobs_db", "UPDATE jobs SET expires_at = now() - interval '1 second'")
        with pytest.raises(ResultsExpired):
            parts.jobs.result_stream(job.job_id)


class TestIdempotence:
    def test_the_same_key_and_request_find_the_same_job(self, parts: Parts, users: list[UUID]) -> None:
        first = parts.jobs.submit(users, limit=5, idempotency_key="monday")
        assert parts.jobs.submit(users, limit=5, idempotency_key="monday").job_id == first.job_id

    @pytest.mark.parametrize("change", ["limit", "users"])
    def test_the_same_key_with_another_request_is_refused(self, parts: Parts, users: list[UUID], change: str) -> None:
        parts.jobs.submit(users, limit=5, idempotency_key="monday")
        with pytest.raises(IdempotencyMismatch):
            parts.jobs.submit(
                users[:-1] if change == "users" else users,
                limit=6 if change == "limit" else 5,
                idempotency_key="monday",
            )

    def test_of_many_at_once_one_makes_the_job(self, parts: Parts, users: list[UUID]) -> None:
        with ThreadPoolExecutor(4) as pool:
            jobs = list(pool.map(lambda _: parts.jobs.submit(users, limit=5, idempotency_key="race"), range(8)))
        assert len({job.job_id for job in jobs}) == 1

    def test_a_publishers_own_job_id_does_the_same(self, parts: Parts, users: list[UUID]) -> None:
        chosen = uuid4()
        assert parts.jobs.submit(users, limit=5, job_id=chosen).job_id == chosen
        assert parts.jobs.submit(users, limit=5, job_id=chosen).job_id == chosen
        with pytest.raises(IdempotencyMismatch):
            parts.jobs.submit(users, limit=6, job_id=chosen)


class TestCancel:
    def test_a_cancelled_job_is_worked_on_no_more(self, parts: Parts, users: list[UUID]) -> None:
        job = parts.jobs.submit(users, limit=5)
        parts.jobs.work(ChunkRef(job.job_id, 0))
        assert parts.jobs.cancel(job.job_id).state == JobState.CANCELLED
        assert not parts.jobs.work(ChunkRef(job.job_id, 1))
        assert parts.jobs.cancel(job.job_id).state == JobState.CANCELLED  # again changes nothing
        with pytest.raises(ResultsNeverCame):
            parts.jobs.result_stream(job.job_id)

    def test_a_completed_job_stays_completed(self, parts: Parts, users: list[UUID]) -> None:
        job = parts.jobs.submit(users, limit=5)
        work_on_all(parts.jobs, job.job_id)
        assert parts.jobs.cancel(job.job_id).state == JobState.COMPLETED

    def test_a_chunk_that_was_running_does_not_bring_the_job_back(self, parts: Parts, users: list[UUID]) -> None:
        job = parts.jobs.submit(users[:10], limit=5)
        claim = parts.ledger.claim(ChunkRef(job.job_id, 0), lease_seconds=60)
        parts.jobs.cancel(job.job_id)
        parts.ledger.close(claim, result_seconds=60)
        assert parts.jobs.get(job.job_id).state == JobState.CANCELLED

    def test_an_unknown_job_cannot_be_cancelled(self, parts: Parts) -> None:
        with pytest.raises(JobNotFound):
            parts.jobs.cancel(uuid4())


class TestBroker:
    def test_a_job_accepted_while_the_broker_is_down_is_published_when_it_is_back(
        self, platform: Platform, users: list[UUID], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        with Valkey(tmp_path_factory.mktemp("broker") / "data", appendonly=False) as broker:
            parts = platform.parts(chunk_users=10, broker_url=broker.url(0))
            broker.stop()
            job = parts.jobs.submit(users, limit=5)
            assert job.state == JobState.ACCEPTED
            broker.start()
            platform.sql("jobs_db", "UPDATE job_chunks SET publish_after = now()")
            assert parts.jobs.republish() == 3
            assert parts.jobs.republish() == 0
            with redis.Redis.from_url(broker.url(0)) as queue:
                assert queue.llen(QUEUE) == 3

    def test_what_is_on_the_queue_is_not_published_again_soon(self, parts: Parts, users: list[UUID]) -> None:
        parts.jobs.submit(users, limit=5)
        assert parts.jobs.republish() == 0

    def test_a_chunk_whose_worker_died_is_published_again(
        self, platform: Platform, parts: Parts, users: list[UUID]
    ) -> None:
        job = parts.jobs.submit(users, limit=5)
        parts.ledger.claim(ChunkRef(job.job_id, 1), lease_seconds=0)
        platform.sql("jobs_db", "UPDATE job_chunks SET publish_after = now() WHERE chunk_no = 1")
        assert parts.jobs.republish() == 1

    def test_any_number_of_reconcilers_publish_each_chunk_once(
        self, platform: Platform, parts: Parts, users: list[UUID]
    ) -> None:
        parts.jobs.submit(users, limit=5)
        platform.sql("jobs_db", "UPDATE job_chunks SET publish_after = now()")
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(lambda _: parts.jobs.republish(), range(4))) == 3


class TestSchema:
    def test_it_is_made_once_by_many_processes_at_the_same_time(self, platform: Platform) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: platform.parts(), range(4)))
        assert platform.sql("jobs_db", "SELECT version FROM schema_version") == [(1,)]

    def test_a_database_of_a_newer_release_is_refused(self, platform: Platform) -> None:
        platform.parts()
        platform.sql("jobs_db", "INSERT INTO schema_version VALUES (99)")
        with pytest.raises(Exception, match="schema version 99"):
            platform.parts()
