"""What callers see while something is down (OPERATIONS.md), of one answer: what it may be, and how long it may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from shared.settings import Settings
from tests.faults.load import Answer

# Kinds of requests.
CACHED: Final = "page of a user whose list is cached"
NEW: Final = "page of a user whose list is made anew"
RARE: Final = "page of titles that nobody saw lately"
JOB: Final = "submission of a job"
STATE: Final = "state of a job"
READY: Final = "readiness"
PAGES: Final = (CACHED, NEW, RARE)
KINDS: Final = (*PAGES, JOB, STATE, READY)

Pages = Mapping[UUID, list[Any]]
"""The recommendations that users get when all is well."""

_GRACE: Final = 0.25  # s that a database has on top of each of its times, see shared/databases.py
_CHECKS: Final = 1.0  # s that readiness gives its checks, see gateway/routes/operations.py
_BUSY: Final = 1.0  # s that an answer may take by itself, on a machine with two cores for all this


@dataclass(frozen=True)
class Bounds:
    """The longest that things may take, in seconds: what the settings add up to."""

    settings: Settings

    @property
    def silence(self) -> float:
        """A query of a database that says nothing: waiting for a connection, then for the answer."""
        s = self.settings
        return s.database_checkout_seconds + max(s.database_connect_seconds, s.database_statement_seconds) + _GRACE

    @property
    def query(self) -> float:
        """Any query: waiting for a connection, finding it dead, making another, waiting for the answer."""
        s = self.settings
        return s.database_checkout_seconds + 2 * s.database_connect_seconds + s.database_statement_seconds + 3 * _GRACE

    @property
    def redis(self) -> float:
        """An exchange with Redis: making a connection, waiting for the answer."""
        return 2 * self.settings.redis_timeout_seconds

    @property
    def recovery(self) -> float:
        """After a fault: an attempt that has begun fails, the pause passes, another one does not."""
        return self.query + self.settings.retry_pause_seconds + _BUSY

    def answer(self, kind: str, down: frozenset[str], *, silent: bool) -> float:
        """An answer while these are down. silent: they say nothing at all."""
        if kind == READY:
            return _CHECKS + _BUSY
        query = self.silence if silent else self.query
        waits = {
            CACHED: {"redis": self.redis, "catalog_db": query},
            JOB: {"redis": self.redis, "jobs_db": 2 * query, "broker": self.settings.publish_seconds},  # it is counted
            STATE: {"redis": self.redis, "jobs_db": query},
        }
        page = {"redis": self.redis, "user_db": query, "engagement_db": query, "catalog_db": query}
        return _BUSY + sum(seconds for name, seconds in waits.get(kind, page).items() if name in down)


def is_whole(answer: Answer, pages: Pages) -> bool:
    """Whether it is as if nothing had ever been down."""
    body = answer.body
    match answer.kind, answer.status:
        case (kind, 200) if kind in PAGES:
            return _is_same(answer, pages) and not body["degraded"] and body["cached"] == (kind == CACHED)
        case (kind, 202) if kind == JOB:
            return True
        case (kind, 200) if kind == STATE:
            return bool(body["state"] == "completed")
        case (kind, 200) if kind == READY:
            return bool(body["status"] == "ready")
    return False


def is_promised(answer: Answer, down: frozenset[str], pages: Pages) -> bool:
    """Whether it is what the table says for when these are down, and says itself how it falls short."""
    match answer.kind, answer.status:
        case (kind, 200) if kind in PAGES:
            return _is_promised_page(answer, down, pages)
        case (kind, 503) if kind in PAGES:
            return "catalog_db" in down and _says_when_to_come_back(answer)
        case (kind, 503) if kind in (JOB, STATE):
            return "jobs_db" in down and _says_when_to_come_back(answer)
        case (kind, 200 | 503) if kind == READY:
            shown = {name for name, check in answer.body["checks"].items() if check["state"] == "down"}
            follows = {"worker"} if "jobs_db" in down else set()  # it says there that it lives
            status = "unavailable" if "catalogue" in shown else "degraded"
            return bool(answer.body["status"] == status and shown <= down | follows)
    return False


def shows(answer: Answer) -> str:
    """What a caller sees of it, in a word or two."""
    if answer.status != 200 or answer.kind not in PAGES:
        return str(answer.status)
    made = "from the cache" if answer.body["cached"] else "anew"
    return f"{answer.body['strategy']}, degraded" if answer.body["degraded"] else made


def _is_promised_page(answer: Answer, down: frozenset[str], pages: Pages) -> bool:
    page, same = answer.body, _is_same(answer, pages)
    if not page["degraded"]:  # made anew for want of a cache, or not written to it
        return same and "redis" in down
    if page["strategy"] == "hybrid":  # a whole list, its titles as last seen
        return same and "catalog_db" in down
    list_is_cached = answer.kind == CACHED and "redis" not in down
    return not page["cached"] and not list_is_cached and page["strategy"] in _strategies(down)


def _strategies(down: frozenset[str]) -> set[str]:
    """How lists can be made without these."""
    without = {"user_db": "collaborative", "engagement_db": "content"}
    strategies = {without[name] for name in down if name in without}
    return strategies | ({"popular"} if len(strategies) == 2 else set())


def _is_same(answer: Answer, pages: Pages) -> bool:
    return answer.kind == RARE or answer.body["recommendations"] == pages[answer.request.about]


def _says_when_to_come_back(answer: Answer) -> bool:
    return (
        answer.headers.get("Content-Type") == "application/problem+json"
        and answer.body["type"] in ("/problems/unavailable", "/problems/busy")
        and int(answer.headers["Retry-After"]) > 0
    )
