"""What all answers have in common: who they are for, how they are packed, and what they are called."""

from __future__ import annotations

import gzip
import logging
import re
import zlib
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.job_states import ChunkRef
from shared.telemetry import request_id
from tests.answers import ASYNC, BATCH, LIST, NDJSON, USER, batch, closed, submit
from tests.platform import Gateway, Platform

PACKED = {"Accept-Encoding": "gzip"}
APP, OTHER_APP = "https://app.example.com", "http://localhost:3000"


@pytest.fixture
def gateway(platform: Platform) -> Gateway:
    for number in range(20):
        platform.title(f"Title {number}", "Drama")
    return platform.gateway()


# ETag and Cache-Control.


def test_a_list_made_anew_has_the_etag_of_the_kept_one_until_something_changes(
    platform: Platform, gateway: Gateway
) -> None:
    user = platform.user("Drama")
    address = f"/api/recommendations/{user}"
    made, kept = gateway.client.get(address), gateway.client.get(address)
    assert [answer.get_json()["cached"] for answer in (made, kept)] == [False, True]
    assert made.headers["ETag"] == kept.headers["ETag"]
    have_it = {"If-None-Match": made.headers["ETag"]}
    again = gateway.client.get(address, headers=have_it)
    assert (again.status_code, again.data) == (304, b"")
    platform.delete(UUID(made.get_json()["recommendations"][0]["media_id"]))
    changed = gateway.client.get(address, headers=have_it)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != made.headers["ETag"]


CACHING = {
    "a-list": ("GET", LIST, "private, no-cache"),
    "a-problem": ("GET", f"{LIST}?limit=0", "no-store"),
    "nothing-there": ("GET", "/nowhere", "no-store"),
    "another-method": ("DELETE", LIST, "no-store"),
    "health": ("GET", "/health", "no-store"),
    "readiness": ("GET", "/health/ready", "no-store"),
    "an-explanation": ("GET", "/problems/internal", "public, max-age=3600"),
    "the-page": ("GET", "/docs", "public, max-age=3600"),
}


@pytest.mark.parametrize(("method", "address", "expected"), CACHING.values(), ids=CACHING)
def test_every_answer_says_who_may_keep_it(gateway: Gateway, method: str, address: str, expected: str) -> None:
    answer = gateway.client.open(address, method=method)
    assert answer.headers["Cache-Control"] == expected
    assert ("ETag" in answer.headers) == (answer.status_code == 200 and address in (LIST, "/problems/internal"))


def test_what_comes_of_a_job_is_never_kept(gateway: Gateway) -> None:
    job = submit(gateway)
    assert batch(gateway, USER).headers["Cache-Control"] == "no-store"
    assert batch(gateway, USER, headers=ASYNC).headers["Cache-Control"] == "no-store"
    gateway.parts.jobs.work(ChunkRef(UUID(job.rpartition("/")[2]), 0), "a worker")
    for suffix in ("", "/results", "/failures"):
        answer = gateway.client.get(job + suffix)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
        assert "ETag" not in answer.headers


# gzip.


@pytest.mark.parametrize("accepted", ["gzip", "deflate, gzip;q=0.5", "*", "GZIP", "br, gzip, identity;q=0.1"])
def test_an_answer_is_packed_for_whoever_takes_gzip(gateway: Gateway, accepted: str) -> None:
    plain = gateway.client.get(LIST)
    assert len(plain.data) > 500
    answer = gateway.client.get(LIST, headers={"Accept-Encoding": accepted})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert int(answer.headers["Content-Length"]) == len(answer.data) < len(plain.data)
    assert gzip.decompress(answer.data).replace(b'"cached":true', b'"cached":false') == plain.data
    assert answer.headers["ETag"] == plain.headers["ETag"]


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "identity, gzip;q=0.5", "*;q=0", "gzipped"])
def test_nobody_else_gets_it_packed_but_a_cache_is_told_that_some_do(gateway: Gateway, accepted: str) -> None:
    answer = gateway.client.get(LIST, headers={"Accept-Encoding": accepted})
    assert "Content-Encoding" not in answer.headers
    assert "Accept-Encoding" in answer.vary
    assert answer.get_json()["count"] == 10


def test_a_short_answer_and_a_304_are_not_packed(gateway: Gateway) -> None:
    assert "Content-Encoding" not in gateway.client.get("/health", headers=PACKED).headers
    again = gateway.client.get(LIST, headers=PACKED | {"If-None-Match": "*"})
    assert (again.status_code, again.data) == (304, b"")
    assert "Content-Encoding" not in again.headers
    assert "Accept-Encoding" in again.vary


def test_a_long_problem_is_packed_too(gateway: Gateway) -> None:
    answer = gateway.client.post(BATCH, json={"user_ids": ["x"] * 20}, headers=PACKED)
    assert (answer.status_code, answer.headers["Content-Encoding"]) == (400, "gzip")
    assert b"user_ids[19]" in gzip.decompress(answer.data)


def test_a_head_has_the_headers_of_the_get(gateway: Gateway) -> None:
    gateway.client.get(LIST)
    get, head = gateway.client.get(LIST, headers=PACKED), gateway.client.head(LIST, headers=PACKED)
    varying = {"X-Request-Id", "Date", "RateLimit"}
    assert {k: v for k, v in head.headers if k not in varying} == {k: v for k, v in get.headers if k not in varying}
    assert head.data == b""


def test_a_packed_stream_arrives_piece_by_piece_each_of_them_readable_at_once(platform: Platform) -> None:
    gateway = platform.gateway(chunk_users=1)
    users = [str(uuid4()) for _ in range(4)]
    job = submit(gateway, *users)
    for number in range(4):
        gateway.parts.jobs.work(ChunkRef(UUID(job.rpartition("/")[2]), number), "a worker")
    answer = gateway.client.get(f"{job}/results", headers=NDJSON | PACKED)
    assert (answer.headers["Content-Encoding"], "Content-Length" in answer.headers) == ("gzip", False)
    assert {"Accept", "Accept-Encoding"} <= set(answer.vary)
    unpack = zlib.decompressobj(zlib.MAX_WBITS + 16)
    pieces = [unpack.decompress(piece).decode() for piece in answer.iter_encoded()]
    assert unpack.eof
    assert [re.findall(r'^{"user_id":"(.+?)"', piece) for piece in pieces if piece] == [[user] for user in users]


# X-Request-Id.


class Heard(logging.Handler):
    """What is logged, with the request that it is logged for."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((request_id.get(), record.getMessage()))


@pytest.fixture
def heard() -> Any:
    handler = Heard()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


ADDRESSES = [LIST, f"{LIST}?limit=0", "/nowhere", "/health", "/docs", "/docs/swagger-ui.css", "/openapi.json"]


@pytest.mark.parametrize("given", ["a", "A-b_c.9", "x" * 128, USER])
def test_a_request_keeps_the_name_it_came_with(gateway: Gateway, given: str) -> None:
    for address in ADDRESSES:
        assert gateway.client.get(address, headers={"X-Request-Id": given}).headers["X-Request-Id"] == given, address


@pytest.mark.parametrize("given", [None, "", "x" * 129, "two words", "é", "a/b", "a,b", "<script>"])
def test_without_a_proper_name_it_is_given_one(gateway: Gateway, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-Id": given}
    made = {UUID(gateway.client.get(address, headers=headers).headers["X-Request-Id"]) for address in ADDRESSES}
    assert len(made) == len(ADDRESSES)


def test_what_is_logged_on_the_way_carries_the_requests_name_and_nothing_after_it_does(
    platform: Platform, heard: Heard
) -> None:
    gateway = platform.gateway(catalog_db_url=closed("postgresql"))
    for name in ("first", "second"):
        answer = gateway.client.get(LIST, headers={"X-Request-Id": name})
        assert answer.status_code == 503
        answer.close()  # as a server does
    assert [name for name, line in heard.lines if line.startswith(f"GET {LIST}")] == ["first", "second"]
    assert request_id.get() == "-"


def test_what_is_logged_while_a_stream_is_sent_carries_it_too(platform: Platform, heard: Heard) -> None:
    gateway = platform.gateway(redis_url=closed("redis"), rate_batch="none", rate_jobs="none")
    job = submit(gateway)
    platform.parts().jobs.work(ChunkRef(UUID(job.rpartition("/")[2]), 0), "a worker")
    answer = gateway.client.get(f"{job}/results", headers=NDJSON | {"X-Request-Id": "streamed"})
    assert answer.text.count("\n") == 1
    assert [name for name, line in heard.lines if line.startswith("Redis is down")] == ["streamed"]


# CORS.


@pytest.fixture
def open_gateway(platform: Platform) -> Gateway:
    return platform.gateway(cors_origins=f"{APP}, {OTHER_APP}")


def allowed(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers if name.startswith("Access-Control-")}


@pytest.mark.parametrize("origin", [APP, OTHER_APP])
@pytest.mark.parametrize("address", [LIST, f"{LIST}?limit=0", "/nowhere", "/openapi.json"])
def test_a_page_of_a_listed_origin_may_read_every_answer_and_its_headers(
    open_gateway: Gateway, origin: str, address: str
) -> None:
    answer = open_gateway.client.get(address, headers={"Origin": origin})
    assert answer.headers.getlist("Access-Control-Allow-Origin") == [origin]
    assert answer.headers["Access-Control-Expose-Headers"].split(", ") == [
        "ETag", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate", "X-Request-Id",
    ]  # fmt: skip
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Origin" in answer.vary


@pytest.mark.parametrize(
    "origin", [None, "https://evil.example", "https://app.example.com.evil.example", "http://app.example.com", "null"]
)
def test_no_other_origin_is_let_in_and_a_cache_is_told_that_some_are(open_gateway: Gateway, origin: str | None) -> None:
    answer = open_gateway.client.get(LIST, headers={"Origin": origin} if origin else {})
    assert allowed(answer.headers) == {}
    assert "Origin" in answer.vary


@pytest.mark.parametrize(
    ("address", "method", "headers"),
    [
        (LIST, "GET", ["if-none-match", "x-request-id", "cache-control"]),
        (BATCH, "POST", ["content-type", "prefer", "idempotency-key"]),
        (f"/api/jobs/{USER}/cancel", "POST", []),
    ],
)
def test_a_preflight_is_told_which_methods_and_headers_may_come(
    open_gateway: Gateway, address: str, method: str, headers: list[str]
) -> None:
    asks = {"Origin": APP, "Access-Control-Request-Method": method}
    answer = open_gateway.client.options(
        address, headers=asks | ({"Access-Control-Request-Headers": ", ".join(headers)} if headers else {})
    )
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == APP
    assert method in answer.headers["Access-Control-Allow-Methods"].split(", ")
    given = answer.headers.get("Access-Control-Allow-Headers", "").split(", ")
    assert set(headers) <= set(given)
    assert int(answer.headers["Access-Control-Max-Age"]) > 0


def test_a_preflight_for_a_header_that_means_nothing_here_is_not_granted_it(open_gateway: Gateway) -> None:
    asks = {
        "Origin": APP,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "x-of-no-meaning, prefer",
    }
    assert open_gateway.client.options(LIST, headers=asks).headers["Access-Control-Allow-Headers"] == "prefer"


def test_without_origins_nothing_is_said_of_them(gateway: Gateway) -> None:
    asks = {"Origin": APP, "Access-Control-Request-Method": "GET"}
    for answer in (gateway.client.get(LIST, headers=asks), gateway.client.options(LIST, headers=asks)):
        assert allowed(answer.headers) == {}
        assert "Origin" not in answer.vary


# The page.


def test_the_page_loads_what_it_is_made_of_from_here_and_has_no_script_within(gateway: Gateway) -> None:
    page = gateway.client.get("/docs")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    loaded = re.findall(r'(?:src|href|data-document)="([^"]*)"', page.text)
    assert len(loaded) >= 5
    for address in loaded:
        answer = gateway.client.get(address)
        assert (address[0], address[:2] != "//", answer.status_code) == ("/", True, 200)
    assert re.findall(r"<script[^>]*>([^<]+)", page.text) == []
    assert re.search(r"<style|\son\w+=|\sstyle=|javascript:", page.text) is None
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_script_of_the_page_reads_the_document_that_the_page_names(gateway: Gateway) -> None:
    page, script = gateway.client.get("/docs").text, gateway.client.get("/docs/start.js")
    assert script.mimetype == "text/javascript"
    assert "dataset.document" in script.text
    assert "validatorUrl: null" in script.text  # which would be somewhere else
    assert 'data-document="/openapi.json"' in page


def test_what_the_page_loads_is_packed_and_may_be_kept(gateway: Gateway) -> None:
    address = "/docs/swagger-ui-bundle.js"
    plain, packed = gateway.client.get(address), gateway.client.get(address, headers=PACKED)
    assert plain.headers["Cache-Control"] == packed.headers["Cache-Control"] == "public, max-age=3600"
    assert gzip.decompress(packed.data) == plain.data
    assert len(packed.data) < len(plain.data) / 2
    again = gateway.client.get(address, headers=PACKED | {"If-None-Match": packed.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("name", ["", "nothing.js", "index.template.html", "..%2fflask_swagger_ui.py", "VERSION"])
def test_no_other_file_is_given_away(gateway: Gateway, name: str) -> None:
    answer = gateway.client.get(f"/docs/{name}")
    assert (answer.status_code, answer.mimetype) == ((404, "application/problem+json") if name else (200, "text/html"))
