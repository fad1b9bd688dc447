"""Calls to other HTTP servers, each over by its deadline, however the time is spent. No redirects, and no proxies."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPSConnection


class Deadline:
    """The end of a call."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds that are left, more than none. Raises TimeoutError."""
        if (left := self._end - time.monotonic()) <= 0:
            raise TimeoutError
        return left

    @property
    def reason(self) -> str | None:
        """What to say when the time is over, None before."""
        return f"it took longer than {self._seconds:g} s" if time.monotonic() >= self._end else None

    @contextlib.contextmanager
    def cuts(self, connection: socket.socket) -> Iterator[None]:
        """Shut the connection down under its user when the time is over: a socket's own timeout bounds only the pause
        between two bytes."""
        with socket.socket(fileno=os.dup(connection.fileno())) as same:  # TLS takes the descriptor away from the first

            def cut() -> None:
                with contextlib.suppress(OSError):  # it is closed already
                    same.shutdown(socket.SHUT_RDWR)

            timer = threading.Timer(self.remaining(), cut)
            timer.daemon = True
            timer.start()
            try:
                yield
            finally:
                timer.cancel()
                timer.join()


@contextlib.contextmanager
def connected(
    host: str, port: int, deadline: Deadline, *, address: str, tls: ssl.SSLContext | None
) -> Iterator[HTTPConnection]:
    """A connection to an address, under its host's name; with `tls` the certificate must be that name's. Raises
    OSError."""
    with (
        socket.create_connection((address, port), timeout=deadline.remaining()) as plain,
        deadline.cuts(plain),
    ):
        connection: HTTPConnection
        if tls is not None:
            connection = HTTPSConnection(host, port, context=tls)
            connection.sock = tls.wrap_socket(plain, server_hostname=host)
        else:
            connection = HTTPConnection(host, port)
            connection.sock = plain
        with contextlib.closing(connection):
            yield connection
