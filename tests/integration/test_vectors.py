"""The guard at the broker: whatever is on the queue, the worker lives, and every message is accounted for."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
import redis

from demo.servers import Postgres, Valkey
from shared.contracts import DEAD_SUFFIX, QUEUE, WORK_QUEUE
from tests.messages import message
from tests.platform import Platform, wait_for
from tests.processes import WorkerProcess
from tests.vectors import VECTORS, Letter, written

MOST_BYTES = 200_000  # of a message; twice REQUEST_BYTES
KEPT = 1024  # bytes of a message that is larger

by_name = pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])


class Broker:
    """A worker's queues, seen from outside."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def put(self, queue: str, raw: bytes) -> None:
        self.client.lpush(queue, raw)

    def is_quiet(self) -> bool:
        """Whether nothing waits and nothing is being worked on."""
        return not any([self.client.llen(QUEUE), self.client.llen(WORK_QUEUE), self.client.hlen("unacked")])

    def dead(self, queue: str) -> list[dict[str, str]]:
        """The dead letters, the newest first."""
        return [json.loads(letter) for letter in self.client.lrange(queue + DEAD_SUFFIX, 0, -1)]


@dataclass(frozen=True)
class Replayed:
    """Every vector, sent to one worker."""

    platform: Platform
    worker: WorkerProcess
    broker: Broker
    letters: dict[str, Letter]
    dead: dict[tuple[str, bytes], dict[str, str]]


@pytest.fixture(scope="module")
def replayed(postgres: Postgres, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replayed]:
    folder = tmp_path_factory.mktemp("envelope")
    platform = Platform(postgres, valkey, folder / "models", prefix="envelope_", redis_db=6)
    platform.title("A title", "Drama")
    user = platform.user("Drama")
    letters = {vector["name"]: written(vector, user) for vector in VECTORS}
    with (
        redis.Redis.from_url(platform.broker_url) as client,
        WorkerProcess(platform, folder / "worker.log", request_bytes=MOST_BYTES // 2) as worker,
    ):
        broker = Broker(client)
        for vector in VECTORS:
            broker.put(vector["queue"], letters[vector["name"]].raw)
        wait_for(broker.is_quiet)
        dead = {
            (letter["queue"], base64.b64decode(letter["raw"])): letter
            for queue in (QUEUE, WORK_QUEUE)
            for letter in broker.dead(queue)
        }
        yield Replayed(platform, worker, broker, letters, dead)
    platform.close()


class TestTheVectors:
    @by_name
    def test_each_becomes_what_it_should(self, replayed: Replayed, vector: dict[str, str]) -> None:
        letter = replayed.letters[vector["name"]]
        dead, job = replayed.dead.get((vector["queue"], letter.raw)), replayed.platform.job(letter.job_id)
        match vector["expect"]:
            case "accepted":
                assert dead is None
                assert job == (("completed", None) if vector["queue"] == QUEUE else None)
            case "rejected":
                assert dead is None
                assert job is not None
                state, problem = job
                assert (state, problem["kind"]) == ("rejected", "invalid-request")
                assert vector["reason"] in problem["detail"]
                assert problem["fields"]
            case "dead":
                assert job is None
                assert dead is not None
                assert vector["reason"] in dead["reason"]
                assert set(dead) == {"reason", "queue", "received_at", "raw"}
                assert datetime.fromisoformat(dead["received_at"]).utcoffset() == timedelta(0)

    def test_every_one_is_accounted_for_once_and_the_worker_never_faltered(self, replayed: Replayed) -> None:
        expected = [vector["expect"] for vector in VECTORS]
        assert sum(len(replayed.broker.dead(queue)) for queue in (QUEUE, WORK_QUEUE)) == expected.count("dead")
        [(jobs,)] = replayed.platform.sql("jobs_db", "SELECT count(*) FROM jobs")
        on_the_work_queue = [v for v in VECTORS if v["queue"] == WORK_QUEUE and v["expect"] == "accepted"]
        assert jobs == expected.count("accepted") - len(on_the_work_queue) + expected.count("rejected")
        assert replayed.worker.process.running
        log = replayed.worker.log()
        assert log.count("is ready: ") == 1
        assert "exited with" not in log
        assert "Traceback" not in log

    def test_a_rejected_batch_is_announced_wherever_it_validly_asked_for_that(self, replayed: Replayed) -> None:
        job_id, reply_to = uuid4(), "recommendations.reply.rejected"
        asked = {"user_ids": [], "reply_to": reply_to, "callback_url": "nowhere"}
        replayed.broker.put(QUEUE, message({"job_id": str(job_id), **asked}))
        wait_for(lambda: replayed.broker.client.llen(reply_to) == 1)
        announced = json.loads(replayed.broker.client.lindex(reply_to, 0))
        assert (announced["type"], announced["data"]["job_id"]) == ("job.rejected", str(job_id))
        assert [error["field"] for error in announced["data"]["problem"]["errors"]] == ["user_ids", "callback_url"]
        statement = "SELECT reply_to, callback_url FROM jobs WHERE job_id = %s"
        assert replayed.platform.sql("jobs_db", statement, str(job_id)) == [(reply_to, None)]

    def test_a_batch_that_runs_into_a_mistake_of_ours_is_a_dead_letter_and_not_lost(self, replayed: Replayed) -> None:
        job_id, user = str(uuid4()), str(uuid4())
        count = len(replayed.broker.dead(QUEUE))
        replayed.platform.sql("jobs_db", "ALTER TABLE jobs ADD CONSTRAINT mistake CHECK (title_limit <> 77)")
        replayed.broker.put(QUEUE, message({"job_id": job_id, "user_ids": [user], "limit": 77}))
        wait_for(lambda: len(replayed.broker.dead(QUEUE)) > count)
        letter = replayed.broker.dead(QUEUE)[0]
        assert "while it was accepted" in letter["reason"]
        assert json.loads(base64.b64decode(letter["raw"])) == {"job_id": job_id, "user_ids": [user], "limit": 77}

    def test_dead_letters_are_bounded_and_expire(self, replayed: Replayed) -> None:
        for queue in (QUEUE, WORK_QUEUE):
            assert 0 < replayed.broker.client.ttl(queue + DEAD_SUFFIX) <= 1_209_600

    def test_of_a_message_that_is_too_large_only_the_beginning_is_kept(self, replayed: Replayed) -> None:
        raw = message({"job_id": str(uuid4()), "user_ids": ["x" * 50_000_000]})
        count = len(replayed.broker.dead(QUEUE))
        replayed.broker.put(QUEUE, raw)
        wait_for(lambda: len(replayed.broker.dead(QUEUE)) > count)
        letter = replayed.broker.dead(QUEUE)[0]
        size = f"{len(raw)} bytes"
        assert (
            letter["reason"] == f"message: {size} are more than {MOST_BYTES}; of its {size} here are the first {KEPT}"
        )
        assert base64.b64decode(letter["raw"]) == raw[:KEPT]
        assert replayed.worker.process.running

    def test_a_batch_is_accepted_while_redis_is_out_of_memory_and_done_afterwards(self, replayed: Replayed) -> None:
        """Redis pops the message and then does not note who has it; kombu alone would lose it, and the worker end."""
        job_id, client = uuid4(), replayed.broker.client
        raw = message({"job_id": str(job_id), "user_ids": [str(uuid4())]})
        replayed.worker.process.pause()
        try:
            replayed.broker.put(QUEUE, raw)
            client.config_set("maxmemory", 1)
            replayed.worker.process.resume()
            letter = Letter(job_id, raw)
            wait_for(lambda: replayed.platform.job(letter.job_id) is not None)
        finally:
            replayed.worker.process.resume()
            client.config_set("maxmemory", 0)
        wait_for(lambda: replayed.platform.job(letter.job_id) == ("completed", None))
        assert replayed.worker.process.running
