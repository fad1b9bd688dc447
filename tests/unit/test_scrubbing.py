"""What is hidden, in which forms, and what is left as it is."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode

import pytest

from shared.scrubbing import Scrubber

PASSWORD = "p/a\"s's+w~rd"
KEY = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0U1v"  # 43 characters


def base64(text: str) -> str:
    return b64encode(text.encode()).decode()


KNOWN = {  # a setting's value, and how its secret may be written
    "an address": (
        "postgresql://u:p%2Fa%22s%27s%2Bw~rd@h:5432/db?sslmode=require",
        [PASSWORD, "p%2Fa%22s%27s%2Bw~rd", "p/a%22s%27s%2Bw~rd", repr(PASSWORD)[1:-1], "p/a\\\"s's+w~rd"],
    ),
    "an address, in base64": (
        "redis://:hunter2hunter2@h/0",
        [base64("xyz"[:n] + "hunter2hunter2" + "xyz"[:m]) for n in range(3) for m in range(3)],
    ),
    "an address, in base64 for addresses": (
        "redis://:%3F%3F%3F%3E%3E%3E%3F%3F%3F@h/0",
        [urlsafe_b64encode(b"???>>>???").decode(), b64encode(b"???>>>???").decode()],
    ),
    "an address with its password in the query": ("postgresql://h/db?user=u&password=hunt%2Fer2", ["hunt/er2"]),
    "words of libpq": ("host=h password=hunter2 user=u", ["hunter2"]),
    "words of libpq with quotes": (r"host=h password='hunt\\er \'2' user=u", [r"hunt\er '2"]),
    "several brokers": ("amqp://u:hunter2@a//;amqp://u:hunter3@b//", ["hunter2", "hunter3"]),
    "keys": (f"{KEY},whsec_{KEY}", [KEY]),
    "a private key": ("-----BEGIN X-----\nAbCdEfGhIjKlMnOp\n-----END X-----", ["AbCdEfGhIjKlMnOp"]),
    "an address that is none": ("redis://:hunter2@[h/0", ["hunter2"]),
    "what has no shape": ("hunter2", ["hunter2"]),
}


@pytest.mark.parametrize(("value", "written"), KNOWN.values(), ids=KNOWN)
def test_what_is_known_is_hidden_however_it_is_written(value: str, written: list[str]) -> None:
    scrubber = Scrubber([value])
    for form in written:
        cleaned = scrubber.clean(f"before {form!s} behind")
        assert form not in cleaned
        assert (cleaned[:7], cleaned[-7:]) == ("before ", " behind")
        assert "***" in cleaned


LOOKS = {  # of secrets nobody has told of: before, and after
    "an address": ("to redis://u:hunter2@h:6379/0.", "to redis://***@h:6379/0."),
    "an address with an @ in its password": ("https://u:a@hunter2@h/x", "https://***@h/x"),
    "an address with a name alone": ("https://hunter2@h/x", "https://***@h/x"),
    "two addresses": ("http://a:b@h and http://c:d@h", "http://***@h and http://***@h"),
    "a bearer": ("authorization: bearer abcdefgh.-_~+/==", "authorization: bearer ***"),
    "a header as Python shows it": ("{'Authorization': 'Bearer abcdefgh1'}", "{'Authorization': 'Bearer ***'}"),
    "a scheme nobody knows": ("Authorization: Zebra abc", "Authorization: Zebra ***"),
    "a name and a password": ("Basic dXNlcjpodW50ZXIy", "Basic ***"),
    "a header with a key": ("X-Api-Key: abc", "X-Api-Key: ***"),
    "a token": ("of eyJhbGciOi.eyJzdWIi.c2ln-_, that", "of ***, that"),
    "a caller's key": (f"key rk_my-app_{KEY} is", "key *** is"),
    "a signing key": ("whsec_QUJD+/== is", "*** is"),
    "words of libpq": ("host=h password='a b' user=u", "host=h password=*** user=u"),
    "a query": ("/x?password=hunter2&a=1", "/x?password=***&a=1"),
    "a private key": ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----.", "***."),
    "a private key cut short": ("-----BEGIN PRIVATE KEY-----\nabc", "***"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "cleaned"), LOOKS.values(), ids=LOOKS)
def test_what_looks_like_a_secret_is_hidden(text: str, cleaned: str) -> None:
    assert Scrubber().clean(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "connected to redis://127.0.0.1:6379/0",
        "https://hooks.example.com/done?mail=a@b.example is called",
        "user 34d19a60-dea5-5a97-9a47-7a09d18673d6: a@b.example",
        'FATAL:  password authentication failed for user "ml_service"',
        "model 20261122T184900Z-1f2e3d4c is in use, basic setup, bearer of news",
        "work_in_progress_" + KEY,
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Scrubber(["redis://127.0.0.1:6379/0", "postgresql://ml_service:ab@h/db", ""]).clean(text) == text
