"""Connections to PostgreSQL as tests use them: with bounds that are soon reached."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from shared.databases import Bounds, Database
from shared.errors import DatabaseUnavailable, PoolExhausted

BOUND = 10.0  # s; far above every time-out here, for a slow machine, and far below those of TCP
BOUNDS = Bounds(connections=3, checkout=0.3, connect=1.0, statement=1.0, bulk=5.0, pause=0.1)


def backend(database: Database) -> int:
    """The server's process behind the connection that the pool gives."""
    [(pid,)] = database.fetch("SELECT pg_backend_pid()")
    return pid


def write(database: Database, text: str) -> None:
    """Put a text into the table `note`."""
    with database.transaction() as session:
        session.run("INSERT INTO note VALUES (%(text)s)", {"text": text}, seconds=1)


def seconds(action: Callable[[], object]) -> float:
    """How long it took."""
    started = time.monotonic()
    action()
    return time.monotonic() - started


def held_up(database: Database, **options: Any) -> None:
    """A query that finds the database unavailable, for a reason other than a lack of connections."""
    with pytest.raises(DatabaseUnavailable) as caught:
        database.fetch("SELECT 1", **options)
    assert not isinstance(caught.value, PoolExhausted)
