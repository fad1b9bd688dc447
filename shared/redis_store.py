"""Values by key in Redis, each with a life. The only room that knows the redis library; its errors become ours here."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, cast

import redis
from redis._parsers import _HiredisParser
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared import deadline
from shared.availability import Availability
from shared.errors import CacheUnavailable, ConfigurationError
from shared.transport import refuse_unverified

_exchange: Final = threading.local()  # .ends: when the running thread's exchange must be over, by the monotonic clock


class RedisStore:
    """A bounded client: no exchange longer than its time, none at all while Redis is known to be down."""

    def __init__(self, url: str, *, timeout_seconds: float, pause_seconds: float, connections: int) -> None:
        """timeout_seconds: for an exchange; and once more when a connection has to be made for it.

        Raises ConfigurationError for an address that is none, or over which the server is not verified, though by TLS.
        """
        refuse_unverified("REDIS_URL", url)
        self._timeout = timeout_seconds
        try:
            self._client = redis.Redis.from_url(
                url,
                socket_timeout=timeout_seconds,
                socket_connect_timeout=timeout_seconds,
                socket_keepalive=True,
                health_check_interval=15,
                max_connections=connections,
                # A connection that a restart of Redis broke is replaced at once; after a time-out no time is left.
                retry=Retry(NoBackoff(), 1, (redis.ConnectionError,)),
                parser_class=_PromptParser,
            )
        except ValueError:  # which may show a piece of the address
            raise ConfigurationError("REDIS_URL: not an address of Redis, such as redis://:password@host/0") from None
        self._availability = Availability("Redis", pause_seconds, attempt_seconds=2 * timeout_seconds)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The keys' values in order, None for one that is not there. Raises CacheUnavailable."""
        self._refuse_while_down()
        with self._bounded():
            return cast("list[bytes | None]", self._client.mget(keys)) if keys else []

    def set_many(self, values: Mapping[bytes, bytes], *, seconds: int) -> None:
        """Write values that live for `seconds`. Raises CacheUnavailable."""
        self._refuse_while_down()
        with self._bounded():
            pipeline = self._client.pipeline(transaction=False)
            for key, value in values.items():
                pipeline.set(key, value, ex=seconds)
            pipeline.execute()

    def count(self, key: bytes, *, seconds: int, amount: int) -> tuple[int, float]:
        """Add to a counter that begins anew `seconds` after its first; what it comes to, and in how many seconds it
        begins anew. Raises CacheUnavailable."""
        self._refuse_while_down()
        with self._bounded():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.incrby(key, amount)
            pipeline.expire(key, seconds, nx=True)  # after it: so it can't be lost between the two
            pipeline.pttl(key)
            count, _, left = pipeline.execute()
        return count, max(0, left) / 1000

    def ping(self) -> None:
        """Ask Redis whether it is there, whatever is known of it. Raises CacheUnavailable."""
        with self._bounded():
            self._client.ping()

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def _refuse_while_down(self) -> None:
        if not self._availability.worth_trying():
            raise CacheUnavailable("Redis did not answer a moment ago")

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """One exchange, in its time, with errors as ours and its outcome noted."""
        left = deadline.left()
        if left <= 0:
            raise CacheUnavailable("Redis is not asked: the answer is due")
        _exchange.ends = time.monotonic() + min(self._timeout, left)
        try:
            yield
        except redis.RedisError as error:
            if left >= self._timeout:  # else it had less time than it may take
                self._availability.failed(error)
            raise CacheUnavailable(f"Redis is unavailable: {error}") from error
        self._availability.answered()


class _PromptParser(_HiredisParser):
    """Reads an answer in what is left of the exchange's time.

    The library's own time begins anew with every piece: an answer that came in drops would never be too late.
    """

    def read_from_socket(self, timeout: object = None, raise_on_timeout: bool = True) -> bool:  # noqa: ARG002
        left = _exchange.ends - time.monotonic()
        if left <= 0:
            raise redis.TimeoutError("Timeout reading from socket")
        return bool(super().read_from_socket(left, raise_on_timeout))  # type: ignore[no-untyped-call]
