"""A server that may be stopped, killed and paused, and pools of connections to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg2
import pytest

from demo.servers import Postgres
from shared.databases import Database
from tests.pools import BOUNDS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server that these tests may stop, kill and pause."""
    with Postgres(tmp_path_factory.mktemp("own") / "postgres", durable=False) as server:
        yield server


@pytest.fixture
def other(server: Postgres) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Runs a statement as somebody else would, beside the pool."""

    def run(statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with contextlib.closing(psycopg2.connect(server.dsn())) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    yield run
    run("DROP TABLE IF EXISTS note")


@pytest.fixture
def note(other: Callable[..., list[tuple[Any, ...]]]) -> Callable[..., list[tuple[Any, ...]]]:
    """An empty table `note` of distinct texts; gives `other`."""
    other("DROP TABLE IF EXISTS note")
    other("CREATE TABLE note (text text, CONSTRAINT once UNIQUE (text) DEFERRABLE INITIALLY DEFERRED)")
    return other


@pytest.fixture
def paused(server: Postgres) -> Iterator[Callable[[], None]]:
    """Pauses the server; it goes on at the latest when the test is over."""
    yield server.pause
    server.resume()


@pytest.fixture
def pool(server: Postgres) -> Iterator[Callable[..., Database]]:
    """Makes pools on the server, which are closed after the test."""
    with contextlib.ExitStack() as closing:

        def make(*, url: str | None = None, read_only: bool = False, **bounds: float) -> Database:
            database = Database("some_db", url or server.dsn(), replace(BOUNDS, **bounds), read_only=read_only)
            closing.callback(database.close)
            return database

        yield make
