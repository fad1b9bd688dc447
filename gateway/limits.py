"""How often callers may ask: budgets by caller and by address, counted in Redis for all gateways together."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

from cachetools import LRUCache
from flask import Flask, Response, g, request
from flask_limiter import ApplicationLimit, Limiter
from limits.storage import Storage

from gateway import addresses
from gateway.auth.authenticator import sender
from shared.errors import CacheUnavailable, LimitsUnavailable
from shared.redis_store import RedisStore
from shared.setting_values import ANY_RATE, UNIX
from shared.settings import Settings

POLICY: Final = "RateLimit-Policy"
STATE: Final = "RateLimit"

_PREFIX: Final = "rec:limits:"
_OPEN: Final = "open"
_PARTS: Final = 1000  # of a budget
_MOST_SHARES: Final = 10_000  # that a process has

_log = logging.getLogger(__name__)


class Budget(StrEnum):
    """What requests are counted apart."""

    SINGLE = "single"  # lists and titles
    BATCH = "batch"
    JOBS = "jobs"


def register(app: Flask, redis: RedisStore, settings: Settings, budgets: Mapping[str, Budget]) -> None:
    """Count the requests to `app`, and refuse what is too much. budgets: by the endpoint; others are not counted."""
    rates = {Budget.SINGLE: settings.rate_single, Budget.BATCH: settings.rate_batch, Budget.JOBS: settings.rate_jobs}
    if set(rates.values()) == {ANY_RATE}:
        return
    users, services, of_addresses = (
        {budget: _times(rate, times) for budget, rate in rates.items()}
        for times in (1, settings.rate_service_times, settings.rate_address_times)
    )

    def budget() -> Budget | None:
        return budgets.get(request.endpoint or "")

    def of_caller() -> str:
        if (asked := budget()) is None or (caller := sender()) is None:
            return ""
        return (services if caller.is_service else users)[asked]

    def of_address() -> str:
        if (asked := budget()) is None or ((caller := sender()) is not None and caller.is_service):
            return ""
        return of_addresses[asked]

    def caller() -> str:
        found = sender()
        return found.digest if found is not None else ""

    limiter = Limiter(
        caller,
        app=app,
        strategy="fixed-window",
        storage_uri="rec://",
        storage_options={"redis": redis, "opens": settings.rate_without_redis == _OPEN},  # type: ignore[dict-item]
        headers_enabled=False,  # it has them by names that no standard knows
        application_limits=[
            ApplicationLimit(
                of_caller,
                key_function=caller,
                scope=lambda _: str(budget()),
                error_message="you have asked as often as you may for now",
            ),
            ApplicationLimit(
                of_address,
                key_function=lambda: addresses.network(request.remote_addr or UNIX),
                scope=lambda _: f"{budget()}-address",
                error_message="your address has asked as often as it may for now",
            ),
        ],
    )
    app.after_request(partial(_tell, limiter))


def _times(rate: str, times: int) -> str:
    """A rate, so many times as high, as the library takes it: empty for any."""
    amount, _, unit = rate.partition("/")
    return "" if rate == ANY_RATE else f"{int(amount) * times}/{unit}"


def _tell(limiter: Limiter, response: Response) -> Response:
    """Say how much is left (draft-ietf-httpapi-ratelimit-headers-10), and when there will be more."""
    counted = [limit for limit in limiter.current_limits if limit.key in _seen()]
    if counted:
        names = [f'"{limit.request_args[-1]}"' for limit in counted]
        lefts = [max(1, math.ceil(limit.window.reset_time - time.time())) for limit in counted]
        told = list(zip(names, counted, lefts, strict=True))
        response.headers[POLICY] = ", ".join(
            f"{name};q={limit.limit.amount};w={limit.limit.get_expiry()}" for name, limit, _ in told
        )
        response.headers[STATE] = ", ".join(f"{name};r={limit.remaining};t={left}" for name, limit, left in told)
        for _, limit, left in told:
            if limit.breached:
                response.headers["Retry-After"] = str(left)
    return response


@dataclass
class _Share:
    """Requests that are counted already, and of which some are still to come."""

    next: int  # which request of the window the next one is
    last: int
    ends: float  # the window, by the monotonic clock


class _Counters(Storage):
    """Flask-Limiter's counters in our Redis: each exchange bounded like all others, and none while Redis is known to be
    down.

    Of a large budget a process counts a thousandth at once, and has that share for the requests that come next: a
    service that asks a lot waits for Redis now and then, not each time. So never more requests pass than may; as many
    fewer as shares are left over at a window's end.
    """

    STORAGE_SCHEME = ["rec"]  # noqa: RUF012 - the library's own
    base_exceptions = ()

    def __init__(self, uri: str, *, redis: RedisStore, opens: bool, wrap_exceptions: bool = False) -> None:
        super().__init__(uri, wrap_exceptions)
        self._redis, self._opens, self._told = redis, opens, False
        self._shares: LRUCache[str, _Share] = LRUCache(_MOST_SHARES)
        self._lock = threading.Lock()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count a request; which of its window it is. While Redis is down: none, or LimitsUnavailable."""
        now = time.monotonic()
        with self._lock:
            share = self._shares.get(key)
            if share is not None and share.next <= share.last and now < share.ends:
                place = share.next
                share.next += amount
                _seen()[key] = place, share.ends - now
                return place
        taken = max(amount, _allowed(key) // _PARTS)
        try:
            count, left = self._redis.count(_stored(key), seconds=expiry, amount=taken)
        except CacheUnavailable as error:
            self._tell_once(error)
            if not self._opens:
                raise LimitsUnavailable("requests cannot be counted at the moment") from error
            return 0
        if self._told:
            _log.warning("requests are counted again")
            self._told = False
        place = count - taken + amount
        if taken > amount:
            with self._lock:
                self._shares[key] = _Share(place + amount, count, now + left)
        _seen()[key] = place, left
        return place

    def get(self, key: str) -> int:
        """How many there were when the running request was counted."""
        return _seen().get(key, (0, 0.0))[0]

    def get_expiry(self, key: str) -> float:
        """When the running request's window ends, in seconds since 1970."""
        return time.time() + _seen().get(key, (0, 0.0))[1]

    def check(self) -> bool:
        """Whether Redis answers."""
        try:
            self._redis.ping()
        except CacheUnavailable:
            return False
        return True

    def reset(self) -> int | None:
        """Not offered: counters go by themselves."""
        raise NotImplementedError

    def clear(self, key: str) -> None:
        """Not offered."""
        raise NotImplementedError

    def _tell_once(self, error: CacheUnavailable) -> None:
        if not self._told:
            what = "answered uncounted" if self._opens else "answered 503"
            _log.warning("requests are %s until Redis answers (RATE_WITHOUT_REDIS): %s", what, error)
            self._told = True


def _allowed(key: str) -> int:
    """The requests of a window. key: the library's, which ends in amount/multiple/unit."""
    return int(key.rsplit("/", 3)[1])


def _stored(key: str) -> bytes:
    """A counter's key in Redis. key: the library's, which begins with a word of its own."""
    return f"{_PREFIX}{key.partition('/')[2]}".encode()


def _seen() -> dict[str, tuple[int, float]]:
    """What the running request was told of its counters: so it need not ask again to say so."""
    if "counters" not in g:
        g.counters = {}
    found: dict[str, tuple[int, float]] = g.counters
    return found
