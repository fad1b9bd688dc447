"""Text without secrets: those this process knows, in whatever form, and whatever looks like one.

What a process knows is replaced wherever it stands: a password of a setting's URL, a signing key. What it does not
know, such as a caller's key, is told by its looks. Both cost a log line a few microseconds.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

HIDDEN: Final = "***"
_SHORTEST: Final = 6  # characters; what is shorter is in too many words, and hidden only where it looks like a secret
_SHORTEST_BASE64: Final = 8

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?P<rest>.*)", re.DOTALL)
_NEXT_URL: Final = re.compile(r"[;,](?=[A-Za-z][A-Za-z0-9+.-]*://)")  # kombu takes several brokers
_IN_DSN: Final = re.compile(r"password\s*=\s*(?:'(?P<quoted>(?:\\.|[^'\\])*)'|(?P<plain>\S+))")
_PIECES: Final = re.compile(r"[\s,;]+")

# What a secret looks like: in what text to look for it at all, how it looks, and what becomes of it. The text that is
# looked at for the first is in lower case.
_LOOKS: Final = tuple(
    (mark, re.compile(pattern), shown)
    for mark, pattern, shown in (
        ("://", r'://[^\s/"]*@', f"://{HIDDEN}@"),
        ("bearer", r"(?i)\b(bearer\s+)[\w.~+/-]{8,}=*", rf"\1{HIDDEN}"),
        ("basic", r"(?i)\b(basic\s+)[\w.~+/-]{8,}=*", rf"\1{HIDDEN}"),
        ("authorization", r"(?i)\b(authorization['\"]?\s*[:=,]\s*['\"]?(?:\w+ )?)[^\s'\",]+", rf"\1{HIDDEN}"),
        ("api-key", r"(?i)\b(x-api-key['\"]?\s*[:=,]\s*['\"]?)[^\s'\",]+", rf"\1{HIDDEN}"),
        ("eyj", r"\beyJ[\w-]+(?:\.[\w-]*){2,4}", HIDDEN),  # a JSON Web Token
        ("rk_", r"\brk_[\w.~-]*_[\w-]{43}", HIDDEN),  # a caller's key
        ("whsec_", r"whsec_[\w+/=-]+", HIDDEN),  # a key that signs callbacks
        ("password", r"(?i)(password=)(?:'(?:\\.|[^'\\])*'|[^\s&;,'\"]+)", rf"\1{HIDDEN}"),
        ("private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", HIDDEN),
    )
)


class Scrubber:
    """Hides secrets in text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """secrets: values that have them or are some, as `parts` takes them apart."""
        self._known: set[str] = set()
        self._forms: re.Pattern[str] | None = None
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Hide these, too."""
        self._known |= {form for value in secrets for part in parts(value) for form in _forms(part)}
        longest_first = sorted(self._known, key=len, reverse=True)
        self._forms = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def clean(self, text: str) -> str:
        """The text without them."""
        if self._forms is not None:
            text = self._forms.sub(HIDDEN, text)
        lower = text.lower()
        for mark, look, shown in _LOOKS:
            if mark in lower:
                text = look.sub(shown, text)
        return text


def parts(value: str) -> Iterator[str]:
    """What is secret of a setting's value: of an address its password, of anything else all of it and each piece."""
    for address in _NEXT_URL.split(value):
        if found := _URL.fullmatch(address):
            yield from _of_url(address, found["rest"])
        elif found := _IN_DSN.search(address):
            yield found["plain"] or re.sub(r"\\(.)", r"\1", found["quoted"])
        else:
            yield address
            yield from _PIECES.split(address)


def _of_url(address: str, rest: str) -> Iterator[str]:
    user, there, _ = rest.rpartition("@")  # a password that is not encoded may have anything in it, slashes too
    if there and ":" in user:
        yield user.partition(":")[2]
    try:
        query = urlsplit(address).query
    except ValueError:  # it is no address, and has no query
        return
    yield from (value for name, value in parse_qsl(query) if "password" in name.lower())


def _forms(secret: str) -> Iterator[str]:
    """How a secret may stand in a text."""
    for plain in {secret, unquote(secret)}:
        if len(plain) < _SHORTEST:
            continue
        yield from (plain, quote(plain), quote(plain, safe=""), quote_plus(plain), repr(plain)[1:-1])
        yield json.dumps(plain)[1:-1]
        for before in range(3):  # in base64 it depends on what stands before it, and its ends on their neighbours
            raw = bytes(before) + plain.encode("utf-8", "surrogateescape")
            start, end = -(-before * 4 // 3), len(raw) * 4 // 3
            for encode in (b64encode, urlsafe_b64encode):
                if len(form := encode(raw)[start:end].decode()) >= _SHORTEST_BASE64:
                    yield form
