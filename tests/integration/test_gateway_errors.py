"""What the gateway says when something is wrong: with the request, with what it leans on, or with itself."""

from __future__ import annotations

import io
import time
from typing import Any
from uuid import UUID, uuid4

import pytest

from gateway.errors import PROBLEMS
from shared.contracts import BatchRequest, UserPageRequest
from tests.answers import ASYNC, BATCH, LIST, OTHER, USER, batch, closed, refused, submit, unavailable
from tests.platform import Gateway, Platform, wait_for

PREVIEW = "/api/recommendations/preview"
USERS_PER_JOB = 3
BODY_BYTES = 2000


@pytest.fixture
def gateway(platform: Platform) -> Gateway:
    return platform.gateway(job_users=USERS_PER_JOB, request_bytes=BODY_BYTES)


# The request.

BAD_ADDRESSES = {
    "user-no-uuid": ("GET", "/api/recommendations/42", "user_id", None),
    "user-without-hyphens": ("GET", f"/api/recommendations/{USER.replace('-', '')}", "user_id", None),
    "user-with-sql": ("GET", "/api/recommendations/' OR 1=1 --", "user_id", None),
    "user-with-a-nul": ("GET", "/api/recommendations/%00", "user_id", None),
    "job-no-uuid": ("GET", "/api/jobs/latest", "job_id", None),
    "results-job-no-uuid": ("GET", "/api/jobs/latest/results", "job_id", None),
    "cancel-job-no-uuid": ("POST", "/api/jobs/latest/cancel", "job_id", None),
    "limit-0": ("GET", f"{LIST}?limit=0", "limit", "1 to 100"),
    "limit-101": ("GET", f"{LIST}?limit=101", "limit", "1 to 100"),
    "limit-negative": ("GET", f"{LIST}?limit=-1", "limit", "1 to 100"),
    "limit-empty": ("GET", f"{LIST}?limit=", "limit", "1 to 100"),
    "limit-word": ("GET", f"{LIST}?limit=all", "limit", "1 to 100"),
    "limit-huge": ("GET", f"{LIST}?limit={'9' * 400}", "limit", "1 to 100"),
    "offset-negative": ("GET", f"{LIST}?offset=-1", "offset", "0 to 1000000"),
    "offset-too-far": ("GET", f"{LIST}?offset=1000001", "offset", "0 to 1000000"),
    "query-misspelt": ("GET", f"{LIST}?limt=5", "limt", ", ".join(UserPageRequest.model_fields)),
    "limit-twice": ("GET", f"{LIST}?limit=5&limit=6", "limit", None),
    "the-same-limit-twice": ("GET", f"{LIST}?limit=5&limit=5", "limit", None),
    "batch-with-a-query": ("POST", f"{BATCH}?limit=5", "limit", "no fields"),
    "job-with-a-query": ("GET", f"/api/jobs/{USER}?verbose=1", "verbose", "no fields"),
    "cancel-with-a-query": ("POST", f"/api/jobs/{USER}/cancel?force=1", "force", "no fields"),
    "results-limit-0": ("GET", f"/api/jobs/{USER}/results?limit=0", "limit", "1 to 1000"),
    "results-limit-1001": ("GET", f"/api/jobs/{USER}/results?limit=1001", "limit", "1 to 1000"),
    "results-by-offset": ("GET", f"/api/jobs/{USER}/results?offset=1", "offset", "limit, cursor"),
    "cursor-too-long": ("GET", f"/api/jobs/{USER}/results?cursor={'A' * 65}", "cursor", "at most 64 characters"),
}


@pytest.mark.parametrize(("method", "address", "field", "allowed"), BAD_ADDRESSES.values(), ids=BAD_ADDRESSES)
def test_a_bad_path_or_query_is_refused_with_its_field_and_what_is_allowed(
    gateway: Gateway, method: str, address: str, field: str, allowed: str | None
) -> None:
    refused(gateway.client.open(address, method=method), 400, "invalid-request", field, allowed)


BAD_BODIES = {
    "users-missing": ({"limit": 5}, "user_ids", "1 or more"),
    "users-empty": ({"user_ids": []}, "user_ids", "1 or more"),
    "users-null": ({"user_ids": None}, "user_ids", "1 or more"),
    "users-no-list": ({"user_ids": USER}, "user_ids", "1 or more"),
    "a-user-no-uuid": ({"user_ids": [USER, "x"]}, "user_ids[1]", None),
    "a-user-null": ({"user_ids": [None]}, "user_ids[0]", None),
    "limit-0": ({"user_ids": [USER], "limit": 0}, "limit", "1 to 100"),
    "limit-101": ({"user_ids": [USER], "limit": 101}, "limit", "1 to 100"),
    "limit-text": ({"user_ids": [USER], "limit": "10"}, "limit", "1 to 100"),
    "limit-true": ({"user_ids": [USER], "limit": True}, "limit", "1 to 100"),
    "limit-fraction": ({"user_ids": [USER], "limit": 10.5}, "limit", "1 to 100"),
    "limit-null": ({"user_ids": [USER], "limit": None}, "limit", "1 to 100"),
    "field-unknown": ({"user_ids": [USER], "offset": 3}, "offset", ", ".join(BatchRequest.model_fields)),
    "users-too-many": ({"user_ids": [str(UUID(int=i)) for i in range(4)]}, "user_ids", "1 to 3 users"),
}


@pytest.mark.parametrize(("body", "field", "allowed"), BAD_BODIES.values(), ids=BAD_BODIES)
@pytest.mark.parametrize("headers", [{}, ASYNC], ids=["at-once", "as-a-job"])
def test_a_bad_body_is_refused_with_its_field_and_what_is_allowed(
    gateway: Gateway, body: dict[str, Any], field: str, allowed: str | None, headers: dict[str, str]
) -> None:
    answer = gateway.client.post(BATCH, json=body, headers=headers)
    refused(answer, 400, "invalid-request", field, allowed)


def test_users_listed_twice_count_once_towards_the_most_that_are_allowed(gateway: Gateway) -> None:
    answer = batch(gateway, USER, OTHER, USER, OTHER, USER)
    assert answer.status_code == 200, answer.text
    assert answer.get_json()["total_users"] == 2


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"user_ids", id="bare-word"),
        pytest.param(b'{"user_ids": [', id="cut-off"),
        pytest.param(b"{'user_ids': []}", id="single-quotes"),
        pytest.param(b'{"user_ids": ["%s"], "limit": NaN}' % USER.encode(), id="nan"),
        pytest.param(b'{"user_ids": ["\xff"]}', id="no-utf-8"),
        pytest.param(b'{"user_ids": ["\\ud800"]}', id="half-a-surrogate-pair"),
        pytest.param('{"user_ids": []}'.encode("utf-16"), id="utf-16"),
        pytest.param(b"[" * (BODY_BYTES - 1), id="nested-without-end"),
        pytest.param(b'{"user_ids": []} {}', id="two-documents"),
    ],
)
def test_a_body_that_is_no_json_is_refused(gateway: Gateway, body: bytes) -> None:
    problem = refused(gateway.client.post(BATCH, data=body, content_type="application/json"), 400, "invalid-request")
    assert "not valid JSON" in problem["detail"]


@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b'"text"', b"true", b'[{"user_ids": []}]'])
def test_json_that_is_no_object_is_refused(gateway: Gateway, body: bytes) -> None:
    problem = refused(gateway.client.post(BATCH, data=body, content_type="application/json"), 400, "invalid-request")
    assert "not a JSON object" in problem["detail"]


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param(None, id="absent"),
        pytest.param("", id="empty"),
        pytest.param("text/plain", id="text"),
        pytest.param("application/x-www-form-urlencoded", id="form"),
        pytest.param("multipart/form-data; boundary=x", id="multipart"),
        pytest.param("application/problem+json", id="other-json"),
        pytest.param("application/json-seq", id="nearly-json"),
    ],
)
def test_a_body_of_another_content_type_is_refused(gateway: Gateway, content_type: str | None) -> None:
    body = b'{"user_ids": ["%s"]}' % USER.encode()
    problem = refused(gateway.client.post(BATCH, data=body, content_type=content_type), 415, "unsupported-media-type")
    assert "application/json" in problem["detail"]


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_state_its_character_set_and_its_type_in_any_case(gateway: Gateway, content_type: str) -> None:
    body = b'{"user_ids": ["%s"]}' % USER.encode()
    assert gateway.client.post(BATCH, data=body, content_type=content_type).status_code == 200


def test_a_body_over_the_size_limit_is_refused(gateway: Gateway) -> None:
    body = b'{"user_ids": ["%s"]%s}' % (USER.encode(), b" " * BODY_BYTES)
    refused(gateway.client.post(BATCH, data=body, content_type="application/json"), 413, "body-too-large")


def test_a_body_of_just_the_size_limit_is_taken(gateway: Gateway) -> None:
    body = (b'{"user_ids": ["%s"]}' % USER.encode()).ljust(BODY_BYTES)
    assert gateway.client.post(BATCH, data=body, content_type="application/json").status_code == 200


def test_a_body_over_the_size_limit_is_refused_though_its_length_is_not_announced(gateway: Gateway) -> None:
    answer = gateway.client.post(
        BATCH,
        input_stream=io.BytesIO(b'{"user_ids": ["%s"]}' % USER.encode() + b" " * BODY_BYTES),
        content_type="application/json",
        environ_overrides={"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True},  # as gunicorn does
    )
    refused(answer, 413, "body-too-large")


@pytest.mark.parametrize(
    ("method", "address", "allowed"),
    [
        ("PUT", LIST, {"GET", "HEAD", "POST", "OPTIONS"}),
        ("DELETE", LIST, {"GET", "HEAD", "POST", "OPTIONS"}),
        ("GET", PREVIEW, {"POST", "OPTIONS"}),
        ("GET", BATCH, {"POST", "OPTIONS"}),
        ("PUT", BATCH, {"POST", "OPTIONS"}),
        ("POST", f"/api/jobs/{USER}", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", f"/api/jobs/{USER}/results", {"GET", "HEAD", "OPTIONS"}),
        ("GET", f"/api/jobs/{USER}/cancel", {"POST", "OPTIONS"}),
        ("POST", "/health", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/health/ready", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_another_method_is_refused_with_those_that_are_allowed(
    gateway: Gateway, method: str, address: str, allowed: set[str]
) -> None:
    answer = gateway.client.open(address, method=method)
    refused(answer, 405, "method-not-allowed")
    assert allowed <= set(answer.headers["Allow"].split(", "))
    assert method not in answer.headers["Allow"].split(", ")


@pytest.mark.parametrize(
    "address",
    ["/", "/nowhere", "/api", "/api/recommendations", f"{LIST}/more", "/api/jobs", "/problems/of-my-own", "/%00", "/é"],
)
def test_an_unknown_address_is_not_found(gateway: Gateway, address: str) -> None:
    refused(gateway.client.get(address), 404, "not-found")


@pytest.mark.parametrize("address", ["/health", "/health/live", LIST, f"/api/jobs/{USER}", "/problems/not-found"])
def test_a_slash_at_the_end_changes_nothing(gateway: Gateway, address: str) -> None:
    without, with_slash = gateway.client.get(address), gateway.client.get(address + "/")
    assert with_slash.status_code == without.status_code
    expected = without.get_json()
    if "instance" in expected:
        expected["instance"] += "/"
    if "cached" in expected:
        expected["cached"] = True
    assert with_slash.get_json() == expected


def test_a_batch_may_be_posted_with_a_slash_at_the_end(gateway: Gateway) -> None:
    assert gateway.client.post(f"{BATCH}/", json={"user_ids": [USER]}).status_code == 200


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_address_of_each_problem_explains_it(gateway: Gateway, name: str) -> None:
    answer = gateway.client.get(f"/problems/{name}")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    explanation = answer.get_json()
    assert explanation["type"] == f"/problems/{name}"
    assert explanation["status"] == PROBLEMS[name].status
    assert explanation["title"]
    assert explanation["advice"]


# What the gateway leans on, and itself.


def test_without_catalog_db_the_answer_is_503_with_when_to_come_back(platform: Platform) -> None:
    gateway = platform.gateway(catalog_db_url=closed("postgresql"))
    unavailable(gateway.client.get(LIST))
    unavailable(batch(gateway, USER))


def test_the_gateway_recovers_by_itself_when_catalog_db_comes_up_after_it(platform: Platform) -> None:
    platform.title("Alien")
    with platform.down("catalog_db"):
        gateway = platform.gateway()
        unavailable(gateway.client.get(LIST))
    wait_for(lambda: gateway.client.get(LIST).status_code == 200)
    assert gateway.titles(UUID(USER)) == ["Alien"]


def test_without_user_db_the_list_is_collaborative_and_degraded(platform: Platform) -> None:
    alien, brazil, user = platform.title("Alien", "Horror"), platform.title("Brazil", "Drama"), platform.user("Horror")
    platform.like([uuid4(), uuid4()], alien, brazil)
    platform.like(user, alien)
    platform.train()
    page = platform.gateway(user_db_url=closed("postgresql")).page(user, fresh=False)
    assert (page["strategy"], page["degraded"]) == ("collaborative", True)
    assert [title["title"] for title in page["recommendations"]] == ["Brazil"]


def test_without_engagement_db_the_list_is_from_genres_degraded_and_not_cached(platform: Platform) -> None:
    platform.title("Alien", "Horror")
    platform.title("Brazil", "Drama")
    user = platform.user("Drama")
    gateway = platform.gateway(engagement_db_url=closed("postgresql"))
    for _ in range(2):
        page = gateway.page(user, fresh=False)
        assert (page["strategy"], page["degraded"], page["cached"]) == ("content", True, False)
        assert [title["title"] for title in page["recommendations"]] == ["Brazil", "Alien"]


def test_without_users_and_engagement_the_list_is_popular_and_degraded(platform: Platform) -> None:
    platform.title("Alien")
    gateway = platform.gateway(engagement_db_url=closed("postgresql"), user_db_url=closed("postgresql"))
    page = gateway.page(platform.user("Drama"))
    assert (page["strategy"], page["degraded"], page["count"]) == ("popular", True, 1)


def test_without_jobs_db_jobs_are_unavailable_and_lists_are_not(platform: Platform) -> None:
    gateway = platform.gateway(jobs_db_url=closed("postgresql"))
    unavailable(gateway.client.get(f"/api/jobs/{USER}"))
    unavailable(gateway.client.get(f"/api/jobs/{USER}/results"))
    unavailable(batch(gateway, USER, headers=ASYNC))
    assert gateway.page(UUID(USER))["degraded"] is False


def test_without_redis_lists_are_computed_and_it_is_logged_once(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    platform.title("Alien")
    gateway = platform.gateway(redis_url=closed("redis"), retry_pause_seconds=0.01)
    for _ in range(6):
        page = gateway.page(uuid4(), fresh=False)
        assert (page["count"], page["cached"], page["degraded"]) == (1, False, False)
        time.sleep(0.02)  # so that Redis is asked again each time
    assert [r.getMessage().partition(",")[0] for r in caplog.records if "Redis is down" in r.getMessage()] == [
        "Redis is down"
    ]
    assert "hunter2secret" not in caplog.text


def test_with_every_connection_busy_the_answer_is_503_at_once(platform: Platform) -> None:
    gateway = platform.gateway(database_connections=1, database_checkout_seconds=0.1)
    with gateway.parts.databases.jobs.transaction():
        unavailable(gateway.client.get(f"/api/jobs/{USER}"), "busy")
    refused(gateway.client.get(f"/api/jobs/{USER}"), 404, "job-not-found")


def test_a_defect_is_a_plain_500_for_the_caller_and_told_in_full_in_the_log(
    platform: Platform, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    job = submit(gateway)
    platform.sql("jobs_db", "ALTER TABLE jobs DROP CONSTRAINT jobs_state_check")
    platform.sql("jobs_db", "UPDATE jobs SET state = 'a state from the future'")
    answer = gateway.client.get(job)
    platform.drop_ledger()
    refused(answer, 500, "internal")
    assert "future" not in answer.text
    assert "a state from the future" in caplog.text
    assert "Traceback" in caplog.text
