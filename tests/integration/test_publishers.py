"""docs/examples: every program that publishes onto the queue is run against it."""

from __future__ import annotations

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis

from demo.server import free_port
from shared.contracts import QUEUE
from tests.conftest import Service
from tests.examples import LIMIT, Examples, best_of, can_run
from tests.guides import DOCS
from tests.integration.conftest import Guarded

UNREAD = 15  # a database of the broker's server that no worker reads


def best(page: dict[str, Any]) -> str:
    [title, *_] = page["recommendations"]
    return f"{page['user_id']}  {title['score']:.4f}  {title['title'] or '(no title)'}"


@dataclass(frozen=True)
class Publisher:
    """A program that publishes."""

    examples: Examples
    program: str

    def run(self, *users: UUID | str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.examples.run(self.program, *users, **more)

    def titles(self, done: subprocess.CompletedProcess[str]) -> list[str]:
        """The best title of every user, as it was printed."""
        lines = done.stdout.splitlines()
        return [best(json.loads(line)) for line in lines] if self.examples.language == "shell" else lines


PUBLISHERS = (
    ("python", "publish"),
    ("python", "publish_kombu"),
    ("javascript", "publish"),
    ("java", "publish"),
    ("shell", "publish"),
)


@pytest.fixture(params=PUBLISHERS, ids="-".join)
def publisher(request: pytest.FixtureRequest, service: Service) -> Publisher:
    language, program = request.param
    return Publisher(Examples.of(language, service), program)


class TestPublishers:
    def test_a_published_batch_becomes_the_job_of_that_id_and_its_end_is_announced(
        self, service: Service, publisher: Publisher
    ) -> None:
        users, job_id = [user.id for user in service.sample.users[:3]], str(uuid4())
        done = publisher.run("-", stdin="\n".join(map(str, users)), JOB_ID=job_id)
        assert (done.returncode, publisher.titles(done)) == (0, best_of(service, users)), done.stderr
        assert "announced: job.completed" in done.stderr
        job = service.client.get(f"/api/jobs/{job_id}").body
        assert (job["state"], job["total"], job["limit"]) == ("completed", 3, LIMIT)

    def test_a_batch_that_is_refused_ends_with_the_reason(self, service: Service, publisher: Publisher) -> None:
        job_id = str(uuid4())
        done = publisher.run("nobody", 'a "quoted" \\ name', JOB_ID=job_id)
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert "rejected" in done.stderr
        assert "user_ids[0]: not a UUID" in done.stderr
        problem = service.client.get(f"/api/jobs/{job_id}").body["problem"]
        assert [error["field"] for error in problem["errors"]] == ["user_ids[0]", "user_ids[1]"]

    def test_a_publisher_needs_no_more_rights_than_the_file_gives(self, service: Service, publisher: Publisher) -> None:
        [words] = (DOCS / "messages" / "publisher.acl").read_text(encoding="utf-8").splitlines()
        _, name, *rules = re.findall(r"\([^)]*\)|\S+", words)
        rights = [rule for rule in rules if not rule.startswith(">")]
        user, address = service.sample.users[0].id, service.platform.broker_url.removeprefix("redis://")
        with redis.Redis.from_url(service.platform.broker_url) as broker:
            broker.execute_command("ACL", "SETUSER", name, "reset", ">p/w: @", *rights)
            try:
                login = f"redis://{name}:p%2Fw%3A%20%40@{address}"
                done = publisher.run(user, BROKER_URL=login)
                assert (done.returncode, publisher.titles(done)) == (0, best_of(service, [user])), done.stderr
                done = publisher.run(user, BROKER_URL=f"redis://{name}:wrong@{address}")
                assert (done.returncode, done.stdout) == (1, "")
                assert "did not take" in done.stderr
            finally:
                broker.execute_command("ACL", "DELUSER", name)

    def test_a_broker_that_is_not_there_is_told(self, publisher: Publisher) -> None:
        done = publisher.run(str(uuid4()), BROKER_URL=f"redis://127.0.0.1:{free_port()}/0")
        assert (done.returncode, done.stdout) == (1, "")
        assert "did not take" in done.stderr

    def test_a_broker_that_is_no_redis_is_refused_before_anything_is_published(self, publisher: Publisher) -> None:
        done = publisher.run(str(uuid4()), BROKER_URL=f"amqp://127.0.0.1:{free_port()}//")
        assert (done.returncode, done.stdout) == (1, "")
        assert "error: BROKER_URL must start with redis://" in done.stderr

    def test_without_users_the_usage_is_shown(self, publisher: Publisher) -> None:
        done = publisher.run()
        assert (done.returncode, done.stdout) == (2, "")
        assert "usage: " in done.stderr


@pytest.mark.parametrize(("language", "program"), [("python", "publish"), ("shell", "publish")])
def test_who_publishes_may_look_after_the_job_with_a_key_for_the_queue_and_with_no_other(
    service: Service, guarded: Guarded, language: str, program: str
) -> None:
    publisher, user = Publisher(Examples.of(language, service), program), service.sample.users[0].id
    done = publisher.run(user, ML_SERVICE_URL=guarded.url, ML_SERVICE_TOKEN=guarded.publisher_key)
    assert (done.returncode, publisher.titles(done)) == (0, best_of(service, [user])), done.stderr
    done = publisher.run(user, ML_SERVICE_URL=guarded.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "say who you are" in done.stderr and done.stderr.endswith("; set ML_SERVICE_TOKEN\n")
    done = publisher.run(user, ML_SERVICE_URL=guarded.url, ML_SERVICE_TOKEN=guarded.key, APPEARS_SECONDS="1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "not taken within 1 s" in done.stderr  # as if it were not there


def test_a_message_that_nobody_takes_is_to_be_published_again(service: Service) -> None:
    publishers = [Publisher(Examples.of(language, service), name) for language, name in PUBLISHERS if can_run(language)]
    broker_url = f"{service.platform.broker_url.rpartition('/')[0]}/{UNREAD}"
    user, job_ids = service.sample.users[0].id, [str(uuid4()) for _ in publishers]

    def run(publisher: Publisher, job_id: str) -> subprocess.CompletedProcess[str]:
        return publisher.run(user, BROKER_URL=broker_url, JOB_ID=job_id, APPEARS_SECONDS="1")

    with redis.Redis.from_url(broker_url) as broker, ThreadPoolExecutor() as pool:  # each waits, most of its time
        for done, job_id in zip(pool.map(run, publishers, job_ids), job_ids, strict=True):
            assert (done.returncode, done.stdout) == (1, "")
            assert f"error: not taken within 1 s; publish again with JOB_ID={job_id}, which is safe" in done.stderr
        assert broker.llen(QUEUE) == len(publishers)
        broker.flushdb()


def test_a_batch_that_is_published_again_is_the_same_job(service: Service) -> None:
    publish, user, job_id = Examples.of("python", service), service.sample.users[5].id, str(uuid4())
    first = publish.lines("publish", user, JOB_ID=job_id)
    finished_at = service.client.get(f"/api/jobs/{job_id}").body["finished_at"]
    assert publish.lines("publish", user, JOB_ID=job_id) == first
    assert service.client.get(f"/api/jobs/{job_id}").body["finished_at"] == finished_at
