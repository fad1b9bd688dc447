"""A job's end is told to whoever asked for it: over the queue and over HTTP, at least once, and a bounded number of
times."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis

from demo.server import free_port
from demo.servers import Valkey
from shared import broker
from shared.answers import announcement_document
from shared.callbacks import CallbackPolicy
from shared.contracts import REPLY_PREFIX
from shared.errors import FieldProblem, InvalidRequest
from shared.job_states import Announce, ChunkRef, Job, JobState, Order
from shared.parts import Parts
from shared.repositories.announcements import AnnouncementKind, AnnouncementRepository
from shared.repositories.chunks import ChunkRepository
from tests.platform import Platform, wait_for
from tests.receiver import SECRET, Answer, Receiver, hang, hang_up, status, trickle
from worker.announcing.announcer import Announcer, AnnouncerPolicy
from worker.announcing.webhook import Webhook

REPLIES = REPLY_PREFIX + "tests"
REPLY_LIFE = 3600  # s
WORKER = "the worker"


class Stage:
    """A platform whose jobs may be announced to receivers on this machine, and the workers that announce them."""

    def __init__(self, platform: Platform, cleanup: ExitStack) -> None:
        self.platform = platform
        self._cleanup = cleanup
        self._ports: list[int] = []
        self._settings: dict[str, Any] = {}
        self.parts: Parts
        self.connect()

    def connect(self, **settings: Any) -> None:
        """Build the service's parts anew, with these settings from now on."""
        self._settings |= settings
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        self.parts = self.platform.parts(
            chunk_users=1,
            callback_hosts=hosts,
            callback_networks="127.0.0.0/8",
            callback_secret=SECRET,
            **self._settings,
        )

    def receiver(self, *answers: Answer) -> Receiver:
        """A receiver whose host is listed."""
        receiver = self._cleanup.enter_context(Receiver(*answers))
        self._ports.append(receiver.port)
        self.connect()
        return receiver

    def unlist(self) -> None:
        """From now on nobody may be called."""
        self._ports.clear()
        self.connect()

    def announcer(
        self,
        *,
        attempts: int = 3,
        seconds: float = 0.5,
        job: Callable[[UUID], Job] | None = None,
        kind: type[Announcer] = Announcer,
    ) -> Announcer:
        """What one worker has; not started."""
        settings = self.parts.settings
        announcer = kind(
            AnnouncementRepository(self.parts.ledger),
            job=job or self.parts.jobs.get,
            reply=broker.reply_sender(broker.celery_app(settings, "tests")),
            webhook=Webhook(CallbackPolicy.from_settings(settings), [SECRET], seconds=seconds),
            policy=AnnouncerPolicy(reply_life_seconds=REPLY_LIFE, callback_seconds=seconds, callback_attempts=attempts),
        )
        self._cleanup.callback(announcer.stop)
        return announcer

    def start(self, *, workers: int = 1, **options: Any) -> None:
        """Workers that announce, until the test is over."""
        for _ in range(workers):
            self.announcer(**options).start()

    def ended(self, receiver: Receiver | None = None, reply_to: str | None = None) -> Job:
        """A job that was just cancelled."""
        url = f"http://127.0.0.1:{receiver.port}/done" if receiver else None
        job = self.parts.jobs.submit(Order([uuid4()], 5, announce=Announce(reply_to, url)))
        return self.parts.jobs.cancel(job.job_id)

    def rows(self) -> list[tuple[Any, ...]]:
        """What is still to be told: attempts, problem, given_up."""
        return self.platform.sql("jobs_db", "SELECT attempts, problem, given_up FROM announcements ORDER BY due_at")

    def pauses(self) -> list[float]:
        """In how many seconds each is due."""
        rows = self.platform.sql("jobs_db", "SELECT extract(epoch FROM due_at - now()) FROM announcements")
        return [float(seconds) for (seconds,) in rows]

    def attempt(self, announcer: Announcer) -> None:
        """One attempt at the only announcement, pause or no pause, until it is noted what came of it."""
        self.platform.sql("jobs_db", "UPDATE announcements SET due_at = now(), problem = NULL")
        announcer.round()
        wait_for(lambda: all(problem for _, problem, _ in self.rows()), 10)

    def replies(self) -> list[Any]:
        """What has come over the queue, oldest first."""
        with redis.Redis.from_url(self.parts.settings.broker_url.get_secret_value()) as queue:
            return [json.loads(message) for message in reversed(queue.lrange(REPLIES, 0, -1))]


@pytest.fixture
def stage(platform: Platform) -> Iterator[Stage]:
    platform.title("A title", "Drama")
    with ExitStack() as cleanup:
        yield Stage(platform, cleanup)


def work(parts: Parts, job_id: UUID) -> None:
    for number in range(2):
        parts.jobs.work(ChunkRef(job_id, number), WORKER)


def fail(parts: Parts, job_id: UUID, *numbers: int) -> None:
    for number in numbers:
        for _ in range(3):
            ref = ChunkRef(job_id, number)
            assert ChunkRepository(parts.ledger).claim(ref, worker=WORKER, lease_seconds=60)
            parts.jobs.lost(ref, WORKER, "the process died")


def expire(platform: Platform, parts: Parts, job_id: UUID) -> None:
    platform.sql("jobs_db", "UPDATE jobs SET deadline = now() WHERE job_id = %s", str(job_id))
    parts.upkeep.round(WORKER)


def work_after_a_failure(parts: Parts, job_id: UUID) -> None:
    fail(parts, job_id, 0)
    work(parts, job_id)


ENDINGS: dict[JobState, Callable[[Platform, Parts, UUID], object]] = {
    JobState.COMPLETED: lambda _, parts, job_id: work(parts, job_id),
    JobState.COMPLETED_WITH_ERRORS: lambda _, parts, job_id: work_after_a_failure(parts, job_id),
    JobState.FAILED: lambda _, parts, job_id: fail(parts, job_id, 0, 1),
    JobState.CANCELLED: lambda _, parts, job_id: parts.jobs.cancel(job_id),
    JobState.EXPIRED: expire,
}


@pytest.mark.parametrize("state", ENDINGS)
def test_each_way_to_end_is_told_over_the_queue_and_over_http(stage: Stage, state: JobState) -> None:
    receiver = stage.receiver()
    stage.start()
    announce = Announce(REPLIES, f"http://127.0.0.1:{receiver.port}/done?key=1")
    job_id = stage.parts.jobs.submit(Order([uuid4(), uuid4()], 5, announce=announce)).job_id
    ENDINGS[state](stage.platform, stage.parts, job_id)
    wait_for(lambda: receiver.calls and stage.replies() and not stage.rows(), 10)
    document = announcement_document(stage.parts.jobs.get(job_id))
    assert document["type"] == f"job.{state}"
    [call] = receiver.calls
    assert call.verified(SECRET) == document
    assert call.path == "/done?key=1"
    assert stage.replies() == [document]


def test_a_rejected_message_is_told_of_with_the_fields_that_were_wrong(stage: Stage) -> None:
    receiver = stage.receiver()
    stage.start()
    announce = Announce(REPLIES, f"http://127.0.0.1:{receiver.port}/done")
    problem = FieldProblem("limit", "input should be less than or equal to 100", "1 to 100")
    stage.parts.jobs.reject(uuid4(), InvalidRequest("limit: too large", [problem]), announce)
    wait_for(lambda: receiver.calls and stage.replies(), 10)
    [told] = stage.replies()
    assert told["type"] == "job.rejected"
    assert told["data"]["problem"]["errors"][0]["field"] == "limit"
    assert receiver.calls[0].verified(SECRET) == told


def test_nobody_is_told_of_a_job_that_goes_on_or_that_nobody_asked_about(stage: Stage) -> None:
    receiver = stage.receiver()
    announce = Announce(REPLIES, f"http://127.0.0.1:{receiver.port}/")
    stage.parts.jobs.submit(Order([uuid4()], 5, announce=announce))
    stage.ended()
    assert stage.rows() == []
    assert stage.announcer().round() == 0


def test_a_reply_is_plain_json_and_goes_when_nobody_fetches_it(stage: Stage) -> None:
    job = stage.ended(reply_to=REPLIES)
    assert stage.announcer().round() == 1
    with redis.Redis.from_url(stage.platform.broker_url) as queue:
        [message] = queue.lrange(REPLIES, 0, -1)
        assert 0 < queue.ttl(REPLIES) <= REPLY_LIFE
    assert json.loads(message) == announcement_document(job)
    assert stage.rows() == []


class TestReceiversThatFail:
    @pytest.mark.parametrize("answer", [status(500), status(302), hang, trickle, hang_up])
    def test_a_receiver_that_fails_is_told_later_under_the_same_id(self, stage: Stage, answer: Answer) -> None:
        receiver = stage.receiver(answer, status(200))
        job = stage.ended(receiver)
        announcer = stage.announcer()
        stage.attempt(announcer)
        [(attempts, problem, given_up)] = stage.rows()
        assert (attempts, given_up) == (1, False)
        assert problem
        stage.attempt(announcer)
        assert stage.rows() == []
        first, second = receiver.calls
        assert first.headers["webhook-id"] == second.headers["webhook-id"] == str(job.job_id)
        assert first.body == second.body
        assert second.verified(SECRET)

    def test_the_pause_doubles_and_at_last_it_is_given_up(self, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
        receiver = stage.receiver(status(500))
        job = stage.ended(receiver)
        announcer = stage.announcer(attempts=4)
        for pause in (5, 10, 20):
            stage.attempt(announcer)
            assert stage.pauses() == [pytest.approx(pause, abs=2)]
        stage.attempt(announcer)
        assert stage.rows() == [(4, "it answered 500", True)]
        assert announcer.round() == 0
        assert len(receiver.calls) == 4
        assert f"callback 4 of job {job.job_id} to 127.0.0.1:{receiver.port} is given up" in caplog.text
        assert "/done" not in caplog.text

    def test_410_is_given_up_at_once(self, stage: Stage) -> None:
        receiver = stage.receiver(status(410))
        stage.ended(receiver)
        stage.attempt(stage.announcer())
        assert stage.rows() == [(1, "it answered 410", True)]

    def test_a_host_that_is_not_listed_any_more_is_given_up_and_never_called(self, stage: Stage) -> None:
        receiver = stage.receiver()
        stage.ended(receiver)
        stage.unlist()
        stage.attempt(stage.announcer())
        assert [row[2] for row in stage.rows()] == [True]
        assert receiver.calls == []

    def test_an_address_that_a_rejected_message_named_is_checked_before_it_is_called(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        receiver = stage.receiver()
        for place in (f"127.0.0.1:{receiver.port + 1}", f"user:hunter2@127.0.0.1:{receiver.port}", "169.254.169.254"):
            stage.parts.jobs.reject(uuid4(), InvalidRequest("wrong"), Announce(None, f"http://{place}/?hunter2"))
        stage.attempt(stage.announcer())
        assert [row[2] for row in stage.rows()] == [True] * 3
        assert receiver.calls == []
        assert "hunter2" not in caplog.text

    def test_a_receiver_may_ask_for_a_longer_pause(self, stage: Stage) -> None:
        receiver = stage.receiver(status(503, Retry_After="600"))
        stage.ended(receiver)
        stage.attempt(stage.announcer())
        assert stage.pauses() == [pytest.approx(600, abs=2)]

    def test_receivers_that_hang_hold_up_neither_the_others_nor_the_replies(self, stage: Stage) -> None:
        hanging = [stage.receiver(hang) for _ in range(3)]
        well = stage.receiver()
        for _ in range(8):
            for receiver in hanging:
                stage.ended(receiver)
        for _ in range(20):
            stage.ended(well)
            stage.ended(reply_to=REPLIES)
        stage.start(seconds=20)
        begun = time.monotonic()
        wait_for(lambda: len(well.calls) == 20 and len(stage.replies()) == 20, 10)
        assert time.monotonic() - begun < 5
        assert [len(receiver.calls) for receiver in hanging] == [4, 4, 4]

    def test_a_flood_for_one_receiver_goes_through_at_a_bounded_pace(self, stage: Stage) -> None:
        receiver = stage.receiver()
        for _ in range(60):
            stage.ended(receiver)
        stage.start()
        wait_for(lambda: not stage.rows(), 10)
        assert len({call.headers["webhook-id"] for call in receiver.calls}) == len(receiver.calls) == 60


class TestWorkers:
    def test_any_number_of_them_tell_each_end_once(self, stage: Stage) -> None:
        receiver = stage.receiver()
        jobs = [stage.ended(receiver, REPLIES) for _ in range(40)]
        stage.start(workers=3)
        wait_for(lambda: not stage.rows(), 20)
        expected = Counter(str(job.job_id) for job in jobs)
        assert Counter(call.headers["webhook-id"] for call in receiver.calls) == expected
        assert Counter(reply["data"]["job_id"] for reply in stage.replies()) == expected

    @pytest.mark.parametrize("kind", AnnouncementKind)
    def test_what_one_took_before_it_died_another_tells(self, stage: Stage, kind: AnnouncementKind) -> None:
        receiver = stage.receiver()
        job = stage.ended(receiver) if kind == AnnouncementKind.CALLBACK else stage.ended(reply_to=REPLIES)
        dead = AnnouncementRepository(stage.parts.ledger).take(kind, lease_seconds=1)
        assert dead.job_id == job.job_id
        stage.start()
        wait_for(lambda: not stage.rows(), 10)
        assert len(receiver.calls) + len(stage.replies()) == 1

    def test_one_that_dies_with_each_attempt_does_not_do_so_for_ever(self, stage: Stage) -> None:
        receiver = stage.receiver()
        stage.ended(receiver)
        for _ in range(3):
            assert AnnouncementRepository(stage.parts.ledger).take(AnnouncementKind.CALLBACK, lease_seconds=0)
        stage.attempt(stage.announcer(attempts=3))
        assert [row[2] for row in stage.rows()] == [True]
        assert receiver.calls == []

    def test_a_slow_one_does_not_disturb_the_one_that_took_over(self, stage: Stage) -> None:
        stage.ended(stage.receiver())
        announcements = AnnouncementRepository(stage.parts.ledger)
        slow = announcements.take(AnnouncementKind.CALLBACK, lease_seconds=0)
        quick = announcements.take(AnnouncementKind.CALLBACK, lease_seconds=60)
        assert (slow.attempt, quick.attempt) == (1, 2)
        announcements.failed(slow, "too late", pause_seconds=0)
        announcements.give_up(slow, "too late")
        assert stage.rows() == [(2, None, False)]
        assert announcements.take(AnnouncementKind.CALLBACK, lease_seconds=60) is None
        announcements.delivered(slow)
        assert stage.rows() == []

    def test_what_is_taken_is_nobody_elses_and_what_is_excepted_is_left(self, stage: Stage) -> None:
        first, second = stage.receiver(), stage.receiver()
        stage.ended(first)
        stage.ended(second)
        announcements = AnnouncementRepository(stage.parts.ledger)
        busy = [f"127.0.0.1:{first.port}"]
        taken = announcements.take(AnnouncementKind.CALLBACK, lease_seconds=60, except_for=busy)
        assert taken.receiver == f"127.0.0.1:{second.port}"
        assert taken.address == f"http://127.0.0.1:{second.port}/done"
        assert announcements.take(AnnouncementKind.CALLBACK, lease_seconds=60, except_for=busy) is None
        assert announcements.take(AnnouncementKind.CALLBACK, lease_seconds=60).receiver == busy[0]
        assert announcements.take(AnnouncementKind.CALLBACK, lease_seconds=60) is None

    def test_a_job_that_was_cleaned_away_meanwhile_is_passed_over(self, stage: Stage) -> None:
        receiver = stage.receiver()
        gone = stage.ended(receiver, REPLIES)

        def removed_just_before(job_id: UUID) -> Job:
            stage.platform.sql("jobs_db", "DELETE FROM jobs WHERE job_id = %s", str(gone.job_id))
            return stage.parts.jobs.get(job_id)

        stage.start(job=removed_just_before)
        wait_for(lambda: not stage.rows(), 10)
        later = stage.ended(receiver, REPLIES)
        wait_for(lambda: receiver.calls and stage.replies(), 10)
        assert [reply["data"]["job_id"] for reply in stage.replies()] == [str(later.job_id)]
        assert [call.headers["webhook-id"] for call in receiver.calls] == [str(later.job_id)]


class TestWhatIsDown:
    def test_a_reply_waits_for_the_broker_longer_than_a_callback_for_its_receiver(
        self, stage: Stage, tmp_path: Path
    ) -> None:
        port = free_port()
        stage.connect(broker_url=f"redis://127.0.0.1:{port}/1", publish_seconds=1)
        job = stage.ended(reply_to=REPLIES)
        announcer = stage.announcer(attempts=1)
        for pause in (5, 10, 20, 40, 60, 60):
            stage.attempt(announcer)
            assert stage.pauses() == [pytest.approx(pause, abs=2)]
        assert [row[2] for row in stage.rows()] == [False]
        with Valkey(tmp_path / "valkey", port, appendonly=False):
            stage.attempt(announcer)
            assert stage.rows() == []
            assert stage.replies() == [announcement_document(job)]

    def test_a_broker_that_is_down_holds_up_no_callback(self, stage: Stage) -> None:
        receiver = stage.receiver()
        stage.connect(broker_url=f"redis://127.0.0.1:{free_port()}/1")
        for _ in range(5):
            stage.ended(receiver, REPLIES)
        stage.start()
        wait_for(lambda: len(receiver.calls) == 5, 10)

    def test_a_reply_queue_that_takes_nothing_holds_up_no_other(self, stage: Stage) -> None:
        with redis.Redis.from_url(stage.platform.broker_url) as queue:
            queue.set(REPLY_PREFIX + "no.list", "a string", ex=60)
        for _ in range(5):
            stage.ended(reply_to=REPLY_PREFIX + "no.list")
        job = stage.ended(reply_to=REPLIES)
        stage.start()
        wait_for(lambda: bool(stage.replies()), 10)
        assert stage.replies() == [announcement_document(job)]

    def test_the_announcer_waits_for_the_ledger_and_says_so_once(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        receiver = stage.receiver()
        rounds = []

        class Counted(Announcer):
            def round(self) -> int:
                rounds.append(1)
                return super().round()

        announcer = stage.announcer(kind=Counted)
        job = stage.ended(receiver)
        with stage.platform.down("jobs_db"):
            announcer.start()
            wait_for(lambda: len(rounds) > 2, 10)
        wait_for(lambda: bool(receiver.calls), 10)
        assert receiver.calls[0].headers["webhook-id"] == str(job.job_id)
        wait_for(lambda: "what the announcer needs is up again" in caplog.text, 10)
        assert caplog.text.count("what the announcer needs is down") == 1
