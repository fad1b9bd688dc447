"""Load over HTTP: so many connections that are kept, each asking again as soon as it has its answer.

It runs in a process of its own and takes as little as it can of the cores that it shares with the gateway: plain
sockets, requests that are bytes beforehand, answers that are not looked into.
"""

from __future__ import annotations

import json
import math
import selectors
import socket
import subprocess
import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from demo.errors import WrongAnswer
from demo.process import PROJECT

_ADDRESS = "127.0.0.1"
_ANSWER_SECONDS = 30.0
_PIECE = 1 << 18  # bytes read at once


@dataclass(frozen=True)
class Load:
    """What a load came to."""

    seconds: float  # from the first request to the last answer
    latencies: Sequence[float]  # seconds from the request to its whole answer, in order of the answers
    body_bytes: int  # of all answers

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """The latency in seconds that `share` (0 to 1) of the requests do not exceed: by nearest rank."""
        ordered = sorted(self.latencies)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def drive(
    port: int,
    paths: Sequence[str],
    *,
    requests: int,
    connections: int = 1,
    headers: Mapping[str, str] | None = None,
    tokens: Sequence[str] | None = None,
) -> Load:
    """Ask for the paths in turn, `requests` times in all. tokens: who asks for each of them.

    Raises WrongAnswer when an answer is not 200, or does not come.
    """
    order = {
        "port": port,
        "paths": paths,
        "requests": requests,
        "connections": connections,
        "headers": dict(headers or {}),
        "tokens": tokens,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.performance.load"],
        input=json.dumps(order).encode(),
        capture_output=True,
        cwd=PROJECT,
        check=False,
    )
    if done.returncode != 0:
        raise WrongAnswer(f"the load on port {port} ended early: {done.stderr.decode(errors='replace')[-500:]}")
    line, _, raw = done.stdout.partition(b"\n")
    came = json.loads(line)
    latencies = array("d")
    latencies.frombytes(raw)
    wrong = {status: count for status, count in came["statuses"].items() if status != "200"}
    if wrong:
        raise WrongAnswer(f"of {requests} answers, by status, these are not 200: {wrong}")
    return Load(came["seconds"], latencies, came["bytes"])


class Answer:
    """One answer of HTTP/1.1, as it arrives."""

    def __init__(self) -> None:
        self.status = 0
        self.kept = True  # whether the connection is for the next request, too
        self.body_bytes = 0
        self._head = b""
        self._left = -1  # bytes of the body that are still to come; below 0: the head is not whole

    def feed(self, data: bytes) -> bool:
        """Take the next piece; whether the answer is whole now. Raises ValueError for what it does not know."""
        if self._left < 0:
            self._head += data
            head, end, body = self._head.partition(b"\r\n\r\n")
            if not end:
                return False
            first, *lines = head.split(b"\r\n")
            self.status = int(first.split(b" ", 2)[1])
            fields = {
                name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)
            }
            if b"content-length" not in fields:
                raise ValueError("an answer without Content-Length")
            self.body_bytes = self._left = int(fields[b"content-length"])
            self.kept = fields.get(b"connection", b"").lower() != b"close"
            data = body
        self._left -= len(data)
        if self._left < 0:
            raise ValueError("more than one answer to one request")
        return self._left == 0


class _Connection:
    """One caller."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.socket = self._connected()
        self.answer = Answer()
        self.asked = 0.0

    def ask(self, request: bytes) -> None:
        self.answer = Answer()
        self.asked = time.perf_counter()
        self.socket.sendall(request)

    def reconnect(self) -> None:
        self.socket.close()
        self.socket = self._connected()

    def _connected(self) -> socket.socket:
        connected = socket.create_connection((_ADDRESS, self._port), timeout=_ANSWER_SECONDS)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected


def _run(port: int, requests: Iterator[bytes], connections: int) -> tuple[float, array[float], Counter[int], int]:
    """Seconds, latencies, answers by status, bytes of their bodies. Raises OSError, ValueError."""
    latencies, statuses, body_bytes = array("d"), Counter[int](), 0
    with selectors.DefaultSelector() as selector:
        callers = [_Connection(port) for _ in range(connections)]
        started = time.perf_counter()
        for caller in callers:
            request = next(requests, None)
            if request is not None:
                caller.ask(request)
                selector.register(caller.socket, selectors.EVENT_READ, caller)
        while selector.get_map():
            ready = selector.select(_ANSWER_SECONDS)
            if not ready:
                raise TimeoutError(f"no answer in {_ANSWER_SECONDS:.0f} s")
            for key, _ in ready:
                caller = key.data
                data = caller.socket.recv(_PIECE)
                if not data:
                    raise ConnectionError("the gateway closed a connection before its answer was whole")
                if not caller.answer.feed(data):
                    continue
                latencies.append(time.perf_counter() - caller.asked)
                statuses[caller.answer.status] += 1
                body_bytes += caller.answer.body_bytes
                request = next(requests, None)
                if request is None:
                    selector.unregister(caller.socket)
                    continue
                if not caller.answer.kept:
                    selector.unregister(caller.socket)
                    caller.reconnect()
                    selector.register(caller.socket, selectors.EVENT_READ, caller)
                caller.ask(request)
        return time.perf_counter() - started, latencies, statuses, body_bytes


def main() -> int:
    """The process: an order as JSON on standard input; a line of JSON and the latencies, as doubles, on standard
    output."""
    order = json.load(sys.stdin)
    fields = "".join(f"{name}: {value}\r\n" for name, value in order["headers"].items())
    tokens = order["tokens"] or [None] * len(order["paths"])
    shown = [f"Authorization: Bearer {token}\r\n" if token else "" for token in tokens]
    whole = [
        f"GET {path} HTTP/1.1\r\nHost: {_ADDRESS}\r\n{fields}{token}\r\n".encode()
        for path, token in zip(order["paths"], shown, strict=True)
    ]
    requests = islice(cycle(whole), order["requests"])
    try:
        seconds, latencies, statuses, body_bytes = _run(order["port"], requests, order["connections"])
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    came = {"seconds": seconds, "statuses": statuses, "bytes": body_bytes}
    sys.stdout.buffer.write(json.dumps(came).encode() + b"\n" + latencies.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
