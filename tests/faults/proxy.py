"""A TCP proxy in front of a real server, which makes what is between us and it slow, silent, deaf or broken."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from demo.server import free_port

_Result = TypeVar("_Result")

_HOST: Final = "127.0.0.1"
_PIECE: Final = 65_536  # bytes
_TICK: Final = 0.05  # s between the drops of a throttled stream
_BOUND: Final = 5.0  # s; longest wait for the server to accept, and for the proxy to do as it is told


@dataclass(frozen=True)
class _Weather:
    """What happens to the traffic."""

    delay: float = 0.0  # s
    rate: float | None = None  # bytes per second
    lose_requests: bool = False
    lose_answers: bool = False
    pattern: bytes | None = None


class _Link:
    """One client's connection and the server's behind it."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.from_client, self.to_client = client
        self.from_server, self.to_server = server
        self.lost = set[asyncio.StreamWriter]()  # a stream with a hole in it never goes on

    def reset(self) -> None:
        """RST both ends."""
        for writer in (self.to_client, self.to_server):
            _end_with_reset(writer.get_extra_info("socket"))
            writer.transport.abort()

    async def close(self) -> None:
        """FIN to both ends; what is on its way may still arrive within the bound."""
        ends = (self.to_client, self.to_server)
        for writer in ends:
            writer.close()
        try:
            async with asyncio.timeout(_BOUND):
                await asyncio.gather(*(writer.wait_closed() for writer in ends), return_exceptions=True)
        except TimeoutError:
            self.reset()


class Proxy:
    """Forwards connections to a port of this machine until it is told otherwise. Safe to tell from any thread.

    What it is told holds for open connections and new ones, and adds up, until `restore`.
    """

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target = target_port
        self._weather = _Weather()
        self._changed = asyncio.Event()  # set when the weather does, and replaced
        self._seen = threading.Event()
        self._listener: asyncio.Task[None] | None = None
        self._serving = set[asyncio.Task[None]]()
        self._links = set[_Link]()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()
        self._tell(self._listen())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._links)

    def delay(self, seconds: float) -> None:
        """Each piece of an answer comes so much later."""
        self._change(delay=seconds)

    def throttle(self, bytes_per_second: float) -> None:
        """Answers come at this pace, in drops."""
        self._change(rate=bytes_per_second)

    def swallow(self, *, requests: bool = True, answers: bool = True) -> None:
        """Half-open: connections are accepted and read from, and what comes goes nowhere.

        A connection that lost something stays silent after `restore`, too, until its client closes it.
        """
        self._change(lose_requests=requests, lose_answers=answers)

    def forget(self) -> None:
        """As a firewall does overnight: what is open stays silent for good, and new connections are well."""
        self._tell(self._forget_all())

    def hold(self, pattern: bytes) -> threading.Event:
        """Keep a client's requests back from the first piece with `pattern` on; the event says that it was seen.

        `restore` lets them go on; those of a client that went away meanwhile never arrive.
        """
        self._seen = threading.Event()
        self._change(pattern=pattern)
        return self._seen

    def reset(self) -> None:
        """RST every open connection, to the client and to the server."""
        self._tell(self._reset_all())

    def refuse(self) -> None:
        """Refuse new connections; the open ones go on."""
        self._tell(self._stop_listening())

    def cut(self) -> None:
        """As a server that died: every connection is reset, and new ones are refused."""
        self.refuse()
        self.reset()

    def restore(self) -> None:
        """Forward everything again."""
        self._tell(self._set_weather(_Weather()))
        self._tell(self._listen())

    def close(self) -> None:
        """End every connection and the proxy's thread."""
        if self._loop.is_closed():
            return
        self._tell(self._set_weather(_Weather()))
        self._tell(self._stop_listening())
        self._tell(self._reset_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_BOUND)
        self._loop.close()

    def _change(self, **changes: Any) -> None:
        self._tell(self._set_weather(_Weather(**(vars(self._weather) | changes))))

    def _tell(self, order: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(order, self._loop).result(_BOUND)

    # Below, everything runs in the proxy's thread.

    async def _set_weather(self, weather: _Weather) -> None:
        self._weather = weather
        self._changed.set()
        self._changed = asyncio.Event()

    async def _listen(self) -> None:
        if self._listener is None:
            server = socket.create_server((_HOST, self.port))
            server.setblocking(False)
            self._listener = asyncio.ensure_future(self._accept(server))

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])
            self._listener = None

    async def _forget_all(self) -> None:
        for link in self._links:
            link.lost |= {link.to_client, link.to_server}

    async def _reset_all(self) -> None:
        for serving in self._serving:
            serving.cancel()
        if self._serving:
            await asyncio.wait(self._serving)
        await asyncio.sleep(0)  # transports close their sockets one turn later

    async def _accept(self, server: socket.socket) -> None:
        with server:
            while True:
                client, _ = await self._loop.sock_accept(server)
                serving = asyncio.ensure_future(self._serve(client))
                self._serving.add(serving)
                serving.add_done_callback(self._serving.discard)
                serving.add_done_callback(lambda _, client=client: client.close())

    async def _serve(self, client: socket.socket) -> None:
        """Forward both ways until one end is gone; cancelled, reset both."""
        server = None
        try:
            async with asyncio.timeout(_BOUND):
                server = await asyncio.open_connection(_HOST, self._target)
            link = _Link(await asyncio.open_connection(sock=client), server)
        except (OSError, asyncio.CancelledError):  # a time-out is an OSError, too
            _end_with_reset(client)
            if server is not None:
                server[1].transport.abort()
            return
        self._links.add(link)
        ways = [asyncio.ensure_future(way(link)) for way in (self._requests, self._answers)]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            await link.close()
        except asyncio.CancelledError:
            link.reset()
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        self._links.remove(link)

    async def _requests(self, link: _Link) -> None:
        before = b""  # a pattern may come in two pieces
        while data := await link.from_client.read(_PIECE):
            pattern = self._weather.pattern
            if pattern and pattern in before + data:
                self._seen.set()
                data += await self._more_until_released(link.from_client, pattern)
            before = data[-len(pattern) + 1 :] if pattern else b""
            if self._weather.lose_requests:
                link.lost.add(link.to_server)
            if link.to_server not in link.lost:
                await _send(link.to_server, data)

    async def _answers(self, link: _Link) -> None:
        while data := await link.from_server.read(_PIECE):
            await self._wait(self._weather.delay)
            while data:
                if self._weather.lose_answers:
                    link.lost.add(link.to_client)
                rate = self._weather.rate
                drop = max(1, round(rate * _TICK)) if rate else len(data)
                if link.to_client not in link.lost:
                    await _send(link.to_client, data[:drop])
                data = data[drop:]
                await self._wait(drop / rate if rate else 0)

    async def _more_until_released(self, reader: asyncio.StreamReader, pattern: bytes) -> bytes:
        """What else comes while the pattern is held. Raises ConnectionError when the client goes away meanwhile."""
        more = b""
        while self._weather.pattern == pattern:
            reading, released = asyncio.ensure_future(reader.read(_PIECE)), asyncio.ensure_future(self._changed.wait())
            await asyncio.wait([reading, released], return_when=asyncio.FIRST_COMPLETED)
            released.cancel()
            if not reading.done():
                reading.cancel()
                await asyncio.wait([reading])  # two may not read at once
            elif not (piece := reading.result()):
                raise ConnectionError("gone while held")
            else:
                more += piece
        return more

    async def _wait(self, seconds: float) -> None:
        """Not longer than the weather lasts."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def _end_with_reset(connection: Any) -> None:
    """Let the socket's end be an RST instead of a FIN: it lingers, for 0 s."""
    with contextlib.suppress(OSError):  # it has ended already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", True, 0))
