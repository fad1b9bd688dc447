"""Tells a receiver over HTTP, signed by the Standard Webhooks scheme (https://www.standardwebhooks.com).

The receiver's name is looked up once, and the address that was checked is the one that is called: a name that stands
for another address a moment later (DNS rebinding) gains nothing. Redirects are not followed, proxies not used, and of
the answer only the status and Retry-After count: its body is not read.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Final

import standardwebhooks

from shared import __version__
from shared.callbacks import CallbackPolicy, CallbackTarget
from shared.errors import InvalidRequest, ServiceError
from shared.http_calls import Deadline, connected

_LONGEST_RETRY_AFTER: Final = 3600.0  # s

Resolve = Callable[[str], Sequence[str]]
"""A host's IP addresses, best first. Raises OSError."""


class CallbackFailed(ServiceError):
    """The receiver was not told this time."""

    def __init__(self, problem: str, retry_after: float = 0.0) -> None:
        super().__init__(problem)
        self.retry_after = retry_after  # s; the receiver asked not to be called before


class CallbackRefused(CallbackFailed):
    """The receiver must not be called, now or later."""


def resolve(host: str) -> list[str]:
    """Ask the operating system. Raises OSError."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


class Webhook:
    """Calls receivers that the policy permits, each call bounded."""

    def __init__(
        self, policy: CallbackPolicy, secrets: Sequence[str], *, seconds: float, resolve: Resolve = resolve
    ) -> None:
        """secrets: each whsec_ and base64; a receiver need know one of them. seconds: bound of a whole call."""
        self._policy = policy
        self._secrets = secrets
        self._seconds = seconds
        self._resolve = resolve

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Reading the machine's authorities takes long; without callbacks nobody needs them."""
        return ssl.create_default_context()

    def send(self, url: str, message_id: str, body: bytes, at: datetime) -> None:
        """POST a JSON document. message_id: the same for each try, so that the receiver can drop repeats.
        at: now, aware.

        Returns once the receiver answers 2xx. Raises CallbackFailed for everything else, and when it took longer than
        its bound, however the time was spent; CallbackRefused when it answers 410 or may not be called.
        """
        deadline = Deadline(self._seconds)
        try:
            target = self._policy.check_host(url)
            headers = self._headers(message_id, body, at)
            with self._connection(target, deadline) as connection:
                connection.request("POST", target.resource, body=body, headers=headers)
                with connection.getresponse() as answer:
                    deadline.remaining()  # headers that were cut off look like headers that have ended
                    _judge(answer, at)
        except InvalidRequest as error:
            raise CallbackRefused(str(error)) from error
        except OSError as error:
            raise CallbackFailed(deadline.reason or str(error) or type(error).__name__) from error
        except HTTPException as error:
            raise CallbackFailed(deadline.reason or f"the answer is no HTTP: {type(error).__name__}") from error

    def _headers(self, message_id: str, body: bytes, at: datetime) -> dict[str, str]:
        signers = map(standardwebhooks.Webhook, self._secrets)
        return {
            "Content-Type": "application/json",
            "User-Agent": f"ml-service/{__version__}",
            "Connection": "close",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(s.sign(message_id, at.astimezone(UTC), body.decode()) for s in signers),
        }

    @contextlib.contextmanager
    def _connection(self, target: CallbackTarget, deadline: Deadline) -> Iterator[HTTPConnection]:
        """A connection to the address that was checked, under the target's name."""
        address = self._address(target, deadline)
        tls = self._tls if target.encrypted else None
        with connected(target.host, target.port, deadline, address=address, tls=tls) as connection:
            yield connection

    def _address(self, target: CallbackTarget, deadline: Deadline) -> str:
        """The first permitted address of the target's host.

        Nothing can interrupt the resolver, so it has a thread of its own, which is left behind when it takes too long
        and ends with the resolver's own bound (resolv.conf: by default 5 s, twice for each name server).
        """
        answer: Future[Sequence[str]] = Future()

        def ask() -> None:
            try:
                answer.set_result(self._resolve(target.host))
            except BaseException as error:
                answer.set_exception(error)

        threading.Thread(target=ask, name="callback-resolver", daemon=True).start()
        found = answer.result(timeout=deadline.remaining())
        for address in found:
            if self._policy.permits(address, encrypted=target.encrypted):
                return address
        raise CallbackFailed(f"no address of {target.host} may be called with {target.scheme}: {', '.join(found)}")


def _judge(answer: HTTPResponse, at: datetime) -> None:
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    problem = f"it answered {answer.status}"
    if answer.status == HTTPStatus.GONE:
        raise CallbackRefused(problem)
    later = answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    raise CallbackFailed(problem, _seconds_until(answer.getheader("Retry-After", ""), at) if later else 0.0)


def _seconds_until(retry_after: str, at: datetime) -> float:
    """A Retry-After header, which is a number or a date, in seconds, at most an hour; 0 when it makes no sense."""
    try:
        if retry_after.isdecimal():
            seconds = float(retry_after)
        else:
            seconds = parsedate_to_datetime(retry_after).timestamp() - at.timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)
