"""HTTP by hand, for requests that no client would send."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

HANGING = 20.0  # s without an answer


@dataclass(frozen=True)
class RawAnswer:
    """All that came back before the connection was closed. status 0: nothing."""

    status: int
    headers: Mapping[str, str]  # by names in lower case
    text: str


def exchange(address: str, *pieces: bytes, pause: float = 0.0) -> RawAnswer:
    """Send the pieces, with a pause between two, and take the answer. Raises TimeoutError when it does not come."""
    url = urlsplit(address)
    deadline = time.monotonic() + HANGING
    with socket.create_connection((url.hostname or "", url.port or 80), timeout=HANGING) as client:
        try:
            for number, piece in enumerate(pieces):
                time.sleep(pause if number else 0)
                client.sendall(piece)
            received = _until_closed(client, deadline)
        except (BrokenPipeError, ConnectionResetError):  # refused before all was sent
            received = b""
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return RawAnswer(int(status.split()[1]) if status else 0, headers, body.decode("utf-8", "replace"))


def request(
    method: str = "GET", target: str = "/", headers: Iterable[str | bytes] = (), body: bytes = b"", *, host: str = "x"
) -> bytes:
    """A request after which the connection is closed. headers: whole lines."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return b"\r\n".join(line if isinstance(line, bytes) else line.encode() for line in lines) + b"\r\n\r\n" + body


def _until_closed(client: socket.socket, deadline: float) -> bytes:
    received = b""
    while True:
        client.settimeout(max(0.001, deadline - time.monotonic()))
        piece = client.recv(65536)
        if not piece:
            return received
        received += piece
