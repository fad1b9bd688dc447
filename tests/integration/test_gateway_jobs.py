"""Jobs over HTTP: what is refused, and what is said of jobs that did not end well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.errors import FieldProblem, InvalidRequest
from shared.job_states import Announce, ChunkRef
from tests.answers import ASYNC, INTERNALS, NDJSON, OTHER, USER, batch, refused, submit
from tests.platform import Gateway, Platform


@pytest.fixture
def gateway(platform: Platform) -> Gateway:
    return platform.gateway()


@pytest.mark.parametrize(
    ("method", "suffix", "headers"),
    [
        ("GET", "", {}),
        ("POST", "/cancel", {}),
        ("GET", "/results", {}),
        ("GET", "/results", NDJSON),
        ("GET", "/failures", {}),
    ],
    ids=["state", "cancel", "results", "results-as-ndjson", "failures"],
)
def test_an_unknown_job_is_not_found(gateway: Gateway, method: str, suffix: str, headers: dict[str, str]) -> None:
    answer = gateway.client.open(f"/api/jobs/{uuid4()}{suffix}", method=method, headers=headers)
    refused(answer, 404, "job-not-found")


@pytest.mark.parametrize("headers", [{}, NDJSON], ids=["a-page", "as-ndjson"])
def test_results_before_they_are_ready_come_with_when_to_ask_again(gateway: Gateway, headers: dict[str, str]) -> None:
    answer = gateway.client.get(f"{submit(gateway)}/results", headers=headers)
    problem = refused(answer, 409, "results-not-ready")
    assert "accepted: 0 of 1 users" in problem["detail"]
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("headers", [{}, NDJSON], ids=["a-page", "as-ndjson"])
def test_results_after_they_expire_are_gone(platform: Platform, gateway: Gateway, headers: dict[str, str]) -> None:
    job = submit(gateway)
    gateway.parts.jobs.work(ChunkRef(UUID(job.rpartition("/")[2]), 0), "a worker")
    assert gateway.client.get(f"{job}/results", headers=headers).status_code == 200
    platform.sql("jobs_db", "UPDATE jobs SET expires_at = now() - interval '1 second'")
    refused(gateway.client.get(f"{job}/results", headers=headers), 410, "results-expired")
    assert gateway.client.get(job).get_json()["state"] == "completed"


@pytest.mark.parametrize("headers", [{}, NDJSON], ids=["a-page", "as-ndjson"])
def test_a_cancelled_job_has_no_results(gateway: Gateway, headers: dict[str, str]) -> None:
    job = submit(gateway)
    assert gateway.client.post(f"{job}/cancel").get_json()["state"] == "cancelled"
    problem = refused(gateway.client.get(f"{job}/results", headers=headers), 409, "no-results")
    assert "cancelled" in problem["detail"]


def test_a_failed_job_says_why_without_internals_and_has_no_results(platform: Platform, gateway: Gateway) -> None:
    job = submit(gateway)
    work = ChunkRef(UUID(job.rpartition("/")[2]), 0)
    slow = platform.parts(database_bulk_seconds=0.1)
    with platform.locked("engagement_db", "interaction"):
        for _ in range(3):
            slow.jobs.work(work, "a worker")
    document = gateway.client.get(job)
    assert document.get_json()["state"] == "failed"
    assert document.get_json()["problem"]["type"] == "/problems/job-failed"
    assert document.get_json()["problem"]["detail"]
    assert not [word for word in INTERNALS if word in document.text]
    refused(gateway.client.get(f"{job}/results"), 409, "no-results")


def test_the_users_that_failed_are_told_with_the_reason(platform: Platform, gateway: Gateway) -> None:
    job = submit(gateway, USER, OTHER)
    refused(gateway.client.get(f"{job}/failures"), 409, "results-not-ready")
    slow = platform.parts(database_bulk_seconds=0.1)
    with platform.locked("engagement_db", "interaction"):
        for _ in range(3):
            slow.jobs.work(ChunkRef(UUID(job.rpartition("/")[2]), 0), "a worker")
    first = gateway.client.get(f"{job}/failures?limit=1").get_json()
    assert (first["job_id"], first["count"]) == (job.rpartition("/")[2], 1)
    second = gateway.client.get(f"{job}/failures?limit=1&cursor={first['next_cursor']}").get_json()
    assert [failure["user_id"] for failure in first["failures"] + second["failures"]] == [USER, OTHER]
    assert "longer than its bound" in first["failures"][0]["detail"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    "cursor",
    ["", "abc", "!!!", "AAAAAAAAAAA=====", "é", "AAAAAAAAAAAAAAAAAAAAAA", "a b", "1", "null", "A" * 64],
    ids=["empty", "short", "punctuation", "padding", "accent", "long", "blank", "number", "word", "longest"],
)
def test_a_cursor_that_no_page_gave_is_refused(gateway: Gateway, cursor: str) -> None:
    job = submit(gateway)
    gateway.parts.jobs.work(ChunkRef(UUID(job.rpartition("/")[2]), 0), "a worker")
    answer = gateway.client.get(f"{job}/results", query_string={"cursor": cursor})
    refused(answer, 400, "invalid-request", "cursor", "the `next_cursor` of the page before")


@pytest.mark.parametrize(
    "key",
    ["", " ", "two words", "tab\there", "é", "\x7f", "x" * 201],
    ids=["empty", "blank", "blank-inside", "tab", "accent", "control", "too-long"],
)
def test_a_bad_idempotency_key_is_refused(gateway: Gateway, key: str) -> None:
    answer = batch(gateway, USER, headers=ASYNC | {"Idempotency-Key": key})
    refused(answer, 400, "invalid-request", "Idempotency-Key", "1 to 200 visible ASCII characters")


def test_an_idempotency_key_finds_its_job_again(gateway: Gateway) -> None:
    keyed = {"Idempotency-Key": "x" * 200}
    assert submit(gateway, USER, OTHER, **keyed) == submit(gateway, USER, OTHER, **keyed)


@pytest.mark.parametrize(
    ("users", "fields"), [((OTHER,), {}), ((USER, OTHER), {}), ((USER,), {"limit": 11})], ids=["user", "more", "limit"]
)
def test_an_idempotency_key_with_another_request_is_refused_without_a_word_about_that_one(
    gateway: Gateway, users: tuple[str, ...], fields: dict[str, Any]
) -> None:
    keyed = {"Idempotency-Key": "monday"}
    theirs = submit(gateway, USER, **keyed)
    answer = batch(gateway, *users, headers=ASYNC | keyed, **fields)
    refused(answer, 422, "idempotency-mismatch")
    assert theirs not in answer.text


@pytest.mark.parametrize(
    "field",
    [{"deadline": "2100-01-01T00:00:00Z"}, {"reply_to": "recommendations.reply.here"}],
    ids=lambda f: next(iter(f)),
)
def test_what_only_a_job_can_do_makes_it_one(gateway: Gateway, field: dict[str, str]) -> None:
    assert batch(gateway, USER, **field).status_code == 202


def test_a_job_tells_its_deadline_and_expires_after_it(gateway: Gateway) -> None:
    soon = datetime.now(UTC) - timedelta(seconds=1)
    job = batch(gateway, USER, deadline=soon.isoformat()).headers["Location"]
    assert gateway.client.get(job).get_json()["deadline"] == f"{soon:%Y-%m-%dT%H:%M:%S.%fZ}"
    gateway.parts.upkeep.round("a worker")
    document = gateway.client.get(job).get_json()
    assert (document["state"], document["problem"]["type"]) == ("expired", "/problems/job-expired")
    assert gateway.client.get(f"{job}/results").get_json()["count"] == 0


def test_a_callback_to_a_host_that_is_not_listed_is_refused(gateway: Gateway) -> None:
    answer = batch(gateway, USER, callback_url="https://hooks.example.com/done")
    refused(
        answer, 400, "invalid-request", "callback_url", "an address whose host the operator of the service has listed"
    )


def test_a_full_queue_is_503_with_when_to_come_back_and_what_can_be_answered_at_once_is(platform: Platform) -> None:
    gateway = platform.gateway(queue_users=1)
    job = submit(gateway, USER)
    answer = batch(gateway, OTHER, headers=ASYNC)
    refused(answer, 503, "queue-full")
    assert answer.headers["Retry-After"] == "30"
    assert batch(gateway, OTHER).status_code == 200
    gateway.client.post(f"{job}/cancel")
    submit(gateway, OTHER)


def test_a_caller_over_its_share_is_429_with_when_to_come_back_and_another_is_not(platform: Platform) -> None:
    gateway = platform.gateway(caller_users=1)
    submit(gateway, USER)
    answer = batch(gateway, OTHER, headers=ASYNC)
    refused(answer, 429, "too-much-at-once")
    assert answer.headers["Retry-After"] == "30"
    gateway.client.environ_base["REMOTE_ADDR"] = "192.0.2.7"
    submit(gateway, OTHER)


def test_a_rejected_job_says_which_fields_were_wrong(gateway: Gateway) -> None:
    job_id = uuid4()
    error = InvalidRequest("limit: too large", [FieldProblem("limit", "too large", "1 to 100")])
    gateway.parts.jobs.reject(job_id, error, Announce())
    document = gateway.client.get(f"/api/jobs/{job_id}").get_json()
    assert (document["state"], document["total"], document["limit"]) == ("rejected", 0, None)
    assert document["problem"] == {
        "type": "/problems/invalid-request",
        "title": "The request is not valid",
        "detail": "limit: too large",
        "errors": [{"field": "limit", "message": "too large", "allowed": "1 to 100"}],
    }
    refused(gateway.client.get(f"/api/jobs/{job_id}/results"), 409, "no-results")
