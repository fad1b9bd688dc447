"""docs/OPERATIONS.md: its queries run, its settings and links are real."""

from __future__ import annotations

from uuid import uuid4

import pytest

from shared.errors import InvalidRequest
from shared.job_states import Announce, ChunkRef, Order
from tests.guides import Guide
from tests.platform import Platform


@pytest.fixture(scope="module")
def guide() -> Guide:
    return Guide("OPERATIONS.md")


def test_its_links_lead_somewhere(guide: Guide) -> None:
    assert not guide.dangling_links()


def test_its_settings_are_there_with_the_defaults_it_tells(guide: Guide) -> None:
    assert not guide.wrong_settings()


def test_the_query_of_open_jobs_shows_how_far_each_is(platform: Platform, guide: Guide) -> None:
    platform.title("A title", "Drama")
    parts = platform.parts(chunk_users=1, chunks_in_flight=2)
    job = parts.jobs.submit(Order([uuid4() for _ in range(4)], 5))
    parts.jobs.work(ChunkRef(job.job_id, 0), "a worker")
    [(job_id, state, total, done, waiting, queued, running, dead, left, problem)] = platform.sql(
        "jobs_db", guide.code("sql: jobs_db open")
    )
    assert (job_id, state, total, done) == (str(job.job_id), "running", 4, 1)
    assert (waiting, queued, running, dead, problem) == (1, 2, 0, 0, None)
    assert left.total_seconds() > 0


def test_the_query_of_callbacks_shows_those_that_were_given_up(platform: Platform, guide: Guide) -> None:
    parts, job_id = platform.parts(), uuid4()
    parts.jobs.reject(job_id, InvalidRequest("no"), Announce(callback_url="https://hooks.example.com/"))
    assert platform.sql("jobs_db", guide.code("sql: jobs_db callbacks")) == []
    platform.sql("jobs_db", "UPDATE announcements SET given_up = true, attempts = 8, problem = 'it answered 500'")
    assert platform.sql("jobs_db", guide.code("sql: jobs_db callbacks")) == [
        (str(job_id), "callback_url", 8, "it answered 500")
    ]
