"""What is written to Redis in the background: it is read at once, it arrives, and nobody ever waits for it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis

from demo.servers import Valkey
from shared.redis_store import RedisStore
from shared.write_behind import WriteBehind
from tests.platform import wait_for


@pytest.fixture(scope="module")
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server that may be paused and stopped."""
    with Valkey(tmp_path_factory.mktemp("own") / "valkey", appendonly=False) as valkey:
        yield valkey


@pytest.fixture
def exchange_seconds() -> float:
    """As long as one exchange with Redis may take."""
    return 0.3


@pytest.fixture
def writes(own_valkey: Valkey, exchange_seconds: float) -> Iterator[WriteBehind]:
    store = RedisStore(own_valkey.url(), timeout_seconds=exchange_seconds, pause_seconds=0.1, connections=2)
    writes = WriteBehind(store)
    yield writes
    writes.close()
    store.close()


@pytest.fixture
def client(own_valkey: Valkey) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(own_valkey.url()) as client:
        client.flushdb()
        yield client


def numbered(count: int, start: int = 0) -> dict[bytes, bytes]:
    return {b"%d" % number: b"value" for number in range(start, start + count)}


def test_values_arrive_and_have_a_life(writes: WriteBehind, client: redis.Redis) -> None:
    writes.put(numbered(450), seconds=100)
    wait_for(lambda: client.dbsize() == 450)
    assert client.get("449") == b"value"
    assert 0 < client.ttl("0") <= 100


def test_each_value_has_the_life_it_was_given(writes: WriteBehind, client: redis.Redis) -> None:
    writes.put({b"short": b"value"}, seconds=10)
    writes.put({b"long": b"value"}, seconds=100)
    wait_for(lambda: client.dbsize() == 2)
    assert 0 < client.ttl("short") <= 10
    assert 50 < client.ttl("long") <= 100


def test_a_value_is_read_while_it_waits_and_when_it_is_written(writes: WriteBehind, client: redis.Redis) -> None:
    client.set("there", "before")
    writes.put({b"key": b"value"}, seconds=100)
    assert client.get("key") is None
    assert writes.get_many([b"key", b"there", b"nowhere"]) == [b"value", b"before", None]
    wait_for(lambda: client.get("key") == b"value")
    assert writes.get_many([b"there", b"key"]) == [b"before", b"value"]
    client.set("key", "changed")
    wait_for(lambda: writes.get_many([b"key"]) == [b"changed"])


def test_of_two_values_for_a_key_the_latter_arrives(writes: WriteBehind, client: redis.Redis) -> None:
    writes.put({b"key": b"old"}, seconds=100)
    writes.put({b"key": b"new"}, seconds=100)
    wait_for(lambda: client.get("key") == b"new")


def test_when_it_is_closed_what_waits_is_written_first(writes: WriteBehind, client: redis.Redis) -> None:
    writes.put(numbered(1000), seconds=100)
    writes.close()
    assert client.dbsize() == 1000
    writes.put({b"later": b"value"}, seconds=100)
    assert client.get("later") is None


@pytest.mark.parametrize("exchange_seconds", [10.0])  # far above any hiccup of the machine
def test_while_redis_hangs_putting_does_not_wait_and_what_is_too_much_is_dropped(
    writes: WriteBehind, client: redis.Redis, own_valkey: Valkey, exchange_seconds: float
) -> None:
    own_valkey.pause()
    try:
        started = time.monotonic()
        for block in range(200):
            writes.put(numbered(100, start=100 * block), seconds=100)
        assert time.monotonic() - started < exchange_seconds
    finally:
        own_valkey.resume()
    assert client.dbsize() <= 5200  # what may wait, and what was being written


def test_what_redis_does_not_take_is_dropped_and_the_next_values_arrive(
    writes: WriteBehind, client: redis.Redis
) -> None:
    client.config_set("maxmemory", 1)
    try:
        refused = client.info("stats")["total_error_replies"]
        writes.put({b"lost": b"value"}, seconds=100)
        wait_for(lambda: client.info("stats")["total_error_replies"] > refused)
    finally:
        client.config_set("maxmemory", 0)

    def arrives() -> bool:
        writes.put({b"next": b"value"}, seconds=100)
        return client.get("next") == b"value"

    wait_for(arrives)
    assert client.get("lost") is None
