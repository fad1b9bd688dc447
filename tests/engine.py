"""What stands in for a container engine: it takes what Docker's own client sends it to build an image of."""

from __future__ import annotations

import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Engine:
    """Keeps the files of the last build, and refuses to build it."""

    def __init__(self) -> None:
        self.sent: dict[str, bytes] = {}  # path within the build's context -> content
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_HEAD(self) -> None:  # is there an engine?
                self.send_response(200)
                self.send_header("Api-Version", "1.44")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_POST(self) -> None:
                engine.sent = _files(b"".join(iter(self._chunk, b"")))
                self.send_error(500, "This engine builds nothing")

            def _chunk(self) -> bytes:
                data = self.rfile.read(int(self.rfile.readline(), 16))
                self.rfile.readline()
                return data

            def log_message(self, *_: Any) -> None:
                """Nothing to say."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True)

    @property
    def address(self) -> str:
        """For DOCKER_HOST."""
        return f"tcp://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Engine:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _files(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}
