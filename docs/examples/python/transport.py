"""Requests that are sent again where that may help, and problems as one exception. Only the standard library."""

from __future__ import annotations

import json
import random
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import Any, Final, NamedTuple, TypeVar

from documents import FieldProblem

BUSY: Final = (429, 503)  # the request was not done, and may be sent again
FIRST_PAUSE: Final = 0.5  # seconds; doubled each time
LONGEST_PAUSE: Final = 60.0  # seconds; who is told to wait for longer should do something else meanwhile

T = TypeVar("T")


@dataclass(eq=False)
class Problem(Exception):
    """The service said no (RFC 9457), or gave no answer: then the status is 0. Decide by `type`."""

    detail: str
    status: int = 0
    type: str = "about:blank"  # or the path of a page that explains it
    fields: list[FieldProblem] = field(default_factory=list)  # of invalid-request: what is wrong with which
    request_id: str | None = None  # what the service's log calls the request

    def __str__(self) -> str:
        return f"{self.status} {self.type}: {self.detail}" if self.status else self.detail


class Answer(NamedTuple):
    """A whole answer."""

    headers: Message
    document: Any  # parsed JSON


# region: send
class Transport:
    """Sends requests to one address; again, after longer and longer pauses, while nobody answers or the service is
    busy. So it is for requests that may be done twice: those that only ask, and those with an Idempotency-Key."""

    def __init__(self, base_url: str, token: str | None, *, timeout: float, retries: int) -> None:
        """token: shown with each request; timeout: seconds without a byte from the service; retries: how often a
        request is sent again."""
        self._base, self._token, self._timeout, self._retries = base_url.rstrip("/"), token, timeout, retries

    def call(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """A whole answer. Raises Problem."""
        return self._send(method, path, body, headers or {}, _whole)

    def open(self, path: str, headers: Mapping[str, str]) -> HTTPResponse:
        """An open answer to a GET; what goes wrong while it is read is the reader's concern. Raises Problem."""
        return self._send("GET", path, None, headers, lambda response: response)

    def _send(
        self, method: str, path: str, body: object, headers: Mapping[str, str], read: Callable[[HTTPResponse], T]
    ) -> T:
        data = None if body is None else json.dumps(body, default=str).encode()
        headers = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(self._base + path, data, headers, method=method)
        if self._token is not None:
            if not re.fullmatch(r"[\x21-\x7e]+", self._token):  # what urllib says of such a header would show it
                raise Problem("the token has characters that no token has")
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")  # for this server and no other
        tries = 0
        while True:
            try:
                return read(urllib.request.urlopen(request, timeout=self._timeout))
            except urllib.error.HTTPError as error:
                problem, told = _problem(error), retry_after(error.headers)
                if problem.status not in BUSY:
                    raise problem from None
            except (OSError, HTTPException) as error:  # refused, cut off or too slow
                problem, told = Problem(f"no answer from {self._base}: {error}"), None
            pause = (told or 0) + random.uniform(0, FIRST_PAUSE * 2**tries)  # by chance, lest all come back at once
            if tries == self._retries or pause > LONGEST_PAUSE:
                raise problem
            time.sleep(pause)
            tries += 1


def _whole(response: HTTPResponse) -> Answer:
    with response:
        try:
            return Answer(response.headers, json.load(response))
        except ValueError as error:
            raise Problem(f"{response.url} answered something else than JSON: {error}") from None


def retry_after(headers: Message) -> float | None:
    """Seconds to wait before asking again, where the service says so."""
    seconds = headers.get("Retry-After", "")
    return float(seconds) if seconds.isdecimal() else None


# end
def _problem(error: urllib.error.HTTPError) -> Problem:
    request_id = error.headers.get("X-Request-Id")
    try:
        told = json.load(error)
        return Problem(told["detail"], error.code, told["type"], told.get("errors", []), request_id)
    except (OSError, HTTPException, ValueError, KeyError, TypeError):  # not the service's own words: a proxy's page
        return Problem(error.reason, error.code, request_id=request_id)
