"""A statement that the server is at while its caller does something else."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from psycopg2 import errors as pg

from demo.server import free_port
from shared.databases import Database
from shared.errors import DatabaseUnavailable
from tests.platform import wait_for
from tests.pools import BOUND, backend

Other = Callable[..., list[tuple[object, ...]]]


def asleep(other: Other) -> list[int]:
    """The server's processes that are at a `pg_sleep`."""
    return [pid for (pid,) in other("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'")]


@pytest.mark.parametrize("bulk", [False, True], ids=["of-a-request", "of-a-chunk"])
def test_the_server_works_while_the_block_does_and_two_work_at_once(
    pool: Callable[..., Database], other: Other, bulk: bool
) -> None:
    one, two = pool(statement=BOUND, bulk=BOUND), pool(statement=BOUND, bulk=BOUND)
    with one.asked("SELECT 1 FROM pg_sleep(1)", bulk=bulk) as first, two.asked("SELECT 2 FROM pg_sleep(1)") as second:
        wait_for(lambda: len(asleep(other)) == 2)
        assert (first(), second()) == ([(1,)], [(2,)])


def test_rows_that_nobody_waits_for_are_not_taken_for_anothers(pool: Callable[..., Database]) -> None:
    database = pool(connections=1)
    before = backend(database)
    with database.asked("SELECT 'left alone' FROM pg_sleep(0.1)"):
        pass
    assert database.fetch("SELECT 'mine'") == [("mine",)]  # the only slot is free again
    assert backend(database) != before


def test_a_block_that_fails_gives_its_connection_back(pool: Callable[..., Database]) -> None:
    database = pool(connections=1)
    with pytest.raises(ZeroDivisionError), database.asked("SELECT 1") as rows:
        raise ZeroDivisionError(rows())
    assert database.fetch("SELECT 2") == [(2,)]


def test_a_connection_that_breaks_meanwhile_is_replaced_and_the_statement_asked_again(
    pool: Callable[..., Database], other: Other
) -> None:
    database = pool(connections=1, statement=BOUND)
    before = backend(database)
    with database.asked("SELECT pg_backend_pid() FROM pg_sleep(0.5)") as rows:
        wait_for(lambda: asleep(other) == [before])
        other("SELECT pg_terminate_backend(%s)", before)
        [(after,)] = rows()
    assert after != before
    assert backend(database) == after


@pytest.mark.parametrize("known", [False, True], ids=["nobody-knew", "known"])
def test_a_server_that_is_down_is_told_of_where_the_rows_are_waited_for(
    pool: Callable[..., Database], known: bool
) -> None:
    database, done = pool(url=f"postgresql://nobody@127.0.0.1:{free_port()}/nowhere", pause=60), []
    if known:
        with pytest.raises(DatabaseUnavailable):
            database.fetch("SELECT 1")
    with database.asked("SELECT 1") as rows:
        done.append("the block")
        with pytest.raises(DatabaseUnavailable, match="a moment ago" if known else "some_db"):
            rows()
    assert done == ["the block"]


def test_a_statement_that_takes_too_long_or_is_wrong_says_so_there_and_its_connection_goes_on(
    pool: Callable[..., Database],
) -> None:
    database = pool(connections=1, statement=0.3)
    before = backend(database)
    for statement, error in (("SELECT pg_sleep(60)", DatabaseUnavailable), ("SELECT 1 / 0", pg.DivisionByZero)):
        with database.asked(statement) as rows, pytest.raises(error):
            rows()
    assert backend(database) == before


def test_who_comes_late_finds_the_rows_that_are_there_and_hardly_waits_for_those_that_are_not(
    pool: Callable[..., Database], paused: Callable[[], None]
) -> None:
    prompt, silent = pool(statement=2.0), pool(statement=2.0)
    with prompt.asked("SELECT 'there'") as rows, silent.asked("SELECT 1 FROM pg_sleep(1)") as no_rows:
        time.sleep(0.5)
        paused()
        time.sleep(2.0)  # beyond the bound
        assert rows() == [("there",)]
        late = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="no answer within 2 s"):
            no_rows()
        assert time.monotonic() - late < 2.0
