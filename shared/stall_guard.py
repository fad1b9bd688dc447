"""Ends a blocking read that brings nothing for too long."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import Protocol


class Sink(Protocol):
    """What a stream is written to."""

    def write(self, data: bytes, /) -> object:
        """Take the next piece."""


class StallGuard:
    """While it is entered, a pause longer than `seconds` between two writes shuts the socket down under the reader."""

    def __init__(self, descriptor: int, seconds: float) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._seconds = seconds
        self._last = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="copy-stall-guard", daemon=True)

    def __enter__(self) -> StallGuard:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._socket.close()

    def watched(self, sink: Sink) -> Sink:
        """`sink`, with each write counted as a sign of life."""
        guard = self

        class Watched:
            def write(self, data: bytes, /) -> object:
                guard._last = time.monotonic()
                return sink.write(data)

        return Watched()

    def _watch(self) -> None:
        while not self._done.wait(min(1.0, self._seconds / 4)):
            if time.monotonic() - self._last > self._seconds:
                self._socket.shutdown(socket.SHUT_RDWR)
                return
