"""The whole service with no more rights than it needs: database roles, and users of Redis, for each of its parts."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from kombu import Connection

from demo import acl, roles
from demo.client import Client
from demo.databases import load_sample
from demo.process import PROJECT, Process
from demo.servers import Postgres, Valkey
from shared.contracts import BATCH_TASK, DEAD_SUFFIX, QUEUE, REPLY_PREFIX
from shared.options import START
from tests.acl import set_user, users
from tests.faults.sample import small_sample
from tests.platform import Platform, wait_for
from tests.processes import GatewayProcess, WorkerProcess
from worker.guard.envelope import TaskMessage

PASSWORDS = {name: f"{secrets.token_urlsafe(9)}/@: %" for name in {*roles.ROLES, *acl.USERS}}
REPLY = REPLY_PREFIX + "tests"
PUBLISHER = "publisher"
BATCH = "/api/recommendations/batch"
SOON = 20.0  # s


@dataclass(frozen=True)
class Service:
    """What runs, and who is in it."""

    platform: Platform
    postgres: Postgres
    valkey: Valkey
    users: list[str]
    client: Client
    logs: list[Path]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A trainer that has been, a worker and a gateway, each with a role and a user of its own."""
    folder = tmp_path_factory.mktemp("rights")
    with contextlib.ExitStack() as started:
        postgres = started.enter_context(Postgres(folder / "postgres", durable=False))
        valkey = started.enter_context(Valkey(folder / "valkey", appendonly=False, passwords=PASSWORDS))
        platform = Platform(postgres, valkey, folder / "models")
        started.callback(platform.close)
        platform.broker_url = valkey.url(1, user="administrator")
        sample = small_sample()
        load_sample(sample, *(platform.urls[name] for name in ("user_db", "catalog_db", "engagement_db")))
        roles.grant(postgres, PASSWORDS)
        train = Process(
            [Path(sys.executable), "-m", "worker", "train"],
            log=folder / "trainer.log",
            environment=platform.environment(**addresses(postgres, valkey, "trainer")),
        )
        assert train.wait(60) == 0, train.log_tail()
        often = {"beat_seconds": 0.5, "lease_seconds": 2, "chunk_users": 5}
        worker = WorkerProcess(platform, folder / "worker.log", **addresses(postgres, valkey, "worker"), **often)
        started.enter_context(worker)
        gateway = GatewayProcess(platform, folder / "gateway.log", **addresses(postgres, valkey, "gateway"))
        started.enter_context(gateway)
        ids = [str(user.id) for user in sample.users]
        yield Service(platform, postgres, valkey, ids, gateway.client, sorted(folder.glob("*.log")))
        assert worker.process.running, worker.process.log_tail()


def addresses(postgres: Postgres, valkey: Valkey, name: str) -> dict[str, str]:
    urls = roles.addresses(postgres, name, PASSWORDS[name])
    user = "gateway" if name == "gateway" else "worker"
    queues = {"redis_url": valkey.url(0, user=user), "broker_url": valkey.url(1, user=user)}
    return {f"{database}_url": url for database, url in urls.items()} | queues


@pytest.fixture
def queue(service: Service) -> Iterator[redis.Redis]:
    """The broker, as its administrator sees it."""
    with redis.Redis.from_url(service.platform.broker_url) as admin:
        yield admin


def test_lists_come_are_cached_and_can_be_paged_through(service: Service) -> None:
    path = f"/api/recommendations/{service.users[0]}?limit=3"
    first = service.client.get(path).body
    assert (first["strategy"], first["degraded"], first["count"]) == ("hybrid", False, 3)
    assert first["model_version"]
    wait_for(lambda: service.client.get(path).body["cached"], SOON)
    page = service.client.get(f"{path}&cursor={START}").body
    assert page["next_cursor"]
    assert service.client.get(f"{path}&cursor={page['next_cursor']}").body["cached"]
    assert not service.client.get("/api/titles/popular?half_life_days=90&limit=3").body["degraded"]
    assert service.client.post(BATCH, {"user_ids": service.users[:3]}).body["total_users"] == 3


def test_a_job_runs_from_its_submission_to_its_results(service: Service) -> None:
    body = {"user_ids": service.users[:20], "limit": 3}
    accepted = service.client.post(BATCH, body, expect=202, headers={"Prefer": "respond-async"})
    job = accepted.headers["Location"]
    wait_for(lambda: service.client.get(job).body["state"] == "completed", SOON)
    lines = list(service.client.lines(f"{job}/results"))
    assert [line["user_id"] for line in lines] == service.users[:20]
    other = service.client.post(BATCH, body, expect=202, headers={"Prefer": "respond-async"}).headers["Location"]
    service.client.post(f"{other}/cancel", {}, expect=None)
    wait_for(lambda: service.client.get(other).body["state"] in ("cancelled", "completed"), SOON)


def test_a_message_of_a_publisher_becomes_a_job_and_it_hears_of_the_end(service: Service, queue: redis.Redis) -> None:
    set_user(queue, PUBLISHER, PASSWORDS["worker"], users(PROJECT / "docs/messages/publisher.acl")[PUBLISHER])
    job_id = str(uuid4())
    arguments = {"job_id": job_id, "user_ids": service.users[:2], "reply_to": REPLY}
    nothing = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    address = service.valkey.url(1, user="worker").replace("//worker:", f"//{PUBLISHER}:")
    with Connection(address) as connection, connection.Producer() as producer:
        producer.publish([[], arguments, nothing], headers={"task": BATCH_TASK, "id": job_id}, routing_key=QUEUE)
    with redis.Redis.from_url(address, socket_timeout=SOON + 5) as publisher:
        _, reply = publisher.brpop([REPLY], timeout=SOON)
    assert json.loads(reply)["data"]["job_id"] == job_id
    assert service.client.get(f"/api/jobs/{job_id}").body["state"] == "completed"


def test_what_is_no_message_becomes_a_dead_letter(service: Service, queue: redis.Redis) -> None:
    queue.lpush(QUEUE, "no message")
    wait_for(lambda: queue.llen(QUEUE + DEAD_SUFFIX) == 1, SOON)
    assert base64.b64decode(json.loads(queue.lindex(QUEUE + DEAD_SUFFIX, 0))["raw"]) == b"no message"


def test_what_a_dead_worker_held_is_put_back(service: Service, queue: redis.Redis) -> None:
    """A lease ago, by kombu's own looks, which come every second here."""
    job_id = str(uuid4())
    arguments: dict[str, Any] = {"job_id": job_id, "user_ids": service.users[:2]}
    message = TaskMessage(BATCH_TASK, job_id, arguments).envelope(QUEUE)
    queue.hset("unacked", "lost", json.dumps([message, "", QUEUE]))
    queue.zadd("unacked_index", {"lost": 1})
    wait_for(lambda: service.client.get(f"/api/jobs/{job_id}", expect=None).body.get("state") == "completed", SOON)
    assert queue.hget("unacked", "lost") is None


def test_nobody_wanted_what_he_may_not(service: Service, queue: redis.Redis) -> None:
    """Not that any test above would have failed for it: this one comes last, and reads what was said meanwhile."""
    assert {entry["object"] for entry in queue.acl_log()} <= {"client|setinfo"}  # redis-py introduces itself
    for log in service.logs:
        assert not [line for line in log.read_text().splitlines() if "permi" in line.lower()], log
    who = "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name LIKE 'ml-service%'"
    assert set(service.platform.sql("jobs_db", who)) == {("ml_gateway",), ("ml_worker",)}
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert service.platform.sql("jobs_db", owners) == [("ml_worker",)]
