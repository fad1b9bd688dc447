"""COPY: rows in a stream, for as long as it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from psycopg2 import errors as pg

from demo.server import free_port
from demo.servers import Postgres
from shared.databases import Database
from shared.errors import DatabaseUnavailable
from tests.platform import wait_for
from tests.pools import BOUND


class Pieces:
    """Keeps what is written to it, piece by piece; `action` runs once, at the first piece."""

    def __init__(self, action: Callable[[], object] = lambda: None) -> None:
        self.pieces: list[bytes] = []
        self._action = action

    def write(self, data: bytes, /) -> None:
        self.pieces.append(bytes(data))
        if len(self.pieces) == 1:
            self._action()


def test_a_copy_streams_its_rows_in_pieces(pool: Callable[..., Database]) -> None:
    sink = Pieces()
    pool().copy("COPY (SELECT generate_series(1, 200000)) TO STDOUT", sink)
    assert len(sink.pieces) > 1
    assert b"".join(sink.pieces).split() == [b"%d" % number for number in range(1, 200_001)]


def test_a_copy_may_take_longer_than_any_bound_as_long_as_it_goes_on(pool: Callable[..., Database]) -> None:
    sink = Pieces()
    pool(statement=0.2, bulk=1.5).copy(
        "COPY (SELECT repeat('x', 10000) FROM generate_series(1, 8), pg_sleep(0.4 + 0 * generate_series)) TO STDOUT",
        sink,
    )
    assert len(b"".join(sink.pieces)) == 8 * 10_001


def test_a_copy_from_a_server_that_hangs_ends_after_the_bulk_bound(
    server: Postgres, pool: Callable[..., Database], paused: Callable[[], None]
) -> None:
    database = pool(bulk=1.0)
    sink = Pieces(action=paused)
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        database.copy("COPY (SELECT generate_series(1, 100000000)) TO STDOUT", sink)
    assert time.monotonic() - started < BOUND
    assert sink.pieces
    server.resume()
    database.copy("COPY (SELECT 1) TO STDOUT", whole := Pieces())
    assert whole.pieces == [b"1\n"]


def test_a_copy_that_brings_nothing_ends_after_the_bulk_bound(pool: Callable[..., Database]) -> None:
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        pool(bulk=0.5).copy("COPY (SELECT pg_sleep(60)) TO STDOUT", Pieces())
    assert time.monotonic() - started < BOUND


@pytest.mark.parametrize("state", ["hangs", "is-down"])
def test_a_copy_from_a_server_that_was_never_reached_ends_within_the_bound(
    server: Postgres, pool: Callable[..., Database], paused: Callable[[], None], state: str
) -> None:
    database = pool(url=None if state == "hangs" else f"postgresql://127.0.0.1:{free_port()}/nowhere")
    if state == "hangs":
        paused()
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        database.copy("COPY (SELECT 1) TO STDOUT", Pieces())
    assert time.monotonic() - started < BOUND


def test_a_copy_whose_reader_fails_leaves_no_connection_behind(pool: Callable[..., Database], other: Callable) -> None:
    def fail() -> None:
        raise OSError("disk full")

    training = "SELECT pid FROM pg_stat_activity WHERE application_name = 'ml-service training'"
    before = set(other(training))  # of the tests above, until their queries notice that nobody listens
    with pytest.raises(OSError, match="disk full"):
        pool().copy("COPY (SELECT generate_series(1, 100000000)) TO STDOUT", Pieces(action=fail))
    wait_for(lambda: set(other(training)) <= before, seconds=BOUND)


def test_a_copy_can_not_write(pool: Callable[..., Database], note: Callable) -> None:
    with pytest.raises(pg.ReadOnlySqlTransaction):
        pool(read_only=True).copy("COPY (INSERT INTO note VALUES ('x') RETURNING text) TO STDOUT", Pieces())
    assert note("SELECT * FROM note") == []
