"""A small HTTP client for the walkthrough: standard library only, every wait bounded."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from demo.errors import WrongAnswer

_TIMEOUT = 30.0  # seconds for one answer


@dataclass(frozen=True)
class Answer:
    """What came back, and how long it took."""

    status: int
    headers: Mapping[str, str]
    body: Any  # parsed JSON
    milliseconds: float


class Client:
    """Talks JSON with one address."""

    def __init__(self, address: str) -> None:
        """`address` like http://127.0.0.1:8000."""
        self.address = address

    def get(self, path: str, *, expect: int | None = 200) -> Answer:
        """GET. Raises WrongAnswer when there is no JSON answer, or another status than expected."""
        return self._exchange(urllib.request.Request(self._url(path)), expect)

    def post(self, path: str, body: Any, *, expect: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        """POST a JSON body. Raises WrongAnswer as `get` does."""
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
        return self._exchange(urllib.request.Request(self._url(path), data, headers), expect)

    def lines(self, path: str) -> Iterator[Any]:
        """GET newline-delimited JSON, one value at a time. Raises WrongAnswer."""
        request = urllib.request.Request(self._url(path), headers={"Accept": "application/x-ndjson"})
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # nosec B310 # our own gateway
                for line in response:
                    yield json.loads(line)
        except (OSError, ValueError) as error:
            raise WrongAnswer(f"GET {request.full_url}: {error}") from error

    def _url(self, path: str) -> str:
        return urljoin(self.address, path)

    def _exchange(self, request: urllib.request.Request, expect: int | None) -> Answer:
        name = f"{request.get_method()} {request.full_url}"
        start = time.perf_counter()
        try:
            try:
                response = urllib.request.urlopen(request, timeout=_TIMEOUT)  # nosec B310 # our own gateway
            except urllib.error.HTTPError as error:
                response = error  # an answer like any other, with its status and body
            with response:
                text = response.read()
                milliseconds = (time.perf_counter() - start) * 1000
                status, received = response.status, dict(response.headers)
        except OSError as error:
            raise WrongAnswer(f"{name} got no answer: {error}") from error
        if expect not in (None, status):
            raise WrongAnswer(f"{name} answered {status}, not {expect}: {_shorten(text)}")
        try:
            return Answer(status, received, json.loads(text), milliseconds)
        except ValueError as error:
            raise WrongAnswer(f"{name} answered {status} without JSON: {_shorten(text)}") from error


def _shorten(text: bytes) -> str:
    return text[:500].decode(errors="replace")
