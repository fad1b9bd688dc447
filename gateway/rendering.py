"""JSON in and out of Flask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

import orjson
from flask import Request, Response
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestTimeout, UnsupportedMediaType

from shared import deadline
from shared.errors import InvalidRequest
from shared.parsing import read_json

JSON = "application/json"
NDJSON = "application/x-ndjson"
PROBLEM = "application/problem+json"


def json(document: Any) -> bytes:
    """A document as it is sent."""
    return orjson.dumps(document)


def json_response(document: Any, status: int = 200, media_type: str = JSON) -> Response:
    """A document as an answer."""
    return Response(json(document), status=status, content_type=media_type)


def fingerprint(page: bytes) -> str:
    """What tells a page, as it is sent, from another. Whether it is `cached` says nothing of its content.

    No text within it can be taken for that field: its quotes would be escaped.
    """
    return blake2b(page.replace(b'"cached":false', b'"cached":true'), digest_size=16).hexdigest()


def ndjson_response(documents: Iterable[Iterable[Any]]) -> Response:
    """Groups of documents, a line each, streamed a group at a time."""

    def lines() -> Iterator[bytes]:
        for group in documents:
            yield b"".join(orjson.dumps(document) + b"\n" for document in group)

    return Response(lines(), content_type=NDJSON)


def prefers_ndjson(request: Request) -> bool:
    """Whether the caller would rather have lines than one document."""
    return request.accept_mimetypes.best_match([JSON, NDJSON]) == NDJSON


def body(request: Request) -> dict[str, Any]:
    """The request's JSON object.

    Raises UnsupportedMediaType, RequestEntityTooLarge (from Flask, past the size limit), RequestTimeout, BadRequest
    (what is sent in pieces is in none that HTTP knows), InvalidRequest.
    """
    if request.mimetype != JSON:
        raise UnsupportedMediaType(f"the body is {request.mimetype or 'of no stated type'}, not {JSON}")
    if request.content_encoding not in (None, "", "identity"):
        raise UnsupportedMediaType("the body is packed (Content-Encoding); send it as it is")
    try:
        raw = request.get_data()
        if request.content_length is None and len(raw) == request.max_content_length:
            request.stream.read(1)  # it is cut at the limit in silence; reading on raises
    except ClientDisconnected:  # what werkzeug makes of a client that is given up, too
        raise RequestTimeout("the body did not arrive whole, and in time") from None
    except ParseException as error:
        raise BadRequest(f"the body can't be read: {error}") from None
    deadline.begin_again()  # a slow client has bounds of its own
    try:
        document = read_json(raw)
    except ValueError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidRequest("the body is not a JSON object")
    return document
