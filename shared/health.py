"""How each thing the service leans on is, asked directly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from shared.databases import Database
from shared.errors import DatabaseUnavailable, NotReady
from shared.parts import Parts

Check = Callable[[], str]
"""Says in a few words how a dependency is. Raises ServiceError when it is down."""

VITAL: Final = frozenset({"catalogue"})  # without titles not one request can be answered; without the rest, some can


def checks(parts: Parts, ping_broker: Callable[[], None]) -> dict[str, Check]:
    """A check per dependency, by name. Each is bounded by its own time-outs; run them side by side."""

    def redis() -> str:
        parts.redis.ping()
        return "answers"

    def broker() -> str:
        ping_broker()
        return "answers"

    def catalogue() -> str:
        try:
            return f"{len(parts.refresher.current().catalogue)} titles"
        except DatabaseUnavailable:
            raise NotReady("titles could not be read yet: see catalog_db") from None

    def model() -> str:
        snapshot = parts.refresher.current()
        if snapshot.model is None:
            raise NotReady("no model yet: run `python -m worker train`")
        return f"{snapshot.model.version}, {len(snapshot.model.titles)} titles"

    def worker() -> str:
        alive = parts.workers.alive()
        if not alive:
            raise NotReady("no worker is alive: jobs wait for one")
        return f"{alive} alive"

    def database(pool: Database) -> Check:
        def check() -> str:
            pool.ping()
            return "answers"

        return check

    return {pool.name: database(pool) for pool in parts.databases.all()} | {
        "redis": redis,
        "broker": broker,
        "catalogue": catalogue,
        "model": model,
        "worker": worker,
    }
