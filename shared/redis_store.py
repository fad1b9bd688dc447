"""Values by key in Redis, each with a life. The only room that knows the redis library; its errors become ours here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.availability import Availability
from shared.errors import CacheUnavailable


class RedisStore:
    """A bounded client: no wait longer than its timeout, none at all while Redis is known to be down."""

    def __init__(self, url: str, *, timeout_seconds: float, pause_seconds: float, connections: int) -> None:
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            socket_keepalive=True,
            health_check_interval=15,
            max_connections=connections,
            retry=Retry(NoBackoff(), 1),  # a connection that a restart of Redis broke is replaced at once
            retry_on_error=[redis.ConnectionError],
        )
        self._availability = Availability("Redis", pause_seconds)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The keys' values in order, None for one that is not there. Raises CacheUnavailable."""
        self._check()
        try:
            values = cast("list[bytes | None]", self._client.mget(keys)) if keys else []
        except redis.RedisError as error:
            raise self._failed(error) from error
        self._availability.answered()
        return values

    def set_many(self, values: Mapping[bytes, bytes], *, seconds: int) -> None:
        """Write values that live for `seconds`. Raises CacheUnavailable."""
        self._check()
        try:
            pipeline = self._client.pipeline(transaction=False)
            for key, value in values.items():
                pipeline.set(key, value, ex=seconds)
            pipeline.execute()
        except redis.RedisError as error:
            raise self._failed(error) from error
        self._availability.answered()

    def ping(self) -> None:
        """Ask Redis whether it is there, whatever is known of it. Raises CacheUnavailable."""
        try:
            self._client.ping()
        except redis.RedisError as error:
            raise self._failed(error) from error
        self._availability.answered()

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def _check(self) -> None:
        if not self._availability.worth_trying():
            raise CacheUnavailable("Redis did not answer a moment ago")

    def _failed(self, error: redis.RedisError) -> CacheUnavailable:
        self._availability.failed(error)
        return CacheUnavailable(f"Redis is unavailable: {error}")
