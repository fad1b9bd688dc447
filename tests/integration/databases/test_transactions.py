"""Transactions on PostgreSQL: all or nothing, in sessions that are set as we need them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from psycopg2 import errors as pg

from shared.databases import Database
from shared.errors import DatabaseUnavailable
from tests.platform import Platform
from tests.pools import write


def test_what_a_transaction_wrote_is_there_afterwards(pool: Callable[..., Database], note: Callable) -> None:
    write(pool(), "hello")
    assert note("SELECT * FROM note") == [("hello",)]


def interrupted(session: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("action", "error"),
    [
        pytest.param(lambda session: 1 / 0, ZeroDivisionError, id="a-defect-of-ours"),
        pytest.param(interrupted, KeyboardInterrupt, id="an-interrupt"),
        pytest.param(lambda session: session.run("SELECT 1 / 0", seconds=1), pg.DivisionByZero, id="a-wrong-query"),
        pytest.param(lambda session: session.run("SELECT pg_sleep(9)", seconds=9), DatabaseUnavailable, id="too-slow"),
        pytest.param(
            lambda session: session.run("INSERT INTO note VALUES ('new')", seconds=1),
            pg.UniqueViolation,
            id="at-commit",
        ),
    ],
)
def test_a_transaction_that_fails_is_rolled_back_and_gives_its_connection_back(
    pool: Callable[..., Database], note: Callable, action: Callable[[Any], object], error: type[BaseException]
) -> None:
    database = pool(connections=2, statement=0.3)
    for _ in range(4):  # more often than there are connections
        with pytest.raises(error), database.transaction() as session:
            session.run("INSERT INTO note VALUES ('new')", seconds=1)
            action(session)
    assert note("SELECT * FROM note") == []
    with database.transaction(), database.transaction():
        pass
    assert database.fetch("SELECT 1") == [(1,)]


def test_refusing_something_in_a_transaction_does_not_cost_a_connection(pool: Callable[..., Database]) -> None:
    database = pool(connections=1)
    [(first,)] = database.fetch("SELECT pg_backend_pid()")
    with pytest.raises(LookupError), database.transaction():
        raise LookupError
    assert database.fetch("SELECT pg_backend_pid()") == [(first,)]


# What sessions are like.


@pytest.mark.parametrize("name", ["user", "catalog", "engagement"])
@pytest.mark.parametrize("statement", ["CREATE TABLE ours (id int)", "DROP TABLE {table}", "DELETE FROM {table}"])
def test_databases_of_others_are_never_written(platform: Platform, name: str, statement: str) -> None:
    table = {"user": "tb_user_genre", "catalog": "medias", "engagement": "interaction"}[name]
    platform.like(platform.user("Drama"), platform.title("Alien", "Drama"))
    database = getattr(platform.parts().databases, name)
    with pytest.raises(pg.ReadOnlySqlTransaction):
        database.fetch(statement.format(table=table))
    with pytest.raises(pg.ReadOnlySqlTransaction), database.transaction() as session:
        session.run(statement.format(table=table), seconds=1)
    assert database.fetch(f"SELECT count(*) FROM {table}") == [(1,)]


def test_sessions_run_in_utc_whatever_the_server_prefers(pool: Callable[..., Database], other: Callable) -> None:
    other("ALTER DATABASE postgres SET timezone = 'Asia/Tokyo'")
    try:
        assert other("SHOW timezone") == [("Asia/Tokyo",)]
        assert pool().fetch("SHOW timezone") == [("UTC",)]
    finally:
        other("ALTER DATABASE postgres RESET timezone")
