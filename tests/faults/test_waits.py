"""What the service waits for ends in time, also where the libraries below would wait on; and is found again."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
import redis
from psycopg2.extensions import make_dsn

from demo.process import PROJECT
from demo.server import free_port
from demo.servers import Postgres, Valkey
from shared import databases, titles
from shared.availability import Availability
from shared.databases import Bounds as PoolBounds
from shared.databases import Database
from shared.errors import CacheUnavailable, DatabaseUnavailable, SlowStatement
from shared.redis_store import RedisStore
from tests.faults.promises import Bounds
from tests.faults.proxy import Proxy
from tests.platform import Platform, wait_for

BOUND = 10.0  # s, for a slow machine
BUSY = 0.7  # s on top of a bound, on a machine with two cores for all this
BOUNDS = PoolBounds(connections=3, checkout=0.5, connect=0.5, statement=0.5, bulk=2.0, pause=0.1)


@pytest.fixture
def to_postgres(postgres: Postgres) -> Iterator[Proxy]:
    with Proxy(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def pool(postgres: Postgres, to_postgres: Proxy) -> Iterator[Callable[..., Database]]:
    """Makes pools behind the proxy, which are closed after the test."""
    with contextlib.ExitStack() as closing:

        def make(url: str | None = None, **bounds: float) -> Database:
            url = url or make_dsn(postgres.dsn(), port=to_postgres.port)
            database = Database("some_db", url, replace(BOUNDS, **bounds), read_only=False)
            closing.callback(database.close)
            return database

        yield make


def fill(database: Database) -> None:
    """Open every connection that the pool may have."""
    with database.transaction(), database.transaction(), database.transaction():
        pass


def known_to_be_down(database: Database, proxy: Proxy) -> None:
    """The way to it was cut, which the pool noticed, and is restored."""
    proxy.cut()
    with pytest.raises(DatabaseUnavailable):
        database.fetch("SELECT 1")
    proxy.restore()


# PostgreSQL.


def test_of_many_connections_that_died_in_silence_one_is_asked(
    to_postgres: Proxy, pool: Callable[..., Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a firewall has forgotten them overnight: a request waits for the first, and then for a new one."""
    database = pool()
    fill(database)
    to_postgres.forget()
    monkeypatch.setattr(databases, "_IDLE_CHECK_SECONDS", 0.0)
    started = time.monotonic()
    assert database.fetch("SELECT 1") == [(1,)]
    assert time.monotonic() - started < BOUNDS.connect + databases.GRACE_SECONDS + BUSY


def test_a_query_whose_connection_breaks_late_is_not_begun_again(
    to_postgres: Proxy, pool: Callable[..., Database]
) -> None:
    """Who asked has waited long enough."""
    database = pool(connect=0.3, statement=BOUND)
    breaking = threading.Timer(0.6, to_postgres.reset)
    breaking.start()
    with pytest.raises(DatabaseUnavailable):
        database.fetch("SELECT pg_sleep(1)")
    breaking.join()


def test_a_host_that_refuses_is_passed_over_for_the_next_in_the_address(
    postgres: Postgres, to_postgres: Proxy, pool: Callable[..., Database]
) -> None:
    url = make_dsn(postgres.dsn(), host="127.0.0.1,127.0.0.1", port=f"{free_port()},{to_postgres.port}")
    assert pool(url).fetch("SELECT 1") == [(1,)]


def test_a_slow_statement_shows_that_the_database_is_there(to_postgres: Proxy, pool: Callable[..., Database]) -> None:
    database = pool(pause=0.3)
    known_to_be_down(database, to_postgres)
    with pytest.raises(SlowStatement):
        wait_for(lambda: answers(database, "SELECT pg_sleep(60)"), seconds=BOUND)
    assert database.fetch("SELECT 1") == [(1,)]  # it need not wait for the pause


def test_a_transaction_that_fails_for_its_own_reasons_shows_that_the_database_is_there(
    to_postgres: Proxy, pool: Callable[..., Database]
) -> None:
    database = pool(pause=0.3)
    known_to_be_down(database, to_postgres)

    def refused() -> bool:
        with contextlib.suppress(DatabaseUnavailable), database.transaction():
            raise LookupError
        return False

    with pytest.raises(LookupError):
        wait_for(refused, seconds=BOUND)
    assert database.fetch("SELECT 1") == [(1,)]


def test_while_one_finds_out_whether_a_database_is_back_no_other_does() -> None:
    thing = Availability("it", pause_seconds=0.05, attempt_seconds=60)
    thing.failed("no answer")
    time.sleep(0.1)  # the pause
    assert thing.worth_trying()
    with ThreadPoolExecutor(1) as another:  # it began before, or asks whatever is known
        another.submit(thing.failed, "no answer either").result()
    time.sleep(0.1)
    assert not thing.worth_trying()
    thing.failed("still no answer")
    time.sleep(0.1)
    assert thing.worth_trying()


def test_a_database_that_became_a_standby_takes_no_writes_and_is_well_when_it_is_promoted(tmp_path: Path) -> None:
    """As in a failover: our own database is there, and read-only for a while. Nobody gets a 500."""
    with Postgres(tmp_path / "postgres", durable=False) as server:
        database = Database("jobs_db", server.dsn(), BOUNDS, read_only=False)
        write(database, "CREATE TABLE note (text text)")
        server.stop()
        (tmp_path / "postgres" / "data" / "standby.signal").touch()
        server.start()
        for _ in range(BOUNDS.connections + 1):
            with pytest.raises(DatabaseUnavailable, match="standby"):
                write(database, "INSERT INTO note VALUES ('lost')")
        assert database.fetch("SELECT * FROM note") == []
        with contextlib.closing(psycopg2.connect(server.dsn())) as operator, operator.cursor() as cursor:
            cursor.execute("SELECT pg_promote()")
        write(database, "INSERT INTO note VALUES ('kept')")
        assert database.fetch("SELECT * FROM note") == [("kept",)]
        database.close()


def write(database: Database, sql: str) -> None:
    with database.transaction() as session:
        session.run(sql, seconds=BOUNDS.statement)


def answers(database: Database, sql: str) -> bool:
    """False while it is passed over."""
    try:
        return bool(database.fetch(sql))
    except SlowStatement:
        raise
    except DatabaseUnavailable:
        return False


# Redis.


@pytest.fixture
def to_valkey(valkey: Valkey) -> Iterator[Proxy]:
    with Proxy(valkey.port) as proxy:
        yield proxy


@pytest.fixture
def store(to_valkey: Proxy) -> Iterator[RedisStore]:
    url = f"redis://127.0.0.1:{to_valkey.port}/9"
    store = RedisStore(url, timeout_seconds=0.3, pause_seconds=0.1, connections=2)
    yield store
    store.close()


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(lambda proxy: proxy.throttle(1000), id="comes-in-drops"),
        pytest.param(lambda proxy: proxy.swallow(), id="never-comes"),
        pytest.param(lambda proxy: proxy.forget(), id="never-comes-on-the-connections-there-are"),
        pytest.param(lambda proxy: proxy.delay(BOUND), id="comes-late"),
    ],
)
def test_an_answer_of_redis_ends_in_its_time_however_it_comes(
    to_valkey: Proxy, store: RedisStore, trouble: Callable[[Proxy], None]
) -> None:
    values = {b"%d" % number: bytes(10_000) for number in range(3)}
    store.set_many(values, seconds=60)
    trouble(to_valkey)
    started = time.monotonic()
    with pytest.raises(CacheUnavailable):
        store.get_many(list(values))
    assert time.monotonic() - started < 0.3 + BUSY
    to_valkey.restore()

    def well() -> bool:
        with contextlib.suppress(CacheUnavailable):
            return store.get_many(list(values)) == list(values.values())
        return False

    wait_for(well, seconds=BOUND)


def test_when_redis_has_lost_its_memory_titles_are_remembered_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(titles, "_REWRITE_SECONDS", 0.1)
    platform.title("Heat", "Crime")
    gateway, user = platform.gateway(), uuid4()
    page = gateway.page(user)
    with redis.Redis.from_url(platform.redis_url) as client:
        client.flushdb()
        wait_for(lambda: bool(gateway.page(user)) and bool(client.keys("title:*")), seconds=BOUND)
    with platform.down("catalog_db"):
        assert gateway.page(user, fresh=False) == page | {"cached": True, "degraded": True}


# What is said about it.


def test_the_times_that_operations_are_told_are_those_of_the_default_settings(platform: Platform) -> None:
    settings = platform.settings(retry_pause_seconds=2.0)  # the only time here that the tests change
    bounds = Bounds(settings)
    text = (PROJECT / "docs" / "OPERATIONS.md").read_text()
    for bound, what in (
        (bounds.silence, "a database that says nothing"),
        (bounds.query, "any one query"),
        (bounds.redis, "Redis"),
        (settings.publish_seconds, "the broker to take a job's messages"),
        (bounds.query + settings.retry_pause_seconds, "a database"),
        (bounds.redis + settings.retry_pause_seconds, "Redis, the cache"),
    ):
        assert f"| {what} | {bound:g} s |" in text
