"""Secrets that are planted, and looked for in whatever a program says."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from urllib.parse import quote
from uuid import uuid4


class Planted:
    """Secrets, each unlike any other text there is, by what they are for."""

    def __init__(self) -> None:
        self._by_name: dict[str, str] = {}

    def secret(self, name: str, value: str = "") -> str:
        """One of this value, or a new one."""
        return self._by_name.setdefault(name, value or f"/@:%'\" {uuid4().hex}")

    def password(self, name: str, value: str = "") -> str:
        """The same as an address has it: whatever is no letter and no digit is percent-encoded."""
        return quote(self.secret(name, value), safe="")

    def found_in(self, texts: Iterable[str]) -> dict[str, str]:
        """Those that are seen in any of the texts, plain, percent-encoded or in base64, each with a place where."""
        whole = "\0".join(texts)
        seen = {}
        for name, value in self._by_name.items():
            for form in forms(value):
                if (place := whole.find(form)) >= 0:
                    seen[name] = whole[max(0, place - 200) : place + 100]
        return seen

    def __len__(self) -> int:
        return len(self._by_name)


def forms(secret: str) -> Iterator[str]:
    """How it may be written. Its second half alone is too much, and is the same with quotes or without."""
    for value in (secret, secret[len(secret) // 2 :]):
        yield value
        yield quote(value, safe="")
        for before in ("", "x", "xx"):  # in base64 it depends on what stands before it, its ends on their neighbours
            yield b64encode((before + value).encode())[4:-4].decode()
