"""How much a request may ask for, and for how long: whatever it is, the answer is told, soon, and as a problem."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import time
import zlib
from collections.abc import Callable
from typing import Any, Final, get_args, get_origin
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import annotated_types
import psutil
import pytest
from werkzeug.test import TestResponse

from shared import broker, contracts, deadline
from shared.errors import Unavailable
from shared.parsing import DEEPEST, Contract
from shared.redis_store import RedisStore
from shared.settings import Settings
from tests.conftest import Service
from tests.platform import Platform, wait_for
from tests.raw_http import HANGING, RawAnswer, exchange, request
from tests.security.conftest import Told

WALL = "limits"

POPULAR = "/api/titles/popular"
BATCH = "/api/recommendations/batch"
PREVIEW = "/api/recommendations/preview"
BUSY = 3.0  # s on top of a bound, for two cores that all this runs on


def problem(answer: RawAnswer, *statuses: int) -> dict[str, Any]:
    """The problem that it is, and no other answer."""
    assert answer.status in statuses, (answer.status, answer.text[:300])
    assert answer.headers["content-type"] == "application/problem+json"
    told = json.loads(answer.text)
    assert told["status"] == answer.status
    return told


# Headers.

MOST_HEADERS: Final = 64
OURS: Final = 2  # that tests.raw_http sends: Host and Connection
HEADERS = {
    "one header too many": [f"X-{n}: y" for n in range(MOST_HEADERS - OURS + 1)],
    "1,000 headers": [f"X-{n}: y" for n in range(1000)],
    "10,000 headers": [f"X-{n}: y" for n in range(10_000)],
    "one name 1,000 times": ["X: y"] * 1000,
    "a header of 8,191 bytes": ["X: " + "a" * 8188],
    "a header of a megabyte": ["X: " + "a" * 1_000_000],
    "a name of a megabyte": ["a" * 1_000_000 + ": y"],
    "64 headers of 8 KB each, and one more": ["X: " + "a" * 8000] * (MOST_HEADERS + 1),
}


@pytest.mark.parametrize("case", HEADERS)
def test_headers_that_are_too_many_or_too_long_are_refused(service: Service, attack: Told, case: str) -> None:
    answer = exchange(service.url, request(target=POPULAR, headers=HEADERS[case]))
    if answer.status:  # else it was refused before all of it was sent, and who goes on sending misses the answer
        problem(answer, 431)
    assert service.client.get("/health/live").body == {"status": "alive"}
    attack(case, answer.status or "connection closed")


def test_as_many_headers_as_may_be_are_read(service: Service) -> None:
    headers = [f"X-{n}: y" for n in range(MOST_HEADERS - OURS)]
    assert exchange(service.url, request(target=POPULAR, headers=headers)).status == 200


# Bodies.


def nested(levels: int) -> bytes:
    return b'{"exclude": ' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


BODIES = {
    "lists a level too deep": nested(DEEPEST + 1),
    "lists 1,000 deep": nested(1000),
    "objects 1,000 deep": b'{"a":' * 1000 + b"1" + b"}" * 1000,
    "lists a million deep": b"[" * 1_000_000,
    "lists four million deep, and closed": nested(3_900_000),
    "a number of a million digits": b'{"limit": ' + b"9" * 1_000_000 + b"}",
    "an exponent of a million digits": b'{"diversity": 1e' + b"9" * 1_000_000 + b"}",
    "an exponent below all floats, of a million digits": b'{"limit": 1e-' + b"9" * 1_000_000 + b"}",
    "a million members": b'{"genres_any": [' + b"1," * 999_999 + b"1]}",
    "a million objects": b'{"genres_any": [' + b"{}," * 999_999 + b"{}]}",
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_is_deep_or_endless_is_refused(service: Service, attack: Told, case: str) -> None:
    told = problem(exchange(service.url, request("POST", PREVIEW, body=BODIES[case])), 400)
    assert len(told["detail"]) < 1000
    attack(case, f"{told['status']}, {told['detail'][:60]}")


@pytest.mark.parametrize("case", ["lists a level too deep", "lists 1,000 deep"])
def test_depth_is_told_in_plain_words(service: Service, case: str) -> None:
    told = problem(exchange(service.url, request("POST", PREVIEW, body=BODIES[case])), 400)
    assert told["detail"].endswith(f"it is nested more than {DEEPEST} deep")


PACKED = {
    "gzip": gzip.compress(b'{"limit": 1}'),
    "deflate": zlib.compress(b'{"limit": 1}'),
    "gzip, a bomb of 100 MB": gzip.compress(b" " * 100_000_000, 1),
    "br": b'{"limit": 1}',
}


@pytest.mark.parametrize("case", PACKED)
def test_a_packed_body_is_not_unpacked(service: Service, attack: Told, case: str) -> None:
    headers = [f"Content-Encoding: {case.partition(',')[0]}"]
    told = problem(exchange(service.url, request("POST", PREVIEW, headers, PACKED[case])), 415)
    attack(f"Content-Encoding: {case}", f"{told['status']}, {told['detail'][:60]}")


# How many.


def test_every_list_of_every_contract_has_a_bound(attack: Told) -> None:
    """But the users of a job, which JOB_USERS bounds."""
    kinds = [kind for kind in vars(contracts).values() if isinstance(kind, type) and issubclass(kind, Contract)]
    lists = {
        name: any(isinstance(one, annotated_types.MaxLen) for one in field.metadata)
        for kind in kinds
        for name, field in kind.model_fields.items()
        if {list, dict} & {get_origin(kind) for kind in (field.annotation, *get_args(field.annotation))}
    }
    assert len(lists) >= 9
    assert [name for name, bounded in lists.items() if not bounded] == ["user_ids"]
    attack("look for lists without a bound", f"none of {len(lists)}; JOB_USERS is that of users")


def test_more_users_than_a_job_may_have_are_refused(platform: Platform, attack: Told) -> None:
    client = platform.gateway(job_users=100).client
    users = [str(UUID(int=number)) for number in range(101)]
    answer = client.post(BATCH, json={"user_ids": users}, headers={"Prefer": "respond-async"})
    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")
    assert platform.sql("jobs_db", "SELECT count(*) FROM jobs") == [(0,)]
    attack("a user more than JOB_USERS", f"{answer.status_code}, {answer.get_json()['detail'][:60]}")


# For how long. Whatever waits could wait for a minute, and the answer may take a second.

SECOND: Final = 1.0
PATIENT: Final = {
    "database_checkout_seconds": 30,
    "database_connect_seconds": 30,
    "database_statement_seconds": 60,
    "database_bulk_seconds": 600,
    "redis_timeout_seconds": 10,
    "publish_seconds": 30,
}
SLOW: Final = {  # what stands still, and what is asked for that needs it
    "genres of users": ("user_db", "tb_user_genre", {}),
    "histories": ("engagement_db", "interaction", {}),
    "titles": ("catalog_db", "medias", {}),
    "the ledger": ("jobs_db", "jobs", {"deadline": "2100-01-01T00:00:00Z"}),
}


@pytest.mark.parametrize("what", SLOW)
def test_an_answer_is_due_whatever_it_waits_for(platform: Platform, attack: Told, what: str) -> None:
    """Nor is what had too little time taken for down."""
    database, table, more = SLOW[what]
    platform.title("Heat", "Drama")
    client = platform.gateway(response_seconds=SECOND, **PATIENT).client

    def ask() -> TestResponse:
        users = [str(uuid4()) for _ in range(3)]  # of whom nothing is kept
        return client.post(BATCH, json={"user_ids": users, "limit": 1} | more)

    assert ask().status_code < 300
    with platform.locked(database, table):
        started = time.monotonic()
        answer = ask()
        took = time.monotonic() - started
    if answer.status_code == 200:
        assert all(page["degraded"] for page in answer.get_json()["results"].values())
    else:
        assert (answer.status_code, answer.content_type) == (503, "application/problem+json")
        assert int(answer.headers["Retry-After"]) > 0
    assert SECOND <= took < SECOND + BUSY
    assert ask().status_code < 300
    told = "200, degraded" if answer.status_code == 200 else str(answer.status_code)
    attack(f"{what} never come, and any one wait is long", f"{told}, after RESPONSE_SECONDS")


def ask_redis(port: int) -> None:
    store = RedisStore(f"redis://127.0.0.1:{port}/0", timeout_seconds=10, pause_seconds=0.1, connections=1)
    store.get_many([b"a"])


def ask_the_broker(port: int) -> None:
    urls = dict.fromkeys(("user_db_url", "catalog_db_url", "engagement_db_url", "jobs_db_url", "redis_url"), "unused")
    broker_url = f"redis://127.0.0.1:{port}/0"
    settings = Settings(**urls, broker_url=broker_url, model_store="unused", publish_seconds=30)
    broker.ping(broker.celery_app(settings, "tests"))


@pytest.mark.parametrize("ask", [ask_redis, ask_the_broker])
def test_what_says_nothing_is_waited_for_no_longer_than_an_answer_may_take(ask: Callable[[int], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        deadline.begin(SECOND)
        try:
            with pytest.raises(Unavailable):
                ask(silent.getsockname()[1])
        finally:
            deadline.end()
        assert SECOND <= time.monotonic() - started < SECOND + BUSY


def test_the_time_of_one_answer_is_not_that_of_the_next(platform: Platform) -> None:
    platform.title("Heat", "Drama")
    client = platform.gateway(response_seconds=SECOND, **PATIENT).client
    for _ in range(3):
        assert client.get(f"/api/recommendations/{uuid4()}").status_code == 200
        time.sleep(SECOND / 2)


# Who takes an answer too slowly.


def test_clients_that_take_nothing_of_their_answers_hold_no_thread(service: Service, attack: Told) -> None:
    """There are four threads, and CLIENT_SECONDS is 1."""
    body = json.dumps({"user_ids": [str(user.id) for user in service.sample.users[:50]], "limit": 100}).encode()
    url = urlsplit(service.url)
    gateway = [psutil.Process(service.gateway.pid), *psutil.Process(service.gateway.pid).children()]

    def held() -> set[int]:
        """By the ports of our ends."""
        connections = [one for process in gateway for one in process.net_connections("tcp")]
        return {one.raddr.port for one in connections if one.status == psutil.CONN_ESTABLISHED and one.raddr} & ours

    with contextlib.ExitStack() as open_:
        clients = [open_.enter_context(socket.socket()) for _ in range(6)]
        for client in clients:
            client.settimeout(HANGING)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((url.hostname, url.port))
            client.sendall(request("POST", BATCH, body=body))
        ours = {client.getsockname()[1] for client in clients}
        wait_for(lambda: bool(held()), 10)
        wait_for(lambda: not held(), 20)
        assert service.client.get("/health/live").body == {"status": "alive"}
        head = clients[0].recv(4096).partition(b"\r\n\r\n")[0]
        assert b" 200 " in head
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length is not None
        assert int(length[1]) > 1_000_000, "it fits into the buffers of the system"
    attack("six clients that take nothing of their answers", "cut off after CLIENT_SECONDS")
