"""The load that benchmarks send: what it makes of answers, however they come, and that it asks for what it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.performance.load import Answer, Load, drive
from demo.errors import WrongAnswer

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(WHOLE)])
def test_an_answer_is_whole_with_its_last_byte_however_it_comes(size: int) -> None:
    answer = Answer()
    pieces = [WHOLE[start : start + size] for start in range(0, len(WHOLE), size)]
    assert [answer.feed(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert (answer.status, answer.body_bytes, answer.kept) == (200, 5, True)


@pytest.mark.parametrize(
    ("text", "status", "body_bytes", "kept"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", 503, 0, True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length:2\r\n\r\n{}", 200, 2, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\r\n\r\n", 200, 4, True),
    ],
)
def test_status_length_and_connection_are_read(text: bytes, status: int, body_bytes: int, kept: bool) -> None:
    answer = Answer()
    assert answer.feed(text)
    assert (answer.status, answer.body_bytes, answer.kept) == (status, body_bytes, kept)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "without Content-Length"),
        (WHOLE + b"HTTP", "more than one answer"),
    ],
)
def test_what_it_does_not_know_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Answer().feed(text)


def test_a_percentile_is_by_nearest_rank() -> None:
    load = Load(2.0, [0.4, 0.1, 0.3, 0.2], 0)
    assert load.rate == 2.0
    assert [load.percentile(share) for share in (0.0, 0.25, 0.5, 0.51, 0.99, 1.0)] == [0.1, 0.1, 0.2, 0.3, 0.4, 0.4]


class Server:
    """Answers with the path, as long as it is; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.callers: set[int] = set()
        noted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                noted.asked.append((self.path, self.headers["Cache-Control"]))
                noted.callers.add(self.client_address[1])
                body = self.path.encode()
                self.send_response(404 if self.path == "/nothing" else 200)
                self.send_header("Content-Length", str(len(body)))
                if self.path == "/last":
                    self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()

    def stop(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


def test_paths_are_asked_for_in_turn_on_one_connection_that_is_kept(server: Server) -> None:
    load = drive(server.port, ["/a", "/bcd"], requests=5, headers={"Cache-Control": "no-cache"})
    assert server.asked == [(path, "no-cache") for path in ("/a", "/bcd", "/a", "/bcd", "/a")]
    assert len(server.callers) == 1
    assert len(load.latencies) == 5
    assert load.body_bytes == 3 * 2 + 2 * 4
    assert 0 < min(load.latencies) <= max(load.latencies) <= load.seconds


def test_as_many_connections_as_are_asked_for_send_as_many_requests(server: Server) -> None:
    load = drive(server.port, ["/a"], requests=50, connections=4)
    assert len(server.asked) == len(load.latencies) == 50
    assert len(server.callers) == 4


def test_more_connections_than_requests_send_no_more_requests(server: Server) -> None:
    assert len(drive(server.port, ["/a"], requests=2, connections=8).latencies) == 2
    assert len(server.asked) == 2


def test_a_connection_that_the_server_ends_is_made_again(server: Server) -> None:
    drive(server.port, ["/last"], requests=3)
    assert len(server.asked) == 3
    assert len(server.callers) == 3


def test_answers_that_are_not_200_are_an_error_that_counts_them(server: Server) -> None:
    with pytest.raises(WrongAnswer, match=r"of 4 answers.*\{'404': 2\}"):
        drive(server.port, ["/a", "/nothing"], requests=4)


def test_nobody_there_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        with pytest.raises(WrongAnswer, match="ended early"):
            drive(taken.getsockname()[1], ["/a"], requests=1)
