"""Tokens that are none, and what becomes of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.issuer import AUDIENCE, DAY, ISSUER, SECRET, SigningKey, bearer, claims, encoded, key_set, secret_token
from tests.platform import Gateway, Platform
from tests.security.conftest import Told

WALL = "tokens"
ASKED = "/api/titles/popular"

RSA, EC, ED = SigningKey("RS256", "rsa"), SigningKey("ES256", "ec"), SigningKey("EdDSA", "ed")
STRANGER, STRANGER_EC = SigningKey("RS256", "rsa"), SigningKey("ES256", "ec")  # who calls its keys by the same names


@pytest.fixture(scope="module")
def gateway(shared_platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One that takes tokens of a shared secret and of three public keys."""
    folder = tmp_path_factory.mktemp("keys")
    (folder / "keys.json").write_text(json.dumps(key_set([RSA, EC, ED])))
    shared_platform.model_store = folder / "models"
    yield shared_platform.gateway(
        auth="required",
        jwt_secret=SECRET,
        jwt_keys_file=folder / "keys.json",
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
        jwt_leeway_seconds=0,
    )


def by_hand(
    header: dict[str, Any], payload: object, secret: bytes = SECRET.encode(), digest: Any = hashlib.sha256
) -> str:
    """A token of HMAC that no library would make."""
    signed = f"{encoded(header)}.{encoded(payload)}"
    return f"{signed}.{encoded(hmac.new(secret, signed.encode(), digest).digest())}"


def unsigned(algorithm: str) -> str:
    return f"{encoded({'alg': algorithm, 'typ': 'JWT'})}.{encoded(claims())}."


def altered(token: str, **changes: Any) -> str:
    """The token's signature under other claims."""
    header, _, signature = token.split(".")
    return f"{header}.{encoded(claims(**changes))}.{signature}"


def in_der() -> str:
    """An ECDSA signature as other programs write it."""
    head, payload, signature = EC.token().split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    return f"{head}.{payload}.{encoded(encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:])))}"


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


HS = {"alg": "HS256", "typ": "JWT"}
NOW = int(time.time())
SIGNATURE = "the token's signature is wrong"
UNREADABLE = "the token cannot be read"
ALGORITHM = "the token's algorithm is none that is taken here"
UNKNOWN_KEY = "the token is signed with a key that is not known here"
INVALID = "the token is not valid"
NO_BEARER = "Authorization is not Bearer and a token or an API key"
NOBODY = "say who you are: Authorization: Bearer and a token or an API key"
OWN_WORD = "https://example.com/x"

REFUSED = {
    # no signature, or another's
    "alg: none, without a signature": (unsigned("none"), ALGORITHM),
    "alg: None": (unsigned("None"), ALGORITHM),
    "alg: NONE": (unsigned("NONE"), ALGORITHM),
    "alg: nOnE": (unsigned("nOnE"), ALGORITHM),
    "alg is empty": (unsigned(""), ALGORITHM),
    "alg: none, with a good signature": (by_hand({"alg": "none"}, claims()), ALGORITHM),
    "no alg": (by_hand({"typ": "JWT"}, claims()), ALGORITHM),
    "alg is a list": (by_hand({"alg": ["HS256"]}, claims()), ALGORITHM),
    "the signature left away": (secret_token().rpartition(".")[0] + ".", SIGNATURE),
    "the claims changed under the signature": (altered(secret_token(), sub="admin"), SIGNATURE),
    "the scope added under the signature": (altered(RSA.token(), scope="admin"), SIGNATURE),
    "another secret": (secret_token("another secret that is long enough for HS256"), SIGNATURE),
    "the empty secret": (by_hand(HS, claims(), b""), SIGNATURE),
    "the secret with a line's end": (by_hand(HS, claims(), SECRET.encode() + b"\n"), SIGNATURE),
    "a stranger's RSA key under a known name": (STRANGER.token(), SIGNATURE),
    "a stranger's EC key under a known name": (STRANGER_EC.token(), SIGNATURE),
    "a signature of zeros (CVE-2022-21449)": (EC.token().rpartition(".")[0] + "." + encoded(bytes(64)), SIGNATURE),
    "an ECDSA signature in DER": (in_der(), SIGNATURE),
    # one algorithm's key for another (algorithm confusion)
    "the public key in PEM as a secret": (by_hand(HS | {"kid": "rsa"}, claims(), RSA.pem), SIGNATURE),
    "the public key in PEM, stripped, as a secret": (by_hand(HS, claims(), RSA.pem.strip()), SIGNATURE),
    "the key set as a secret": (by_hand(HS, claims(), json.dumps(RSA.member).encode()), SIGNATURE),
    "the modulus as a secret": (by_hand(HS, claims(), base64.urlsafe_b64decode(RSA.member["n"] + "==")), SIGNATURE),
    "an RSA signature that calls itself ES256": (
        f"{encoded({'alg': 'ES256', 'kid': 'ec'})}.{RSA.token().partition('.')[2]}", SIGNATURE),
    "RS256 by the name of an EC key": (RSA.token({"kid": "ec"}), UNKNOWN_KEY),
    "HS384 with the right secret": (by_hand({"alg": "HS384"}, claims(), digest=hashlib.sha384), ALGORITHM),
    "HS512 with the right secret": (by_hand({"alg": "HS512"}, claims(), digest=hashlib.sha512), ALGORITHM),
    "PS256": (f"{encoded({'alg': 'PS256', 'kid': 'rsa'})}.{RSA.token().partition('.')[2]}", ALGORITHM),
    "hs256 in small letters": (by_hand({"alg": "hs256"}, claims()), ALGORITHM),
    # keys that the token brings along
    "its own key in the header (jwk)": (STRANGER.token({"jwk": STRANGER.member}), SIGNATURE),
    "a key set of its own (jku)": (STRANGER.token({"jku": "https://evil.example/keys"}), SIGNATURE),
    "a certificate of its own (x5u)": (STRANGER.token({"x5u": "https://evil.example/crt"}), SIGNATURE),
    "a certificate chain of its own (x5c)": (STRANGER.token({"x5c": ["MIIB"]}), SIGNATURE),
    "a file for a key (kid: ../../dev/null)": (
        by_hand(HS | {"kid": "../../../../dev/null"}, claims(), b""), SIGNATURE),
    "SQL for a key": (STRANGER.token({"kid": "rsa' UNION SELECT 'key"}), UNKNOWN_KEY),
    "a key that nobody has": (RSA.token({"kid": "two"}), UNKNOWN_KEY),
    "kid is a number": (by_hand(HS | {"kid": 1}, claims()), INVALID),
    "kid is an object": (by_hand(HS | {"kid": {"$ne": ""}}, claims()), INVALID),
    # what must be understood and is not
    "crit with an unknown word": (by_hand(HS | {"crit": ["exp"], "exp": 1}, claims()), INVALID),
    "crit with one's own word": (by_hand(HS | {"crit": [OWN_WORD], OWN_WORD: 1}, claims()), INVALID),
    "crit is empty": (by_hand(HS | {"crit": []}, claims()), INVALID),
    "crit is no list": (by_hand(HS | {"crit": "exp"}, claims()), INVALID),
    "b64: false, and nothing between the dots": (
        f"{encoded(HS | {'b64': False, 'crit': ['b64']})}..{encoded(b'x')}", UNREADABLE),
    "b64: true": (by_hand(HS | {"b64": True, "crit": ["b64"]}, claims()), UNREADABLE),
    # when
    "expired": (secret_token(exp=NOW - 1), "the token has expired"),
    "expired long ago": (RSA.token(exp=1), "the token has expired"),
    "no exp": (secret_token(exp=None), "the token has no exp"),
    "exp is a text": (by_hand(HS, claims(exp="tomorrow")), UNREADABLE),
    "exp is infinite": (by_hand(HS, claims(exp=float("inf"))), UNREADABLE),
    "exp is not a number": (by_hand(HS, claims(exp=float("nan"))), UNREADABLE),
    "exp is a list": (by_hand(HS, claims(exp=[NOW + DAY])), UNREADABLE),
    "not valid yet (nbf)": (secret_token(nbf=NOW + DAY), "the token is not valid yet: see its nbf and iat"),
    "made in the future (iat)": (secret_token(iat=NOW + DAY), "the token is not valid yet: see its nbf and iat"),
    # by whom and for whom
    "another issuer": (secret_token(iss="https://evil.example"), "the token is another issuer's"),
    "an issuer that begins alike": (secret_token(iss=ISSUER + ".evil.example"), "the token is another issuer's"),
    "no issuer": (secret_token(iss=None), "the token has no iss"),
    "a list of issuers": (by_hand(HS, claims(iss=[ISSUER])), "the token is another issuer's"),
    "another audience": (secret_token(aud="billing"), "the token is for another audience"),
    "audiences without ours": (secret_token(aud=["billing", "search"]), "the token is for another audience"),
    "no audience": (secret_token(aud=None), "the token has no aud"),
    "an audience that is an object": (by_hand(HS, claims(aud={AUDIENCE: 1})), "the token is for another audience"),
    "no sub": (secret_token(sub=None), "the token has no sub"),
    "sub is empty": (secret_token(sub=""), "the token's sub is no name"),
    "sub has lines": (secret_token(sub="a\nINFO admin signed in"), "the token's sub is no name"),
    "sub is long": (secret_token(sub="x" * 256), "the token's sub is no name"),
    "sub is a number": (by_hand(HS, claims(sub=7)), INVALID),
    # nonsense
    "more than 4,096 characters": (secret_token(fill="x" * 4000), "the token has more than 4096 characters"),
    "one part": ("a", UNREADABLE),
    "two parts": (f"{encoded(HS)}.{encoded(claims())}", UNREADABLE),
    "four parts": (secret_token() + ".a", UNREADABLE),
    "five parts, as an encrypted token has": ("a.b.c.d.e", UNREADABLE),
    "only dots": ("..", UNREADABLE),
    "no base64": ("!!.!!.!!", UNREADABLE),
    "base64 with a loose end": (secret_token() + "!", UNREADABLE),
    "a header that is no JSON": (f"{encoded(b'alg')}.{encoded(claims())}.{encoded(b'x')}", UNREADABLE),
    "a header that is a list": (by_hand([HS], claims()), UNREADABLE),
    "a header that is nested deep": (f"{encoded(nested(300))}.{encoded(claims())}.{encoded(b'x')}", ALGORITHM),
    "claims that are a list": (by_hand(HS, [claims()]), UNREADABLE),
    "claims that are nested deep": (by_hand(HS, nested(400)), "the token has no exp"),
    "claims that are no JSON": (by_hand(HS, b"sub=admin"), UNREADABLE),
    "claims that are no UTF-8": (by_hand(HS, b'{"sub": "\xff"}'), UNREADABLE),
}  # fmt: skip


@pytest.mark.parametrize("tried", REFUSED)
def test_a_token_that_is_none_is_refused_and_it_is_said_why(gateway: Gateway, attack: Told, tried: str) -> None:
    token, reason = REFUSED[tried]
    answer = gateway.client.get(ASKED, headers=bearer(token))
    assert (answer.status_code, answer.get_json()["type"]) == (401, "/problems/unauthenticated")
    assert answer.get_json()["detail"] == reason
    assert answer.headers["WWW-Authenticate"] == (
        f'Bearer realm="recommendations", error="invalid_token", error_description="{reason}"'
    )
    attack(tried, f"401: {reason}")


HEADERS = {
    "no header": ({}, NOBODY),
    "an empty header": ({"Authorization": ""}, NO_BEARER),
    "Basic": ({"Authorization": "Basic YWRtaW46YWRtaW4="}, NO_BEARER),
    "the token alone": ({"Authorization": secret_token()}, NO_BEARER),
    "Bearer and nothing": ({"Authorization": "Bearer "}, NO_BEARER),
    "two tokens": ({"Authorization": f"Bearer {secret_token()}, Bearer {secret_token()}"}, NO_BEARER),
    "a token and more": ({"Authorization": f"Bearer {secret_token()} admin"}, NO_BEARER),
    "letters beyond ASCII": ({"Authorization": "Bearer t\xf6ken"}, NO_BEARER),
    "the token in another header": ({"X-Authorization": f"Bearer {secret_token()}"}, NOBODY),
    "the token in a cookie": ({"Cookie": f"Authorization=Bearer {secret_token()}"}, NOBODY),
}  # fmt: skip


@pytest.mark.parametrize("tried", HEADERS)
def test_who_does_not_say_who_he_is_as_it_should_be_said_is_refused(gateway: Gateway, attack: Told, tried: str) -> None:
    headers, reason = HEADERS[tried]
    answer = gateway.client.get(ASKED, headers=headers)
    assert (answer.status_code, answer.get_json()["detail"]) == (401, reason)
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="recommendations"')
    attack(tried, f"401: {reason}")


def test_a_token_in_the_address_is_no_token(gateway: Gateway, attack: Told) -> None:
    answer = gateway.client.get(ASKED, query_string={"access_token": secret_token()})
    assert answer.status_code == 401
    attack("the token in the address", "401")


def test_a_token_that_was_taken_is_refused_as_soon_as_it_has_expired(gateway: Gateway, attack: Told) -> None:
    token = secret_token(exp=int(time.time()) + 2)
    assert gateway.client.get(ASKED, headers=bearer(token)).status_code == 200
    time.sleep(2.1)
    answer = gateway.client.get(ASKED, headers=bearer(token))
    assert (answer.status_code, answer.get_json()["detail"]) == (401, "the token has expired")
    attack("a token that was remembered, after its end", "401: the token has expired")


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=["RS256", "ES256", "EdDSA"])
def test_a_good_token_is_taken(gateway: Gateway, key: SigningKey) -> None:
    assert gateway.client.get(ASKED, headers=bearer(key.token())).status_code == 200
    assert gateway.client.get(ASKED, headers=bearer(key.token(named=False))).status_code == 200


@pytest.mark.parametrize(
    "changes", [{}, {"aud": ["billing", AUDIENCE]}, {"nbf": None}, {"iat": None}, {"sub": "x" * 255}, {"jti": "7"}]
)
def test_so_is_one_of_the_shared_secret(gateway: Gateway, changes: dict[str, Any]) -> None:
    assert gateway.client.get(ASKED, headers=bearer(secret_token(**changes))).status_code == 200


def test_the_word_bearer_has_no_case(gateway: Gateway) -> None:
    assert gateway.client.get(ASKED, headers={"Authorization": f"bEARER  {secret_token()}"}).status_code == 200


def test_the_issuers_clock_may_differ_by_the_leeway(platform: Platform) -> None:
    gateway = platform.gateway(
        auth="required", jwt_secret=SECRET, jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_leeway_seconds=30
    )
    now = int(time.time())
    for changes, status in (({"exp": now - 20}, 200), ({"exp": now - 40}, 401), ({"nbf": now + 20}, 200)):
        assert gateway.client.get(ASKED, headers=bearer(secret_token(**changes))).status_code == status


def test_both_secrets_are_taken_while_one_takes_the_others_place(platform: Platform) -> None:
    new = "the new secret of the issuer and the gateway"
    gateway = platform.gateway(auth="required", jwt_secret=f"{new},{SECRET}", jwt_issuer=ISSUER, jwt_audience=AUDIENCE)
    for secret, status in ((SECRET, 200), (new, 200), (f"{new},{SECRET}", 401)):
        assert gateway.client.get(ASKED, headers=bearer(secret_token(secret))).status_code == status


def test_what_a_file_of_keys_may_hold(tmp_path: Path, platform: Platform) -> None:
    pems = tmp_path / "keys.pem"
    pems.write_bytes(RSA.pem + EC.pem + ED.pem)
    gateway = platform.gateway(auth="required", jwt_keys_file=pems, jwt_issuer=ISSUER, jwt_audience=AUDIENCE)
    for key in (RSA, EC, ED):
        assert gateway.client.get(ASKED, headers=bearer(key.token())).status_code == 200
    assert gateway.client.get(ASKED, headers=bearer(by_hand(HS, claims(), RSA.pem))).status_code == 401
