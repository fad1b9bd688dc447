"""Several clients at once, which write down every answer they get."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

_PATIENCE: Final = 60.0  # s; above every bound that is tested
_PAUSE: Final = 0.04  # s between one client's requests


@dataclass(frozen=True)
class Request:
    """What to send; `kind` is what the tests call it, and `about` what it was about."""

    kind: str
    path: str
    method: str = "GET"
    body: Any = None
    headers: Mapping[str, str] | None = None
    about: Any = None


@dataclass(frozen=True)
class Answer:
    """What came back, and when. Times are the monotonic clock's, in seconds."""

    request: Request
    status: int  # 0: none came
    headers: Mapping[str, str]
    body: Any
    asked: float
    answered: float

    @property
    def kind(self) -> str:
        """The request's."""
        return self.request.kind

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.answered - self.asked

    def __str__(self) -> str:
        body = json.dumps(self.body) if not isinstance(self.body, str) else self.body
        return f"{self.kind}: {self.status} after {self.seconds:.2f} s, {body[:300]}"


def ask(address: str, request: Request) -> Answer:
    """Send one request; never raises, whatever comes back."""
    asked = time.monotonic()
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=_PATIENCE)
    body = None if request.body is None else json.dumps(request.body)
    headers = dict(request.headers or {}) | ({"Content-Type": "application/json"} if body else {})
    try:
        connection.request(request.method, request.path, body, headers)
        response = connection.getresponse()
        text = response.read()
        return Answer(request, response.status, dict(response.headers), json.loads(text), asked, time.monotonic())
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(request, 0, {}, f"{type(error).__name__}: {error}", asked, time.monotonic())
    finally:
        connection.close()


def ask_at_once(address: str, requests: Sequence[Request]) -> list[Answer]:
    """Send all of them at the same time."""
    with ThreadPoolExecutor(len(requests)) as clients:
        return list(clients.map(lambda request: ask(address, request), requests))


class Load:
    """A client for each kind of request, which sends one after the other until the block ends."""

    def __init__(self, address: str, kinds: Sequence[Callable[[int], Request]]) -> None:
        """kinds: each makes a request from a running number."""
        self._address = address
        self._stopped = threading.Event()
        self._answers: list[Answer] = []
        self._threads = [threading.Thread(target=self._run, args=[make], daemon=True) for make in kinds]

    @property
    def answers(self) -> list[Answer]:
        """Those there are by now."""
        return self._answers.copy()

    def since(self, moment: float) -> list[Answer]:
        """Those to what was asked later."""
        return [answer for answer in self.answers if answer.asked >= moment]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self, make: Callable[[int], Request]) -> None:
        for number in itertools.count():
            self._answers.append(ask(self._address, make(number)))
            if self._stopped.wait(_PAUSE):
                return
