"""Jobs: what is accepted is done once, whoever dies and whatever is sent twice."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis

from shared.contracts import WORK_QUEUE
from shared.errors import (
    DatabaseUnavailable,
    FieldProblem,
    IdempotencyMismatch,
    InvalidRequest,
    JobNotFound,
    QueueFull,
    ResultsExpired,
    ResultsNeverCame,
    ResultsNotReady,
    ShareExceeded,
)
from shared.job_results import Position
from shared.job_states import Announce, ChunkRef, Job, JobState, Order
from shared.options import NOTHING, Asked, Filters, ListOptions, Part, Variety, View
from shared.parts import Parts
from shared.repositories.chunks import ChunkRepository
from tests.platform import Platform, wait_for

WORKER = "the worker"


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


@pytest.fixture
def chunks(parts: Parts) -> ChunkRepository:
    return ChunkRepository(parts.ledger)


def submit(parts: Parts, users: list[UUID], limit: int = 5, *, asked: Asked = NOTHING, **options: object) -> Job:
    return parts.jobs.submit(Order(users, limit, asked=asked), **options)


def work(parts: Parts, job: Job, chunk_no: int = 0) -> bool:
    return parts.jobs.work(ChunkRef(job.job_id, chunk_no), WORKER)


def work_on_all(parts: Parts, job: Job, chunks: int = 3) -> None:
    for number in range(chunks):
        assert work(parts, job, number)


def is_in(state: JobState, parts: Parts, job: Job) -> bool:
    """False also while the ledger is taken for down."""
    try:
        return parts.jobs.get(job.job_id).state == state
    except DatabaseUnavailable:
        return False


def queued(platform: Platform) -> int:
    with redis.Redis.from_url(platform.broker_url) as queue:
        return queue.llen(WORK_QUEUE)


def test_a_job_goes_from_accepted_through_running_to_completed(parts: Parts, users: list[UUID]) -> None:
    jobs = parts.jobs
    job = submit(parts, users)
    assert (job.state, job.total, job.done, job.failed) == (JobState.ACCEPTED, 25, 0, 0)
    work(parts, job, 1)
    job = jobs.get(job.job_id)
    assert (job.state, job.done) == (JobState.RUNNING, 10)
    work(parts, job, 0)
    work(parts, job, 2)
    job = jobs.get(job.job_id)
    assert (job.state, job.done, job.failed, job.problem) == (JobState.COMPLETED, 25, 0, None)
    assert job.created_at <= job.started_at <= job.finished_at < job.expires_at


ASKED = {
    "nothing": NOTHING,
    "filters": Asked(ListOptions(Filters(genres_none=("war",), exclude=(UUID(int=1),), include_seen=True))),
    "variety": Asked(ListOptions(variety=Variety(diversity=0.5, max_per_genre=3, explore=0.4, seed=7))),
    "no-reasons": Asked(view=View(explain=False, fields=("title", "score"))),
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_its_results_are_what_each_user_gets_alone(parts: Parts, users: list[UUID], asked: Asked) -> None:
    job = submit(parts, users, asked=asked)
    work_on_all(parts, job)
    found = [one for chunk in parts.results.stream(job.job_id) for one in chunk]
    assert [one.user_id for one in found] == users
    for one in found:
        alone = parts.recommender.page(one.user_id, Part(5), asked.options, explain=asked.view.reasons, fresh=True)
        assert one.page == alone
        assert one.fields == asked.view.fields


def test_the_same_id_with_other_filters_is_another_request(parts: Parts, users: list[UUID]) -> None:
    job = submit(parts, users)
    again = Order(users, 5, asked=ASKED["filters"])
    with pytest.raises(IdempotencyMismatch):
        parts.jobs.submit(again, job_id=job.job_id)


def test_users_listed_twice_count_once(parts: Parts, users: list[UUID]) -> None:
    assert submit(parts, [*users, *users, users[0]]).total == 25


def test_a_message_carries_no_user_ids(platform: Platform, parts: Parts, users: list[UUID]) -> None:
    submit(parts, users)
    with redis.Redis.from_url(platform.broker_url) as queue:
        messages = queue.lrange(WORK_QUEUE, 0, -1)
    assert len(messages) == 3
    assert all(len(message) < 2000 for message in messages)


def test_a_chunk_is_done_once_however_often_its_message_comes(parts: Parts, users: list[UUID]) -> None:
    job = submit(parts, users)
    done = [work(parts, job, 0) for _ in range(10)]
    assert done == [True] + [False] * 9
    assert parts.jobs.get(job.job_id).done == 10


def test_a_chunk_that_is_held_is_not_given_to_another(parts: Parts, chunks: ChunkRepository, users: list[UUID]) -> None:
    ref = ChunkRef(submit(parts, users).job_id, 0)
    assert chunks.claim(ref, worker="one", lease_seconds=60)
    assert chunks.claim(ref, worker="another", lease_seconds=60) is None


def test_a_worker_that_lost_its_chunk_can_neither_close_it_nor_change_its_result(
    parts: Parts, chunks: ChunkRepository, users: list[UUID]
) -> None:
    job = submit(parts, users[:10])
    ref = ChunkRef(job.job_id, 0)
    slow = chunks.claim(ref, worker="slow", lease_seconds=60)
    chunks.release("slow")
    assert work(parts, job)
    kept = list(parts.results.stream(job.job_id))
    parts.results.make(
        ref, slow.attempt, slow.user_ids, 1, NOTHING
    )  # as the slow one does at last, and comes to something else
    assert not chunks.close(slow)
    assert list(parts.results.stream(job.job_id)) == kept
    assert parts.jobs.get(job.job_id).state == JobState.COMPLETED


def test_the_last_two_chunks_closed_at_once_complete_the_job(
    parts: Parts, chunks: ChunkRepository, users: list[UUID]
) -> None:
    for _ in range(10):
        job = submit(parts, users[:20])
        claims = [chunks.claim(ChunkRef(job.job_id, number), worker=WORKER, lease_seconds=60) for number in (0, 1)]
        together = threading.Barrier(2)

        def close(claim: object, together: threading.Barrier = together) -> bool:
            together.wait()
            return chunks.close(claim)

        with ThreadPoolExecutor(2) as pool:
            assert all(pool.map(close, claims))
        assert parts.jobs.get(job.job_id).state == JobState.COMPLETED


class TestFailure:
    def test_what_cannot_be_read_now_is_waited_for_and_never_counts_as_a_failure(
        self, platform: Platform, users: list[UUID]
    ) -> None:
        broken = platform.parts(chunk_users=100, engagement_db_url="postgresql://nobody@127.0.0.1:1/none")
        whole = platform.parts(chunk_users=100)
        job = submit(broken, users)
        for _ in range(10):
            assert not work(broken, job)
        assert broken.jobs.get(job.job_id).state == JobState.RUNNING
        assert work(whole, job)
        assert whole.jobs.get(job.job_id).state == JobState.COMPLETED

    @pytest.mark.parametrize(("outage", "state"), [(1.0, JobState.COMPLETED), (60.0, JobState.RUNNING)])
    def test_what_was_done_is_noted_when_the_ledger_is_back_within_half_the_lease(
        self, platform: Platform, users: list[UUID], outage: float, state: JobState
    ) -> None:
        parts = platform.parts(chunk_users=100, lease_seconds=8)
        job = submit(parts, users)
        make, ledger = parts.results.make, contextlib.ExitStack()
        back = threading.Timer(outage, ledger.close)

        def made_and_then_the_ledger_goes(*chunk: Any) -> Any:
            made = make(*chunk)
            ledger.enter_context(platform.down("jobs_db"))
            back.start()
            return made

        parts.results.make = made_and_then_the_ledger_goes
        if state == JobState.COMPLETED:
            assert work(parts, job)
        else:
            with pytest.raises(DatabaseUnavailable):
                work(parts, job)
            back.cancel()
            ledger.close()
        wait_for(lambda: is_in(state, parts, job), 5)
        assert platform.sql("jobs_db", "SELECT failures, attempt FROM job_chunks") == [(0, 1)]

    def test_after_three_failures_a_chunk_is_dead_and_the_job_says_why(
        self, platform: Platform, users: list[UUID]
    ) -> None:
        parts = platform.parts(chunk_users=100, database_bulk_seconds=0.1)
        job = submit(parts, users)
        with platform.locked("engagement_db", "interaction"):
            assert [work(parts, job) for _ in range(3)] == [False] * 3
        job = parts.jobs.get(job.job_id)
        assert (job.state, job.done, job.failed) == (JobState.FAILED, 0, 25)
        assert job.problem.detail.startswith("25 of 25 users failed: engagement_db is unavailable")
        assert not work(parts, job)
        with pytest.raises(ResultsNeverCame):
            parts.results.stream(job.job_id)

    def test_the_good_chunks_of_a_job_with_a_dead_one_keep_their_results(
        self, platform: Platform, users: list[UUID]
    ) -> None:
        parts = platform.parts(chunk_users=10, database_bulk_seconds=0.3)
        job = submit(parts, users)
        with platform.locked("engagement_db", "interaction"):
            for _ in range(3):
                work(parts, job, 1)
        work(parts, job, 0)
        work(parts, job, 2)
        job = parts.jobs.get(job.job_id)
        assert (job.state, job.done, job.failed) == (JobState.COMPLETED_WITH_ERRORS, 15, 10)
        pages = [page.user_id for chunk in parts.results.stream(job.job_id) for page in chunk]
        assert pages == users[:10] + users[20:]
        paged, after = parts.results.page(job.job_id, Position(), 12)
        rest, end = parts.results.page(job.job_id, after, 12)
        assert [page.user_id for page in paged + rest] == pages
        assert end is None
        failed, after = parts.results.failures(job.job_id, Position(), 4)
        more, end = parts.results.failures(job.job_id, after, 100)
        assert [failure.user_id for failure in failed + more] == users[10:20]
        assert (len(failed), end) == (4, None)
        assert all("took longer than its bound" in failure.detail for failure in failed + more)

    def test_a_process_that_dies_three_times_over_a_chunk_makes_it_dead(
        self, parts: Parts, chunks: ChunkRepository, users: list[UUID]
    ) -> None:
        job = submit(parts, users[:10])
        ref = ChunkRef(job.job_id, 0)
        for _ in range(3):
            assert chunks.claim(ref, worker=WORKER, lease_seconds=60)
            parts.jobs.lost(ref, "another worker", "not this one's")  # changes nothing
            parts.jobs.lost(ref, WORKER, "its process was killed")
        job = parts.jobs.get(job.job_id)
        assert job.state == JobState.FAILED
        assert job.problem.detail == "10 of 10 users failed: its process was killed"

    def test_what_a_worker_gives_back_as_it_stops_is_no_failure_and_published_at_once(
        self, platform: Platform, parts: Parts, chunks: ChunkRepository, users: list[UUID]
    ) -> None:
        job = submit(parts, users[:10])
        for _ in range(5):
            assert chunks.claim(ChunkRef(job.job_id, 0), worker=WORKER, lease_seconds=60)
            assert parts.jobs.release("another worker") == 0
            assert parts.jobs.release(WORKER) == 1
        before = queued(platform)
        assert parts.upkeep.round("somebody") == {"chunks published": 1}
        assert queued(platform) == before + 1
        assert work(parts, job)


class TestResults:
    def test_they_come_in_pages_of_any_size_each_user_once(self, parts: Parts, users: list[UUID]) -> None:
        job = submit(parts, users)
        work_on_all(parts, job)
        for size in (1, 7, 10, 24, 25, 100):
            seen, position = [], Position()
            while position:
                pages, position = parts.results.page(job.job_id, position, size)
                assert 1 <= len(pages) <= size
                seen += [page.user_id for page in pages]
            assert seen == users

    def test_they_are_computed_again_when_redis_lost_them(
        self, platform: Platform, parts: Parts, users: list[UUID]
    ) -> None:
        job = submit(parts, users)
        work_on_all(parts, job)
        before = list(parts.results.stream(job.job_id))
        with redis.Redis.from_url(platform.redis_url) as store:
            store.flushdb()
            assert list(parts.results.stream(job.job_id)) == before
            assert store.dbsize() == 3  # and kept again

    def test_every_one_of_them_has_a_life(self, platform: Platform, parts: Parts, users: list[UUID]) -> None:
        job = submit(parts, users)
        work_on_all(parts, job)
        with redis.Redis.from_url(platform.redis_url) as store:
            assert [0 < store.ttl(key) <= 86_400 for key in store.scan_iter()] == [True] * 3

    def test_there_are_none_before_the_job_is_over(self, parts: Parts, users: list[UUID]) -> None:
        job = submit(parts, users)
        work(parts, job, 0)
        with pytest.raises(ResultsNotReady, match="10 of 25"):
            parts.results.page(job.job_id, Position(), 10)

    def test_there_are_none_after_their_time(self, platform: Platform, parts: Parts, users: list[UUID]) -> None:
        job = submit(parts, users)
        work_on_all(parts, job)
        platform.sql("jobs_db", "UPDATE jobs SET expires_at = now() - interval '1 second'")
        with pytest.raises(ResultsExpired):
            parts.results.stream(job.job_id)


class TestIdempotence:
    def test_the_same_key_and_request_find_the_same_job(self, parts: Parts, users: list[UUID]) -> None:
        first = submit(parts, users, idempotency_key="monday")
        assert submit(parts, users, idempotency_key="monday").job_id == first.job_id

    @pytest.mark.parametrize("change", ["limit", "users", "deadline", "announce"])
    def test_the_same_key_with_another_request_is_refused(self, parts: Parts, users: list[UUID], change: str) -> None:
        submit(parts, users, idempotency_key="monday")
        with pytest.raises(IdempotencyMismatch):
            changed = {
                "limit": Order(users, 6),
                "users": Order(users[:-1], 5),
                "deadline": Order(users, 5, deadline=datetime(2100, 1, 1, tzinfo=UTC)),
                "announce": Order(users, 5, announce=Announce(reply_to="recommendations.reply.a")),
            }
            parts.jobs.submit(changed[change], idempotency_key="monday")

    def test_of_many_at_once_one_makes_the_job(self, parts: Parts, users: list[UUID]) -> None:
        with ThreadPoolExecutor(4) as pool:
            jobs = list(pool.map(lambda _: submit(parts, users, idempotency_key="race"), range(8)))
        assert len({job.job_id for job in jobs}) == 1

    def test_a_publishers_own_job_id_does_the_same(self, parts: Parts, users: list[UUID]) -> None:
        chosen = uuid4()
        assert submit(parts, users, job_id=chosen).job_id == chosen
        assert submit(parts, users, job_id=chosen).job_id == chosen
        with pytest.raises(IdempotencyMismatch):
            submit(parts, users, limit=6, job_id=chosen)


class TestCancel:
    def test_a_cancelled_job_is_worked_on_no_more(self, parts: Parts, users: list[UUID]) -> None:
        job = submit(parts, users)
        work(parts, job, 0)
        assert parts.jobs.cancel(job.job_id).state == JobState.CANCELLED
        assert not work(parts, job, 1)
        assert parts.jobs.cancel(job.job_id).state == JobState.CANCELLED  # again changes nothing
        with pytest.raises(ResultsNeverCame):
            parts.results.stream(job.job_id)

    def test_a_completed_job_stays_completed(self, parts: Parts, users: list[UUID]) -> None:
        job = submit(parts, users)
        work_on_all(parts, job)
        assert parts.jobs.cancel(job.job_id).state == JobState.COMPLETED

    def test_a_chunk_that_was_running_does_not_bring_the_job_back(
        self, parts: Parts, chunks: ChunkRepository, users: list[UUID]
    ) -> None:
        job = submit(parts, users[:10])
        claim = chunks.claim(ChunkRef(job.job_id, 0), worker=WORKER, lease_seconds=60)
        parts.jobs.cancel(job.job_id)
        assert not chunks.close(claim)
        parts.jobs.lost(claim.ref, WORKER, "killed")
        assert parts.jobs.get(job.job_id).state == JobState.CANCELLED

    def test_an_unknown_job_cannot_be_cancelled(self, parts: Parts) -> None:
        with pytest.raises(JobNotFound):
            parts.jobs.cancel(uuid4())


class TestTurns:
    """A job has a window of its chunks on the queue: here two."""

    @pytest.fixture
    def parts(self, platform: Platform, users: list[UUID]) -> Parts:
        return platform.parts(chunk_users=1, chunks_in_flight=2)

    def test_a_large_job_has_but_a_window_of_its_chunks_on_the_queue(
        self, platform: Platform, parts: Parts, users: list[UUID]
    ) -> None:
        submit(parts, users)
        assert queued(platform) == 2
        parts.upkeep.round("somebody")
        assert queued(platform) == 2

    def test_a_chunk_that_is_done_lets_the_next_one_on(
        self, platform: Platform, parts: Parts, users: list[UUID]
    ) -> None:
        job = submit(parts, users)
        for number in range(23):
            assert work(parts, job, number)
            assert queued(platform) == 3 + number  # nobody takes them off here
        work(parts, job, 23)
        work(parts, job, 24)
        assert queued(platform) == 25
        assert parts.jobs.get(job.job_id).state == JobState.COMPLETED

    def test_a_small_job_waits_behind_a_window_of_a_large_one_and_no_more(
        self, platform: Platform, parts: Parts, users: list[UUID]
    ) -> None:
        submit(parts, users)
        small = submit(parts, users[:1])
        with redis.Redis.from_url(platform.broker_url) as queue:
            messages = [m.decode() for m in reversed(queue.lrange(WORK_QUEUE, 0, -1))]  # in the order they are taken
        assert [str(small.job_id) in message for message in messages] == [False, False, True]


class TestBackpressure:
    def test_past_all_callers_users_a_job_is_refused_until_others_are_over(
        self, platform: Platform, users: list[UUID]
    ) -> None:
        parts = platform.parts(queue_users=30)
        first = submit(parts, users, caller="a")
        with pytest.raises(QueueFull, match="25 users are in open jobs already, and 30 may be"):
            submit(parts, users[:6], caller="b")
        assert submit(parts, users[:5], caller="b").total == 5
        parts.jobs.cancel(first.job_id)
        assert submit(parts, users[:6], caller="b").total == 6

    def test_past_its_own_share_a_caller_is_refused_and_others_are_not(
        self, platform: Platform, users: list[UUID]
    ) -> None:
        parts = platform.parts(caller_users=30)
        submit(parts, users, caller="a")
        with pytest.raises(ShareExceeded, match="25 users are in your open jobs already, and 30 of one caller may be"):
            submit(parts, users[:6], caller="a")
        assert submit(parts, users[:6], caller="b").total == 6
        assert submit(parts, users[:6], caller=None).total == 6

    def test_nothing_of_a_refused_job_stays(self, platform: Platform, users: list[UUID]) -> None:
        parts = platform.parts(queue_users=30)
        submit(parts, users)
        chosen = uuid4()
        with pytest.raises(QueueFull):
            submit(parts, users, job_id=chosen)
        with pytest.raises(JobNotFound):
            parts.jobs.get(chosen)

    def test_a_job_that_is_there_already_is_found_however_full_the_queue(
        self, platform: Platform, users: list[UUID]
    ) -> None:
        parts = platform.parts(queue_users=25)
        first = submit(parts, users, idempotency_key="again")
        assert submit(parts, users, idempotency_key="again").job_id == first.job_id

    def test_a_job_larger_than_the_bounds_is_taken_when_it_is_alone(
        self, platform: Platform, users: list[UUID]
    ) -> None:
        parts = platform.parts(queue_users=1, caller_users=1)
        assert submit(parts, users, caller="a").total == 25
        with pytest.raises(QueueFull):
            submit(parts, users[:1], caller="a")


class TestRejection:
    ERROR = InvalidRequest(
        "user_ids[0]: not a UUID",
        [FieldProblem("user_ids[0]", "not a UUID"), FieldProblem("a\0b\ud800", "unknown field", "user_ids, limit")],
    )

    def test_a_refused_message_is_a_job_that_says_what_was_wrong(self, parts: Parts) -> None:
        chosen = uuid4()
        parts.jobs.reject(chosen, self.ERROR, Announce())
        job = parts.jobs.get(chosen)
        assert (job.state, job.total, job.problem.detail) == (JobState.REJECTED, 0, "user_ids[0]: not a UUID")
        assert job.problem.fields == (
            FieldProblem("user_ids[0]", "not a UUID"),
            FieldProblem("a\ufffdb?", "unknown field", "user_ids, limit"),
        )
        with pytest.raises(ResultsNeverCame):
            parts.results.stream(chosen)

    def test_it_changes_no_job_that_is_there(self, parts: Parts, users: list[UUID]) -> None:
        job = submit(parts, users)
        parts.jobs.reject(job.job_id, self.ERROR, Announce())
        assert parts.jobs.get(job.job_id) == job

    def test_it_stays_rejected_when_a_good_message_follows(self, parts: Parts, users: list[UUID]) -> None:
        chosen = uuid4()
        parts.jobs.reject(chosen, self.ERROR, Announce())
        with pytest.raises(IdempotencyMismatch):
            submit(parts, users, job_id=chosen)
        assert parts.jobs.cancel(chosen).state == JobState.REJECTED


class TestDeadline:
    def test_no_job_lives_longer_than_the_service_lets_it(self, platform: Platform, users: list[UUID]) -> None:
        parts = platform.parts(job_seconds=60)
        for given in (None, datetime(2100, 1, 1, tzinfo=UTC)):
            job = parts.jobs.submit(Order(users, 5, given))
            assert job.deadline - job.created_at == timedelta(seconds=60)

    def test_an_earlier_one_of_the_callers_counts(self, parts: Parts, users: list[UUID]) -> None:
        given = datetime.now(UTC) + timedelta(minutes=5)
        assert parts.jobs.submit(Order(users, 5, given)).deadline == given

    def test_past_it_no_chunk_is_begun(self, parts: Parts, users: list[UUID]) -> None:
        job = parts.jobs.submit(Order(users, 5, datetime.now(UTC)))
        assert not work(parts, job)
        assert parts.jobs.get(job.job_id).state == JobState.ACCEPTED  # upkeep ends it
