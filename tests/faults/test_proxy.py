"""The proxy does what the fault tests think it does."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.faults.proxy import Proxy
from tests.platform import wait_for

BOUND = 10.0  # s, for a slow machine
QUICK = 0.15  # s; far above what this machine needs to forward a few bytes


class Echo:
    """A server that says back what it hears, and remembers it."""

    def __init__(self) -> None:
        self.heard = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # closed already
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._echo, args=[connection], daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65_536):
                self.heard += data
                connection.sendall(data)


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.port) as proxy:
        yield proxy


@pytest.fixture
def connect(proxy: Proxy) -> Iterator[Callable[[], socket.socket]]:
    with contextlib.ExitStack() as clients:
        yield lambda: clients.enter_context(socket.create_connection(("127.0.0.1", proxy.port), timeout=BOUND))


def says(client: socket.socket, text: bytes) -> bytes:
    """What comes back for a text, all of it."""
    client.sendall(text)
    return heard(client, len(text))


def heard(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (piece := client.recv(65_536)):
        data += piece
    return data


def silent(client: socket.socket) -> bool:
    client.settimeout(QUICK)
    try:
        return client.recv(1) is None
    except TimeoutError:
        return True
    finally:
        client.settimeout(BOUND)


def test_everything_is_forwarded_both_ways(connect: Callable[[], socket.socket]) -> None:
    text = bytes(range(256)) * 20_000
    first, second = connect(), connect()
    first.sendall(b"left")
    assert says(second, b"right") == b"right"
    assert heard(first, 4) == b"left"
    sender = threading.Thread(target=first.sendall, args=[text])
    sender.start()
    assert heard(first, len(text)) == text
    sender.join()


def test_the_end_of_one_side_is_the_end_of_the_other(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    client = connect()
    assert says(client, b"hello") == b"hello"
    client.close()
    wait_for(lambda: proxy.connections == 0, seconds=BOUND)


def test_a_delay_holds_each_answer_up_until_it_is_over(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    client = connect()
    proxy.delay(0.3)
    started = time.monotonic()
    assert says(client, b"hello") == b"hello"
    assert time.monotonic() - started >= 0.3
    proxy.delay(60)
    client.sendall(b"again")
    assert silent(client)
    proxy.restore()
    assert heard(client, 5) == b"again"


def test_a_throttled_answer_comes_in_drops(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    client = connect()
    proxy.throttle(1000)
    started = time.monotonic()
    client.sendall(b"x" * 500)
    first = client.recv(65_536)
    assert len(first) < 100
    assert first + heard(client, 500 - len(first)) == b"x" * 500
    assert time.monotonic() - started > 0.4


@pytest.mark.parametrize(
    ("ways", "arrives"),
    [({}, False), ({"answers": False}, False), ({"requests": False}, True)],
    ids=["both-ways", "requests", "answers"],
)
def test_what_is_swallowed_never_comes_back(
    echo: Echo, proxy: Proxy, connect: Callable[[], socket.socket], ways: dict[str, bool], arrives: bool
) -> None:
    old = connect()
    assert says(old, b"before") == b"before"
    proxy.swallow(**ways)
    new = connect()
    for client in (old, new):
        client.sendall(b"lost")
        assert silent(client)
    assert (b"lost" in echo.heard) == arrives
    proxy.restore()
    for client in (old, new):
        client.sendall(b"more")
        assert silent(client)
    assert says(connect(), b"after") == b"after"


def test_what_is_forgotten_stays_silent_and_new_connections_are_well(
    proxy: Proxy, connect: Callable[[], socket.socket]
) -> None:
    old = connect()
    assert says(old, b"before") == b"before"
    proxy.forget()
    old.sendall(b"lost")
    assert silent(old)
    assert says(connect(), b"after") == b"after"


def test_a_reset_breaks_every_open_connection_and_no_other(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    clients = [connect(), connect()]
    for client in clients:
        assert says(client, b"hello") == b"hello"
    proxy.reset()
    assert proxy.connections == 0
    for client in clients:
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert says(connect(), b"hello") == b"hello"


def test_refused_are_new_connections_only(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    client = connect()
    assert says(client, b"hello") == b"hello"
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect()
    assert says(client, b"hello") == b"hello"
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    proxy.restore()
    assert says(connect(), b"hello") == b"hello"


def test_a_pattern_is_held_with_all_that_follows_and_told(
    echo: Echo, proxy: Proxy, connect: Callable[[], socket.socket]
) -> None:
    held, free = connect(), connect()
    seen = proxy.hold(b"COMMIT")
    assert says(held, b"BEGIN; COM") == b"BEGIN; COM"
    assert not seen.is_set()
    held.sendall(b"MIT")
    assert seen.wait(BOUND)
    held.sendall(b"; more")
    assert silent(held)
    assert says(free, b"free") == b"free"
    proxy.restore()
    assert heard(held, 9) == b"MIT; more"


def test_what_is_held_of_a_client_that_goes_away_never_arrives(
    echo: Echo, proxy: Proxy, connect: Callable[[], socket.socket]
) -> None:
    client = connect()
    seen = proxy.hold(b"COMMIT")
    client.sendall(b"COMMIT")
    assert seen.wait(BOUND)
    client.close()
    wait_for(lambda: proxy.connections == 0, seconds=BOUND)
    proxy.restore()
    assert says(connect(), b"next") == b"next"
    assert b"COMMIT" not in echo.heard


def test_a_client_of_a_server_that_is_gone_is_reset(
    echo: Echo, proxy: Proxy, connect: Callable[[], socket.socket]
) -> None:
    echo.close()
    with pytest.raises(ConnectionResetError):
        connect().recv(1)


@pytest.mark.parametrize("state", ["idle", "delayed", "held"])
def test_closing_ends_every_connection_and_thread(echo: Echo, state: str) -> None:
    before = threading.active_count()
    proxy = Proxy(echo.port)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=BOUND) as client:
        assert says(client, b"hello") == b"hello"
        if state == "delayed":
            proxy.delay(60)
        if state == "held":
            proxy.hold(b"x")
        client.sendall(b"x")
        proxy.close()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) in (b"", b"x")
    proxy.close()
    wait_for(lambda: threading.active_count() <= before, seconds=BOUND)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=BOUND)


def test_resets_while_clients_come_and_go_are_never_late(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", proxy.port)) as client:
                says(client, b"hello")

    clients = [threading.Thread(target=come_and_go) for _ in range(4)]
    for client in clients:
        client.start()
    for _ in range(30):
        proxy.reset()
    over.set()
    for client in clients:
        client.join()
    assert says(connect(), b"hello") == b"hello"
