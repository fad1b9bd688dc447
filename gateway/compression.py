"""gzip for whoever accepts it. A stream is compressed piece by piece, and each piece leaves at once."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from flask import Flask, Response, request

from gateway.rendering import JSON, NDJSON, PROBLEM

VARIES: Final = "Accept-Encoding"

_TYPES: Final = frozenset({JSON, NDJSON, PROBLEM, "text/html", "text/css", "text/javascript"})
_LEAST_BYTES: Final = 500  # below that it saves no packet
_LEVEL: Final = 5
_GZIP: Final = zlib.MAX_WBITS + 16  # zlib's way to say that it is gzip


def register(app: Flask) -> None:
    """Compress the answers of `app`."""
    app.after_request(_compress)


def _compress(response: Response) -> Response:
    varies = response.headers.get("Vary")
    told, asked = varies is not None and VARIES in varies, "HTTP_ACCEPT_ENCODING" in request.environ
    if told and not asked:  # the shortest way: of a page that is kept
        return response
    if response.headers.get("Content-Type", "").partition(";")[0] not in _TYPES:
        return response
    if not told:
        response.headers["Vary"] = f"{varies}, {VARIES}" if varies else VARIES
    if not asked:
        return response
    whole = response.status_code not in (204, 206, 304) and "Content-Encoding" not in response.headers
    if not whole or request.accept_encodings.best_match(["gzip", "identity"]) != "gzip":
        return response
    if not response.is_streamed and len(response.get_data()) < _LEAST_BYTES:
        return response
    if response.is_streamed:
        response.direct_passthrough = False  # a file
        response.response = _pieces(response.iter_encoded())
        response.headers.pop("Content-Length", None)
    else:
        response.set_data(b"".join(_pieces([response.get_data()])))
    response.headers["Content-Encoding"] = "gzip"
    tag, _ = response.get_etag()
    if tag is not None:
        response.set_etag(tag, weak=True)  # the same content, but not the same bytes
    return response


def _pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    for piece in pieces:
        yield packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()
