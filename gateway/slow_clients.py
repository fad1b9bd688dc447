"""gunicorn's connections, none of which holds a thread for longer than a client that means well would."""

from __future__ import annotations

import errno
import socket
import time
from typing import Any, Final

from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers import gthread

_SLOWEST: Final = 1000  # bytes/s that a request has to come at, on the whole


class PatientReader(SocketUnreader):  # type: ignore[misc]
    """What a client sends, as long as it comes without long pauses, and at some pace."""

    def __init__(self, client: socket.socket, seconds: float) -> None:
        """seconds: the longest pause, and how far the whole may be behind `_SLOWEST`."""
        super().__init__(client)
        self._seconds = seconds
        self._due = 0.0

    def begin(self) -> None:
        """A request may begin now. What is sent in answer has to be taken without long pauses, too."""
        self._due = time.monotonic() + self._seconds
        self.sock.settimeout(self._seconds)

    def chunk(self, size_hint: int | None = None) -> bytes:
        """The next piece; empty at the end.

        Raises ConnectionResetError, which gunicorn passes over without a word, when the client is too slow.
        """
        self.sock.settimeout(max(0.001, min(self._seconds, self._due - time.monotonic())))  # 0 would not be a timeout
        try:
            piece: bytes = super().chunk(size_hint)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the client is too slow") from None
        finally:
            self.sock.settimeout(self._seconds)
        self._due += len(piece) / _SLOWEST
        return piece


class PatientConnection(gthread.TConn):  # type: ignore[misc]
    """A client's connection."""

    def __init__(self, seconds: float, *rest: Any) -> None:
        super().__init__(*rest)
        self._seconds = seconds
        self._reader: PatientReader | None = None

    def wait_for_data(self, _timeout: float) -> bool:
        """Whether there is something to read. A thread does not wait for that: gunicorn's selector can do so, for any
        number of connections."""
        return bool(super().wait_for_data(0))

    def init(self) -> None:
        """gunicorn calls this before it reads a request."""
        super().init()
        if self._reader is None:
            self._reader = self.parser.unreader = PatientReader(self.sock, self._seconds)
        self._reader.begin()
