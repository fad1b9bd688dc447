"""Who asks too often, and who says to be somebody else while doing so."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis

from demo.server import free_port
from gateway.auth.principals import Scope
from shared.redis_store import RedisStore
from tests.issuer import AUDIENCE, ISSUER, SECRET, bearer, secret_token
from tests.platform import Gateway, Platform
from tests.security.conftest import Told

WALL = "rates"
POPULAR = "/api/titles/popular"
USERS = [UUID(int=number, version=4) for number in range(9)]

Serving = Callable[..., Gateway]


@pytest.fixture
def serving(platform: Platform) -> Serving:
    """Makes gateways with rates that a test can use up."""

    def make(**changes: Any) -> Gateway:
        rates = {"rate_single": "3/hour", "rate_batch": "2/hour", "rate_jobs": "2/hour", "rate_service_times": 2}
        known = {"auth": "required", "jwt_secret": SECRET, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
        return platform.gateway(**rates | known | changes)

    return make


def of(user: UUID) -> dict[str, str]:
    return bearer(secret_token(sub=str(user)))


SERVICE = bearer(secret_token(scope=" ".join(Scope)))


def statuses(
    gateway: Gateway, times: int, path: str = POPULAR, *, address: str = "192.0.2.1", **headers: str
) -> list[int]:
    """What so many requests from an address are answered with."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {"headers": named, "environ_base": {"REMOTE_ADDR": address}}
    return [gateway.client.get(path, **sent).status_code for _ in range(times)]


def test_a_caller_has_so_many_requests_and_is_told_how_many_are_left(serving: Serving, attack: Told) -> None:
    gateway = serving()
    answers = [gateway.client.get(POPULAR, headers=of(USERS[0])) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["RateLimit"].partition(";t=")[0] for answer in answers] == [
        '"single";r=2', '"single";r=1', '"single";r=0', '"single";r=0',
    ]  # fmt: skip
    assert answers[0].headers["RateLimit-Policy"] == '"single";q=3;w=3600, "single-address";q=60;w=3600'
    refused = answers[-1]
    assert refused.get_json()["type"] == "/problems/rate-limited"
    assert refused.get_json()["detail"] == "you have asked as often as you may for now"
    assert 3500 < int(refused.headers["Retry-After"]) <= 3600
    assert statuses(gateway, 1, **of(USERS[1])) == [200]
    attack("more requests than a user may make", "429 rate-limited; another user is answered")


def test_a_window_begins_anew(serving: Serving) -> None:
    gateway = serving(rate_single="2/second")
    assert 429 in statuses(gateway, 8, **of(USERS[0]))
    time.sleep(1.1)
    assert statuses(gateway, 1, **of(USERS[0])) == [200]


def test_lists_batches_and_jobs_have_budgets_of_their_own(serving: Serving) -> None:
    gateway = serving(rate_service_times=1)
    batch = {"user_ids": [str(USERS[0])], "limit": 1}
    assert statuses(gateway, 4, **SERVICE) == [200, 200, 200, 429]
    posted = [gateway.client.post("/api/recommendations/batch", json=batch, headers=SERVICE) for _ in range(3)]
    assert [answer.status_code for answer in posted] == [200, 200, 429]
    assert statuses(gateway, 3, f"/api/jobs/{uuid4()}", **SERVICE) == [404, 404, 429]
    assert statuses(gateway, 2, "/health", **SERVICE) == [200, 200]


def test_a_service_may_ask_more_often_and_takes_nothing_from_its_address(serving: Serving) -> None:
    gateway = serving(rate_address_times=1)
    assert statuses(gateway, 7, **SERVICE) == [200] * 6 + [429]
    assert statuses(gateway, 1, **of(USERS[0])) == [200]


def test_one_address_has_so_many_requests_whoever_makes_them(serving: Serving, attack: Told) -> None:
    gateway = serving(rate_address_times=2)
    made = [status for user in USERS[:4] for status in statuses(gateway, 2, **of(user))]
    assert made == [200] * 6 + [429] * 2
    assert statuses(gateway, 1, address="192.0.2.2", **of(USERS[4])) == [200]
    attack("many users' tokens from one address", "429 rate-limited")


def test_guessing_is_counted_by_address(serving: Serving, attack: Told) -> None:
    gateway = serving(rate_address_times=2)
    guesses = [statuses(gateway, 1, **bearer(f"rk_newsletter_{number:043}"))[0] for number in range(8)]
    assert guesses == [401] * 6 + [429] * 2
    assert statuses(gateway, 1, **SERVICE) == [200]  # who is known is not kept out by a neighbour's guesses
    attack("guessing API keys from one address", "401, then 429 rate-limited")


def test_two_gateways_count_together(serving: Serving, attack: Told) -> None:
    first, second = serving(), serving()
    assert statuses(first, 2, **of(USERS[0])) == [200, 200]
    assert statuses(second, 2, **of(USERS[0])) == [200, 429]
    attack("asking two gateways by turns", "429 rate-limited")


def test_of_a_large_budget_each_gateway_counts_a_part_at_once_and_no_more_pass_than_may(
    serving: Serving, platform: Platform, attack: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.limits._PARTS", 20)
    gateways = [serving(rate_single="4/hour", rate_service_times=20) for _ in range(2)]  # parts of four
    passed = 0
    for turn in range(50):
        for gateway in gateways:
            passed += statuses(gateway, 1, **SERVICE) == [200]
        if turn == 9:
            assert passed == 20
            with redis.Redis.from_url(platform.redis_url) as client:
                [key] = client.scan_iter("rec:limits:*")
                assert client.get(key) == b"24"  # three parts each
    assert passed == 80
    attack("a service's whole budget through two gateways", "not one request more than the budget")


def test_without_authentication_an_address_counts_as_a_service(serving: Serving) -> None:
    gateway = serving(auth="none", jwt_secret="", jwt_issuer="", jwt_audience="")
    assert statuses(gateway, 7) == [200] * 6 + [429]
    assert statuses(gateway, 1, address="192.0.2.2") == [200]


def test_a_rate_of_none_counts_nothing(serving: Serving) -> None:
    gateway = serving(rate_single="none")
    answer = gateway.client.get(POPULAR, headers=of(USERS[0]))
    assert "RateLimit" not in answer.headers
    assert statuses(gateway, 9, **of(USERS[0])) == [200] * 9


FORGED = {
    "X-Forwarded-For": {"X-Forwarded-For": "203.0.113.{}"},
    "X-Forwarded-For with our own address": {"X-Forwarded-For": "127.0.0.1, 203.0.113.{}"},
    "Forwarded": {"Forwarded": "for=203.0.113.{}"},
    "X-Real-IP": {"X-Real-IP": "203.0.113.{}"},
    "X-Client-IP": {"X-Client-IP": "203.0.113.{}"},
    "True-Client-IP": {"True-Client-IP": "203.0.113.{}"},
    "CF-Connecting-IP": {"CF-Connecting-IP": "203.0.113.{}"},
    "X-Original-Forwarded-For": {"X-Original-Forwarded-For": "203.0.113.{}"},
}


def forged(headers: Mapping[str, str], number: int) -> dict[str, str]:
    return {name: value.format(number) for name, value in headers.items()}


@pytest.mark.parametrize("tried", FORGED)
@pytest.mark.parametrize("proxies", ["", "10.0.0.0/8"], ids=["no proxies", "other proxies"])
def test_an_address_that_is_made_up_gains_nothing(serving: Serving, attack: Told, tried: str, proxies: str) -> None:
    gateway = serving(rate_address_times=1, trusted_proxies=proxies)
    made = [statuses(gateway, 1, **of(USERS[n]), **forged(FORGED[tried], n))[0] for n in range(5)]
    assert made == [200] * 3 + [429] * 2
    attack(f"another address in each {tried}" + (", while other proxies are trusted" if proxies else ""), 429)


# X-Forwarded-For as it comes from 10.0.0.1, a proxy that is trusted, and the address that counts.
BEHIND_A_PROXY = [
    ("203.0.113.7", "203.0.113.7"),
    ("198.51.100.1, 203.0.113.7", "203.0.113.7"),
    ("198.51.100.1, 203.0.113.7, 10.2.3.4", "203.0.113.7"),
    ("10.9.9.9, 203.0.113.7", "203.0.113.7"),
    ("203.0.113.7, nonsense", "10.0.0.1"),
    ("nonsense, 203.0.113.7", "203.0.113.7"),
    ("", "10.0.0.1"),
    ("203.0.113.7:8080", "10.0.0.1"),
    ("2001:db8::7", "2001:db8::7"),
]


@pytest.mark.parametrize(("forwarded", "counted"), BEHIND_A_PROXY)
def test_behind_a_trusted_proxy_the_last_address_counts_that_is_none_of_ours(
    serving: Serving, forwarded: str, counted: str
) -> None:
    gateway = serving(rate_address_times=1, trusted_proxies="10.0.0.0/8")
    assert statuses(gateway, 3, address=counted, **of(USERS[0])) == [200] * 3
    assert statuses(gateway, 1, address="10.0.0.1", **of(USERS[1]), X_Forwarded_For=forwarded) == [429]


def test_what_was_put_before_a_proxys_own_entry_gains_nothing(serving: Serving, attack: Told) -> None:
    gateway = serving(rate_address_times=1, trusted_proxies="10.0.0.0/8")
    made = [
        statuses(gateway, 1, address="10.0.0.1", **of(USERS[n]), X_Forwarded_For=f"198.51.100.{n}, 203.0.113.7")[0]
        for n in range(5)
    ]
    assert made == [200] * 3 + [429] * 2
    attack("a made up address before what the proxy adds", 429)


def test_an_ipv6_address_counts_by_its_network(serving: Serving, attack: Told) -> None:
    gateway = serving(rate_address_times=1)
    made = [statuses(gateway, 1, address=f"2001:db8:1:2::{n:x}", **of(USERS[n]))[0] for n in range(5)]
    assert made == [200] * 3 + [429] * 2
    assert statuses(gateway, 1, address="2001:db8:1:3::1", **of(USERS[5])) == [200]
    attack("another IPv6 address of one network each time", 429)


def no_redis() -> str:
    return f"redis://127.0.0.1:{free_port()}/0"


def test_while_redis_is_down_requests_are_answered_uncounted_and_the_log_says_so(
    serving: Serving, caplog: pytest.LogCaptureFixture, attack: Told
) -> None:
    gateway = serving(redis_url=no_redis())
    answer = gateway.client.get(POPULAR, headers=of(USERS[0]))
    assert (answer.status_code, "RateLimit" in answer.headers) == (200, False)
    assert statuses(gateway, 9, **of(USERS[0])) == [200] * 9
    said = [r.getMessage() for r in caplog.records if "RATE_WITHOUT_REDIS" in r.getMessage()]
    assert len(said) == 1 and said[0].startswith("requests are answered uncounted until Redis answers")
    attack("Redis down, RATE_WITHOUT_REDIS=open", "200, uncounted; said in the log")


def test_or_refused_if_that_is_set(serving: Serving, caplog: pytest.LogCaptureFixture, attack: Told) -> None:
    gateway = serving(redis_url=no_redis(), rate_without_redis="closed")
    answer = gateway.client.get(POPULAR, headers=of(USERS[0]))
    assert (answer.status_code, answer.get_json()["type"]) == (503, "/problems/unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert statuses(gateway, 1, "/health") == [200]
    assert "requests are answered 503 until Redis answers" in caplog.text
    attack("Redis down, RATE_WITHOUT_REDIS=closed", "503 unavailable; said in the log")


def test_a_counter_goes_by_itself_and_says_when(platform: Platform) -> None:
    store = RedisStore(platform.redis_url, timeout_seconds=1, pause_seconds=1, connections=1)
    assert store.count(b"rec:limits:test", seconds=1, amount=1)[0] == 1
    count, left = store.count(b"rec:limits:test", seconds=1, amount=2)
    assert count == 3 and 0 < left <= 1
    time.sleep(1.1)
    assert store.get_many([b"rec:limits:test"]) == [None]
    store.close()


def test_every_counter_in_redis_has_a_life_and_shows_no_name(serving: Serving, platform: Platform) -> None:
    statuses(serving(), 1, **of(USERS[0]))
    with redis.Redis.from_url(platform.redis_url) as client:
        keys = list(client.scan_iter("rec:limits:*"))
        assert len(keys) == 2
        assert all(0 < client.ttl(key) <= 3600 for key in keys)
        assert not any(str(USERS[0]).encode() in key for key in keys)
