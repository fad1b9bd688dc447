"""The keys of an issuer, by the address of its JSON Web Key Set. They change, and the issuer may be away."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Sequence
from functools import cached_property
from http import HTTPStatus
from http.client import HTTPException
from typing import Final
from urllib.parse import urlsplit

from jwt import PyJWK

from gateway.auth.keys import fitting, key_set
from shared import __version__, deadline
from shared.errors import KeysUnavailable
from shared.http_calls import Deadline, connected

_ANSWER_SECONDS: Final = 3.0  # for the issuer to give its keys, and for a request to wait for them
_AGAIN_SECONDS: Final = 10.0  # between two looks, whatever tokens come: else anybody could make us ask without end
_MOST_BYTES: Final = 1_000_000

_log = logging.getLogger(__name__)


class KeyServer:
    """An issuer's keys, asked for in the background. Safe to share between threads.

    Requests are answered with the keys there are; one waits only when its key is not among them, and then no longer
    than for one answer.
    """

    def __init__(self, url: str, *, refresh_seconds: float, stale_seconds: float) -> None:
        """refresh_seconds: how often keys are asked for. stale_seconds: how long they count while the issuer does not
        answer. Nothing connects before `start`."""
        self._url, self._refresh_seconds, self._stale_seconds = url, refresh_seconds, stale_seconds
        self._changed = threading.Condition()
        self._keys: Sequence[PyJWK] = ()
        self._known_at = float("-inf")  # when these keys were the issuer's, by the monotonic clock
        self._asked_at = float("-inf")  # when it was last asked
        self._wanted, self._asking, self._stopped = True, False, False
        self._problem = "the issuer has not been asked yet"

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def start(self) -> None:
        """Begin to ask."""
        threading.Thread(target=self._run, name="keys", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def find(self, algorithm: str, kid: str | None) -> Sequence[PyJWK]:
        """See Keys. A key that is not known is asked for, but not more often than every ten seconds."""
        found = fitting(self._keys, algorithm, kid)
        if found and self._fresh():
            return found
        with self._changed:
            if not self._asking and self._may_ask():
                self._wanted = True
                self._changed.notify_all()
            seconds = min(_ANSWER_SECONDS, max(0, deadline.left()))
            self._changed.wait_for(lambda: not (self._wanted or self._asking), timeout=seconds)
            if not self._fresh():
                raise KeysUnavailable(f"the keys of tokens cannot be had: {self._problem}")
            return fitting(self._keys, algorithm, kid)

    def check(self) -> str:
        """How many keys there are. Raises KeysUnavailable when there are none that count."""
        if not self._fresh():
            raise KeysUnavailable(self._problem)
        return f"{len(self._keys)} keys"

    def _fresh(self) -> bool:
        return time.monotonic() - self._known_at < self._stale_seconds

    def _may_ask(self) -> bool:
        return time.monotonic() - self._asked_at > _AGAIN_SECONDS

    def _run(self) -> None:
        while True:
            with self._changed:
                pause = _AGAIN_SECONDS if self._problem else self._refresh_seconds
                self._changed.wait_for(lambda: self._wanted or self._stopped, timeout=pause)
                if self._stopped:
                    return
                self._wanted, self._asking, self._asked_at = False, True, time.monotonic()
            try:
                keys, problem = self._ask(), ""
            except (OSError, ValueError) as error:
                keys, problem = None, f"{self._url}: {error}"
            self._note(keys, problem)

    def _note(self, keys: Sequence[PyJWK] | None, problem: str) -> None:
        with self._changed:
            if keys is None:
                _log.warning("the keys of tokens could not be read: %s", problem)
            elif self._problem:
                _log.info("%d keys of tokens are read", len(keys))
            if keys is not None:
                self._keys, self._known_at = keys, time.monotonic()
            self._problem, self._asking = problem, False
            self._changed.notify_all()

    def _ask(self) -> Sequence[PyJWK]:
        """Raises OSError, ValueError."""
        bound, url = Deadline(_ANSWER_SECONDS), urlsplit(self._url)
        host, tls = url.hostname or "", self._tls if url.scheme == "https" else None
        resource = (url.path or "/") + (f"?{url.query}" if url.query else "")
        headers = {"Accept": "application/json", "User-Agent": f"ml-service/{__version__}", "Connection": "close"}
        try:
            port = url.port or (443 if tls else 80)
            with connected(host, port, bound, address=host, tls=tls) as connection:
                connection.request("GET", resource, headers=headers)
                with connection.getresponse() as answer:
                    raw = answer.read(_MOST_BYTES + 1)
                    bound.remaining()  # what was cut off looks like what has ended
                    if answer.status != HTTPStatus.OK:
                        raise ValueError(f"it answered {answer.status}")
        except (OSError, HTTPException) as error:
            raise OSError(bound.reason or str(error) or type(error).__name__) from None
        if len(raw) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES} bytes")
        return key_set(raw)
