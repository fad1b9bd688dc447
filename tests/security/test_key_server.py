"""An issuer's keys by its address: they change, the issuer is away, or somebody else answers in its place."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.auth.key_server import KeyServer
from shared.errors import ConfigurationError, KeysUnavailable
from tests.issuer import AUDIENCE, ISSUER, SigningKey, bearer, encoded, key_set, secret_token
from tests.platform import Gateway, Platform, wait_for
from tests.receiver import (
    Answer,
    Receiver,
    continue_for_ever,
    document,
    endless_headers,
    hang,
    hang_up,
    huge,
    raw,
    status,
    trickle,
)
from tests.security.conftest import Told

WALL = "keys"
ASKED = "/api/titles/popular"
OLD, NEW = SigningKey("RS256", "old"), SigningKey("ES256", "new")

Serving = Callable[..., Gateway]


@pytest.fixture
def serving(platform: Platform) -> Serving:
    """Makes a gateway that asks this server for keys."""

    def make(server: Receiver, **changes: Any) -> Gateway:
        return platform.gateway(
            auth="required", jwt_jwks_url=f"{server.url}/keys", jwt_issuer=ISSUER, jwt_audience=AUDIENCE, **changes
        )

    return make


def asked(gateway: Gateway, key: SigningKey, **headers: Any) -> Any:
    return gateway.client.get(ASKED, headers=bearer(key.token(headers)))


def test_the_keys_of_the_address_count_and_are_asked_for_once(serving: Serving) -> None:
    with Receiver(document(key_set([OLD, NEW]))) as server:
        gateway = serving(server)
        for key in (OLD, NEW) * 3:
            assert asked(gateway, key).status_code == 200
        assert [call.path for call in server.calls] == ["/keys"]
        assert gateway.client.get("/health/ready").get_json()["checks"]["keys"] == {"state": "up", "detail": "2 keys"}


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """An issuer may be asked again at once, so that a test need not wait."""
    monkeypatch.setattr("gateway.auth.key_server._AGAIN_SECONDS", 0.0)


@pytest.mark.usefixtures("soon")
def test_a_key_that_is_new_counts_at_once_and_one_that_is_gone_does_no_more(serving: Serving, attack: Told) -> None:
    with Receiver(document(key_set([OLD])), document(key_set([NEW]))) as server:
        gateway = serving(server)
        assert asked(gateway, OLD).status_code == 200
        assert asked(gateway, NEW).status_code == 200
        answer = gateway.client.get(ASKED, headers=bearer(OLD.token(jti="another, so that it is not remembered")))
        assert (answer.status_code, answer.get_json()["type"]) == (401, "/problems/unauthenticated")
        attack("a key that was withdrawn", "401: the token is signed with a key that is not known here")


@pytest.mark.usefixtures("soon")
def test_who_is_let_in_anyhow_is_not_asked_who_he_is(serving: Serving, attack: Told) -> None:
    with Receiver(document(key_set([OLD]))) as server:
        gateway = serving(server)
        assert asked(gateway, OLD).status_code == 200
        before, unknown = len(server.calls), bearer(NEW.token())  # a key that would be asked for
        assert gateway.client.get("/health/live", headers=unknown).status_code == 200
        assert len(server.calls) == before
        assert gateway.client.get(ASKED, headers=unknown).status_code == 401
        assert len(server.calls) > before
    attack("a token with an unknown key where nobody is asked who he is", "200, and the issuer is not asked")


def test_made_up_key_names_do_not_make_us_ask_the_issuer_again_and_again(serving: Serving, attack: Told) -> None:
    with Receiver(document(key_set([OLD]))) as server:
        gateway = serving(server)
        for number in range(50):
            assert asked(gateway, OLD, kid=f"made up {number}").status_code == 401
        assert len(server.calls) == 1
        attack("50 tokens with made up key names", "401 each, and the issuer was asked once")


@pytest.mark.usefixtures("soon")
def test_while_the_issuer_is_away_its_keys_still_count(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    with Receiver(document(key_set([OLD])), status(503)) as server:
        gateway = serving(server)
        assert asked(gateway, OLD).status_code == 200
        assert asked(gateway, NEW).status_code == 401  # asks, in vain
        assert "it answered 503" in caplog.text
        assert gateway.client.get(ASKED, headers=bearer(OLD.token(jti="not remembered"))).status_code == 200
    assert gateway.client.get(ASKED, headers=bearer(OLD.token(jti="nor this one"))).status_code == 200


def test_an_issuer_that_was_away_at_the_start_is_asked_until_it_answers(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.auth.key_server._AGAIN_SECONDS", 0.2)
    with Receiver(hang_up, hang_up, document(key_set([OLD]))) as server:
        gateway = serving(server)
        answer = asked(gateway, OLD)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        wait_for(lambda: asked(gateway, OLD).status_code == 200, seconds=10)


def test_keys_that_are_too_old_count_no_more() -> None:
    with Receiver(document(key_set([OLD])), status(500)) as issuer:
        keys = KeyServer(issuer.url, refresh_seconds=60, stale_seconds=1)
        keys.start()
        assert len(keys.find("RS256", "old")) == 1
        time.sleep(1.1)
        with pytest.raises(KeysUnavailable):
            keys.find("RS256", "old")
        keys.stop()


IN_ITS_PLACE: dict[str, Answer] = {
    "nothing, for ever": hang,
    "a byte now and then": trickle,
    "one provisional answer after the other": continue_for_ever,
    "headers without end": endless_headers,
    "a body without end": huge,
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "an error": status(500),
    "a redirect to other keys": status(302, Location="http://127.0.0.1:1/keys"),
    "no JSON": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html"),
    "a list": document([OLD.member]),
    "no keys": document({"keys": []}),
    "a secret in place of a key": document({"keys": [{"kty": "oct", "k": encoded(b"s" * 48), "alg": "HS256"}]}),
    "a private key": document({"keys": [OLD.member | {"d": "AQAB"}]}),
    "a key for encryption": document({"keys": [OLD.member | {"use": "enc"}]}),
    "a key of 1,024 bits": document(key_set([SigningKey("RS256", "old", bits=1024)])),
    "a key for another algorithm": document({"keys": [OLD.member | {"alg": "RS512"}]}),
    "keys that are no objects": document({"keys": ["old", 1, None, []]}),
    "deep JSON": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"[" * 200_000),
}


@pytest.mark.parametrize("answer", IN_ITS_PLACE)
def test_an_answer_that_holds_no_keys_lets_nobody_in_and_holds_nobody_up(
    serving: Serving, attack: Told, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.auth.key_server._ANSWER_SECONDS", 0.5)
    with Receiver(IN_ITS_PLACE[answer]) as server:
        gateway = serving(server)
        found = asked(gateway, OLD)
        assert (found.status_code, found.get_json()["type"]) == (503, "/problems/unavailable")
        assert gateway.client.get(ASKED, headers=bearer(secret_token("s" * 48))).status_code == 503
        assert gateway.client.get("/health/ready").get_json()["checks"]["keys"]["state"] == "down"
    attack(f"the issuer answers with {answer}", "503 unavailable")


FILES = {
    "a private key": b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n",
    "a certificate": b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    "a key that is cut off": OLD.pem[:200],
    "a key of 1,024 bits": SigningKey("RS256", bits=1024).pem,
    "nothing": b"",
    "more than a megabyte": b"x" * 1_000_001,
}


@pytest.mark.parametrize("held", FILES)
def test_a_file_that_holds_no_public_key_is_refused_at_the_start(
    platform: Platform, tmp_path: Path, attack: Told, held: str
) -> None:
    file = tmp_path / "keys"
    file.write_bytes(FILES[held])
    with pytest.raises(ConfigurationError, match=r"JWT_KEYS_FILE: .+ cannot be used: it ") as refused:
        platform.gateway(auth="required", jwt_keys_file=file, jwt_issuer=ISSUER, jwt_audience=AUDIENCE)
    attack(f"JWT_KEYS_FILE holds {held}", f"no start: {str(refused.value).partition('used: ')[2]}")


def test_a_file_of_keys_is_read_again_when_it_changes_and_nonsense_changes_nothing(
    platform: Platform, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file = tmp_path / "keys.pem"
    file.write_bytes(OLD.pem)
    gateway = platform.gateway(auth="required", jwt_keys_file=file, jwt_issuer=ISSUER, jwt_audience=AUDIENCE)
    assert (asked(gateway, OLD).status_code, asked(gateway, NEW).status_code) == (200, 401)
    file.write_bytes(NEW.pem)
    wait_for(lambda: asked(gateway, NEW).status_code == 200, seconds=10)
    file.write_bytes(b"half a k")
    wait_for(lambda: asked(gateway, NEW).status_code == 200 and "held before counts" in caplog.text, seconds=10)
