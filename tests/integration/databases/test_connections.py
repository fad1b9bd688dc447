"""The connections to PostgreSQL: bounded in number and in time, replaced when they break, never leaked."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from psycopg2 import errors as pg

from demo.server import free_port
from demo.servers import Postgres
from shared.databases import Database
from shared.errors import ConfigurationError, DatabaseUnavailable, PoolExhausted
from tests.platform import wait_for
from tests.pools import BOUND, backend, held_up, seconds, write

# How many.


def test_the_pool_opens_no_more_connections_than_it_may(pool: Callable[..., Database], other: Callable) -> None:
    database = pool(connections=3, checkout=BOUND)
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ml-service'"
    seen = []
    with ThreadPoolExecutor(12) as threads:
        queries = [threads.submit(database.fetch, "SELECT pg_sleep(0.1)") for _ in range(24)]
        while not all(query.done() for query in queries):
            seen += other(count)
        assert all(query.result() for query in queries)
    assert max(seen) == (3,)
    assert other(count) == [(3,)]  # kept for the next ones


def test_a_connection_is_used_again_and_closed_with_the_pool(pool: Callable[..., Database], other: Callable) -> None:
    database = pool()
    first = backend(database)
    assert backend(database) == first
    database.close()
    wait_for(lambda: other("SELECT 1 FROM pg_stat_activity WHERE pid = %s", first) == [], seconds=BOUND)


def test_nothing_connects_before_the_first_query(pool: Callable[..., Database]) -> None:
    database = pool(url=f"postgresql://nobody:hunter2@127.0.0.1:{free_port()}/nowhere")
    held_up(database)


def test_a_checkout_fails_clearly_when_every_connection_stays_busy(pool: Callable[..., Database]) -> None:
    database = pool(connections=2, checkout=0.3)
    with database.transaction(), database.transaction():
        started = time.monotonic()
        with pytest.raises(PoolExhausted, match=r"all 2 connections stayed busy for 0\.3 s"):
            database.fetch("SELECT 1")
        assert 0.25 < time.monotonic() - started < BOUND
        with pytest.raises(PoolExhausted), database.transaction():
            pass
        with pytest.raises(PoolExhausted):
            database.ping()
    assert database.fetch("SELECT 1") == [(1,)]


def test_a_checkout_waits_for_a_connection_that_comes_back_in_time(pool: Callable[..., Database]) -> None:
    database = pool(connections=1, checkout=BOUND)
    with ThreadPoolExecutor(1) as thread:
        with database.transaction():
            waiting = thread.submit(database.fetch, "SELECT 1")
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.2)
        assert waiting.result(timeout=BOUND) == [(1,)]


# How long.


def test_a_statement_that_takes_too_long_is_cancelled_and_its_connection_goes_on(pool: Callable[..., Database]) -> None:
    database = pool(connections=1, statement=0.3)
    before = backend(database)
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match="longer than its bound"):
        database.fetch("SELECT pg_sleep(60)")
    assert time.monotonic() - started < BOUND
    assert backend(database) == before


def test_a_slow_statement_is_no_reason_to_refuse_the_next(pool: Callable[..., Database]) -> None:
    database = pool(statement=0.2, pause=60)
    with pytest.raises(DatabaseUnavailable):
        database.fetch("SELECT pg_sleep(60)")
    assert database.fetch("SELECT 1") == [(1,)]


def test_a_bulk_query_may_take_longer_and_leaves_the_bound_as_it_was(pool: Callable[..., Database]) -> None:
    database = pool(connections=1, statement=0.4, bulk=BOUND)
    before = database.fetch("SHOW statement_timeout")
    assert database.fetch("SELECT 1 FROM pg_sleep(1.2)", bulk=True) == [(1,)]
    assert database.fetch("SHOW statement_timeout") == before == [("400ms",)]
    with pytest.raises(DatabaseUnavailable):
        database.fetch("SELECT pg_sleep(60)")


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        pytest.param("SELECT pg_sleep(60)", DatabaseUnavailable, id="too-slow"),
        pytest.param("SELECT 1 / 0", pg.DivisionByZero, id="wrong"),
    ],
)
def test_a_bulk_query_that_fails_leaves_the_bound_as_it_was(
    pool: Callable[..., Database], statement: str, error: type[Exception]
) -> None:
    database = pool(connections=1, statement=0.4, bulk=0.6)
    before = backend(database)
    with pytest.raises(error):
        database.fetch(statement, bulk=True)
    assert database.fetch("SHOW statement_timeout") == [("400ms",)]
    assert backend(database) == before


# When connections break.


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_connections_that_a_restart_of_the_server_broke_are_replaced_at_once(
    server: Postgres, pool: Callable[..., Database], how: str
) -> None:
    database = pool(connections=3, checkout=BOUND)
    with database.transaction(), database.transaction(), database.transaction():
        pass  # three connections to break
    getattr(server, how)()
    server.start()
    with ThreadPoolExecutor(3) as threads:
        answers = [threads.submit(database.fetch, "SELECT 1") for _ in range(6)]
        assert [answer.result() for answer in answers] == [[(1,)]] * 6


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda database: database.fetch("SELECT 1"), id="query"),
        pytest.param(lambda database: database.fetch("SELECT 1", bulk=True), id="bulk"),
        pytest.param(lambda database: write(database, "hello"), id="transaction"),
    ],
)
def test_the_end_of_an_idle_connection_is_not_noticed_by_its_next_user(
    pool: Callable[..., Database], note: Callable, use: Callable[[Database], object]
) -> None:
    database = pool(connections=1)
    before = backend(database)
    assert note("SELECT pg_terminate_backend(%s, 10000)", before) == [(True,)]
    use(database)
    assert backend(database) != before


def test_a_ping_does_not_take_the_end_of_an_idle_connection_for_the_end_of_the_server(
    pool: Callable[..., Database], other: Callable
) -> None:
    database = pool(connections=1)
    assert other("SELECT pg_terminate_backend(%s, 10000)", backend(database)) == [(True,)]
    database.ping()


def test_a_connection_that_breaks_inside_a_transaction_fails_it_and_nothing_is_written(
    pool: Callable[..., Database], note: Callable
) -> None:
    database = pool(connections=1)
    with pytest.raises(DatabaseUnavailable), database.transaction() as session:
        [(pid,)] = session.run("SELECT pg_backend_pid()", seconds=1)
        session.run("INSERT INTO note VALUES ('half')", seconds=1)
        note("SELECT pg_terminate_backend(%s, 10000)", pid)
        session.run("INSERT INTO note VALUES ('other half')", seconds=1)
    assert note("SELECT * FROM note") == []
    write(database, "whole")
    assert note("SELECT * FROM note") == [("whole",)]


@pytest.mark.parametrize("bulk", [False, True], ids=["request", "bulk"])
def test_a_server_that_hangs_is_unavailable_within_the_bound_and_used_again_when_it_goes_on(
    server: Postgres, pool: Callable[..., Database], paused: Callable[[], None], bulk: bool
) -> None:
    database = pool(connections=2, statement=0.5, bulk=1.0)
    assert database.fetch("SELECT 1") == [(1,)]
    paused()
    assert seconds(lambda: held_up(database, bulk=bulk)) < BOUND
    server.resume()

    def answers() -> bool:
        with contextlib.suppress(DatabaseUnavailable):
            return database.fetch("SELECT 1", bulk=bulk) == [(1,)]
        return False

    wait_for(answers, seconds=BOUND)


def test_a_new_connection_to_a_server_that_hangs_is_given_up_within_the_bound(
    pool: Callable[..., Database], paused: Callable[[], None]
) -> None:
    database = pool(connect=0.5)
    paused()
    assert seconds(lambda: held_up(database)) < BOUND


def test_a_transaction_on_a_server_that_hangs_ends_within_the_bound(
    server: Postgres, pool: Callable[..., Database], note: Callable, paused: Callable[[], None]
) -> None:
    database = pool(connections=1, statement=0.5)
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable), database.transaction() as session:
        session.run("INSERT INTO note VALUES ('half')", seconds=0.5)
        paused()
        session.run("INSERT INTO note VALUES ('other half')", seconds=0.5)
    assert time.monotonic() - started < BOUND
    with pytest.raises(DatabaseUnavailable, match="a moment ago"):  # the next one need not find out by waiting
        write(database, "too soon")
    server.resume()

    def written() -> bool:
        with contextlib.suppress(DatabaseUnavailable):
            write(database, "whole")
            return True
        return False

    wait_for(written, seconds=BOUND)
    assert note("SELECT * FROM note") == [("whole",)]


class Listener:
    """Accepts connections in PostgreSQL's place, hangs up on each, and counts them."""

    def __init__(self) -> None:
        self.count = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.url = f"postgresql://nobody:hunter2@127.0.0.1:{self._socket.getsockname()[1]}/nowhere"

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # shut down
            while True:
                connection, _ = self._socket.accept()
                self.count += 1
                connection.close()


def test_a_server_that_is_down_is_not_tried_by_every_request(pool: Callable[..., Database]) -> None:
    with Listener() as listener:
        database = pool(url=listener.url, pause=60)
        held_up(database)
        tried = listener.count
        assert 1 <= tried <= 2
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: held_up(database), range(200)))
        assert listener.count == tried


def test_a_server_that_is_down_is_tried_again_after_the_pause_by_one_request(pool: Callable[..., Database]) -> None:
    with Listener() as listener:
        database = pool(url=listener.url, pause=2.0)
        held_up(database)
        tried = listener.count

        def tried_again() -> bool:
            list(threads.map(lambda _: held_up(database), range(8)))
            return listener.count > tried

        with ThreadPoolExecutor(8) as threads:
            wait_for(tried_again, seconds=BOUND)
        assert listener.count <= 2 * tried


def test_an_error_tells_which_database_it_is_and_not_its_password(pool: Callable[..., Database]) -> None:
    database = pool(url=f"postgresql://nobody:hunter2@127.0.0.1:{free_port()}/nowhere")
    with pytest.raises(DatabaseUnavailable) as caught:
        database.fetch("SELECT 1")
    assert caught.value.database == "some_db"
    assert "some_db is unavailable" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("address", ["postgres:/svc:hunter2@db/jobs", "hunter2"])
def test_an_address_that_is_none_is_refused_by_the_name_of_its_setting(
    pool: Callable[..., Database], address: str
) -> None:
    with pytest.raises(ConfigurationError, match="SOME_DB_URL: not an address of PostgreSQL") as refusal:
        pool(url=address)
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize(
    ("part", "value"), [("dbname", "of_nobody"), ("user", "nobody"), ("password", "wrong")], ids=lambda value: value
)
def test_a_server_that_refuses_us_is_unavailable(
    server: Postgres, pool: Callable[..., Database], part: str, value: str
) -> None:
    held_up(pool(url=psycopg2.extensions.make_dsn(server.dsn(), **{part: value})))


def test_a_missing_table_is_the_databases_fault_and_a_wrong_statement_is_ours(pool: Callable[..., Database]) -> None:
    database = pool(pause=0.01)
    with pytest.raises(DatabaseUnavailable, match="no_such_table"):
        database.fetch("SELECT * FROM no_such_table")
    wait_for(lambda: isinstance(error_of(database, "SELEKT 1"), pg.SyntaxError), seconds=BOUND)


def error_of(database: Database, statement: str) -> Exception | None:
    try:
        database.fetch(statement)
    except Exception as error:
        return error
    return None


def test_a_pool_that_was_made_before_a_fork_refuses_to_work_after_it(pool: Callable[..., Database]) -> None:
    database = pool()
    assert database.fetch("SELECT 1") == [(1,)]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        error = error_of(database, "SELECT 1")
        os.write(writer, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as answer:
        os.close(writer)
        assert answer.read() == b"RuntimeError: the pool of some_db was made before a fork; make it afterwards"
    assert database.fetch("SELECT 1") == [(1,)]  # and the parent's connection is none the worse
