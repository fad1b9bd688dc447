"""docs/OPERATIONS.md: its queries and commands run, its settings and links are real."""

from __future__ import annotations

import re
import shlex
from uuid import uuid4

import pytest
import redis

from demo.servers import Valkey
from shared.errors import InvalidRequest
from shared.job_states import Announce, ChunkRef, Order
from shared.repositories.chunks import ChunkRepository
from tests.guides import DOCS, Guide
from tests.platform import Platform


@pytest.fixture(scope="module")
def guide() -> Guide:
    return Guide("OPERATIONS.md")


def test_its_links_lead_somewhere(guide: Guide) -> None:
    assert not guide.dangling_links()


def test_its_settings_are_there_with_the_defaults_it_tells(guide: Guide) -> None:
    assert not guide.wrong_settings(
        besides={"GATEWAY_PUBLISH", "NUMBA_CACHE_DIR"}
    )  # which docker compose and numba read


def test_the_query_of_open_jobs_shows_how_far_each_is(platform: Platform, guide: Guide) -> None:
    platform.title("A title", "Drama")
    parts = platform.parts(chunk_users=1, chunks_in_flight=2)
    job = parts.jobs.submit(Order([uuid4() for _ in range(4)], 5))
    parts.jobs.work(ChunkRef(job.job_id, 0), "a worker")
    query = guide.code("sql: jobs_db open")
    [(job_id, state, total, done, waiting, queued, running, dead, overdue, left, problem)] = platform.sql(
        "jobs_db", query
    )
    assert (job_id, state, total, done) == (str(job.job_id), "running", 4, 1)
    assert (waiting, queued, running, dead, overdue, problem) == (1, 2, 0, 0, None, None)
    assert left.total_seconds() > 0

    chunks = ChunkRepository(parts.ledger)
    assert chunks.claim(ChunkRef(job.job_id, 1), worker="a", lease_seconds=60)
    [(*_, running, _, overdue, _, _)] = platform.sql("jobs_db", query)
    assert (running, -60 <= overdue.total_seconds() < 0) == (1, True)
    assert chunks.claim(ChunkRef(job.job_id, 2), worker="b", lease_seconds=-5)
    [(*_, running, _, overdue, _, _)] = platform.sql("jobs_db", query)
    assert (running, overdue.total_seconds() >= 5) == (2, True)


def test_the_command_that_makes_a_publisher_gives_the_rights_of_the_file(valkey: Valkey, guide: Guide) -> None:
    program, option, address, *words = shlex.split(guide.code("run: make a publisher").replace("\\\n", " "))
    assert (program, option, address, words[:2]) == ("redis-cli", "-u", "$BROKER_URL", ["ACL", "SETUSER"])
    [line] = (DOCS / "messages" / "publisher.acl").read_text(encoding="utf-8").splitlines()
    _, _, *rules = re.findall(r"\([^)]*\)|\S+", line)
    name = words[2]
    assert words[3:] == [rule.replace("recommendations.reply.*", f"recommendations.reply.{name}*") for rule in rules]
    with redis.Redis.from_url(valkey.url()) as admin:
        try:
            assert admin.execute_command(*words)
        finally:
            admin.execute_command("ACL", "DELUSER", name)


def test_the_query_of_publishers_jobs_shows_them_alone(platform: Platform, guide: Guide) -> None:
    platform.title("A title", "Drama")
    parts, announce = platform.parts(), Announce(reply_to="recommendations.reply.newsletter")
    theirs = parts.jobs.submit(Order([uuid4(), uuid4()], 5, announce=announce), caller="publishers")
    parts.jobs.submit(Order([uuid4()], 5), caller="127.0.0.1")
    found = platform.sql("jobs_db", guide.code("sql: jobs_db publishers"))
    assert found == [(str(theirs.job_id), 2, "recommendations.reply.newsletter", None)]


def test_the_query_of_callers_shows_who_has_how_much_in_open_jobs(platform: Platform, guide: Guide) -> None:
    platform.title("A title", "Drama")
    parts = platform.parts()
    for caller, users in (("key:newsletter", 2), ("token:billing", 4), ("key:newsletter", 1)):
        parts.jobs.submit(Order([uuid4() for _ in range(users)], 5), caller=caller)
    ended = parts.jobs.submit(Order([uuid4()], 5), caller="key:newsletter")
    parts.jobs.cancel(ended.job_id)
    found = platform.sql("jobs_db", guide.code("sql: jobs_db callers"))
    assert found == [("token:billing", 1, 4), ("key:newsletter", 2, 3)]


def test_the_query_of_callbacks_shows_those_that_were_given_up(platform: Platform, guide: Guide) -> None:
    parts, job_id = platform.parts(), uuid4()
    parts.jobs.reject(job_id, InvalidRequest("no"), Announce(callback_url="https://hooks.example.com/"))
    assert platform.sql("jobs_db", guide.code("sql: jobs_db callbacks")) == []
    platform.sql("jobs_db", "UPDATE announcements SET given_up = true, attempts = 8, problem = 'it answered 500'")
    assert platform.sql("jobs_db", guide.code("sql: jobs_db callbacks")) == [
        (str(job_id), "callback_url", 8, "it answered 500")
    ]
