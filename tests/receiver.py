"""A receiver of callbacks, or what stands in front of the service: a real HTTP or HTTPS server on 127.0.0.1 that
answers as a test tells it to."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import standardwebhooks

SECRET = "whsec_" + b64encode(bytes(range(32))).decode()  # what callbacks are signed with
NO_RECEIVER = "hooks.invalid"  # a host that there is not

Answer = Callable[[BaseHTTPRequestHandler, threading.Event], None]
"""Answers one request; the event is set when the receiver closes."""


@dataclass(frozen=True)
class Call:
    """A request that came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def verified(self, secret: str) -> Any:
        """Its document, once the signature is right."""
        return standardwebhooks.Webhook(secret).verify(self.body, self.headers)


class Receiver:
    """Gives the answers in turn, and the last one for ever."""

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.calls: list[Call] = []
        self._answers = list(answers) or [status(204)]
        self._closing = threading.Event()
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            call: Call  # the one being answered

            def do_POST(self) -> None:
                receiver._answer(self)

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Nothing to say."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A caller that hangs up is what many tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def _answer(self, request: Any) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        request.call = Call(request.command, request.path, dict(request.headers), body)
        with self._lock:
            self.calls.append(request.call)
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        answer(request, self._closing)

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def status(code: int, **headers: str) -> Answer:
    """A status, with a short body; `Retry_After` is Retry-After."""

    def answer(request: BaseHTTPRequestHandler, _: threading.Event) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        _send(request, code, named, b"" if code == 204 else b"so be it")

    return answer


def document(value: Any) -> Answer:
    """A JSON document."""

    def answer(request: BaseHTTPRequestHandler, _: threading.Event) -> None:
        _send(request, 200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    return answer


def pass_on(url: str, *, of_body: float = 1.0) -> Answer:
    """What the service at this address answers; or only so much of its body, and then the connection is closed."""

    def answer(request: Any, _: threading.Event) -> None:
        call: Call = request.call
        headers = {name: value for name, value in call.headers.items() if name not in ("Host", "Connection")}
        outgoing = urllib.request.Request(url + call.path, call.body or None, headers, method=call.method)
        try:
            response = urllib.request.urlopen(outgoing, timeout=30)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            body = response.read()
            kept = {n: v for n, v in response.headers.items() if n not in ("Connection", "Transfer-Encoding")}
            _send(request, response.status, kept, body, int(len(body) * of_body))

    return answer


def _send(
    request: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str], body: bytes, sent: int | None = None
) -> None:
    request.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body[:sent])
    if sent is not None and sent < len(body):
        request.close_connection = True


def hang(_: BaseHTTPRequestHandler, closing: threading.Event) -> None:
    """No answer at all."""
    closing.wait()


def hang_up(request: BaseHTTPRequestHandler, _: threading.Event) -> None:
    """The connection is closed instead."""
    request.close_connection = True


def trickle(request: BaseHTTPRequestHandler, closing: threading.Event) -> None:
    """A byte now and then, and never an end: a socket's own timeout sees nothing wrong with it."""
    with contextlib.suppress(OSError):
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not closing.wait(0.02):
            request.wfile.write(b"z")


def continue_for_ever(request: BaseHTTPRequestHandler, closing: threading.Event) -> None:
    """One provisional answer after the other."""
    with contextlib.suppress(OSError):
        while not closing.wait(0.001):
            request.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def endless_headers(request: BaseHTTPRequestHandler, closing: threading.Event) -> None:
    """More headers than anybody needs."""
    with contextlib.suppress(OSError):
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not closing.is_set():
            request.wfile.write(b"X-More: of the same\r\n" * 1000)


def huge(request: BaseHTTPRequestHandler, closing: threading.Event) -> None:
    """Success, and a body without end."""
    with contextlib.suppress(OSError):
        request.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not closing.is_set():
            request.wfile.write(b"z" * 65_536)


def raw(text: bytes) -> Answer:
    """Exactly this, and then the end."""

    def answer(request: BaseHTTPRequestHandler, _: threading.Event) -> None:
        request.wfile.write(text)
        request.close_connection = True

    return answer
