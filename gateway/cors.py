"""Web pages of other origins may ask, if they are listed (CORS)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flask import Flask, Response
from flask_cors import CORS

from gateway.limits import POLICY, STATE
from gateway.request_ids import HEADER as REQUEST_ID

EXPOSED: Final = ("ETag", "Retry-After", "Location", "WWW-Authenticate", STATE, POLICY, REQUEST_ID)
_ASKED: Final = (
    "Authorization",
    "Content-Type",
    "Cache-Control",
    "If-None-Match",
    "Prefer",
    "Idempotency-Key",
    REQUEST_ID,
)
_PREFLIGHT_SECONDS: Final = 600  # a browser need not ask again so soon whether it may ask


def register(app: Flask, origins: Sequence[str]) -> None:
    """Let these origins' pages ask, and read what they need of an answer. Without any, nothing is said of it."""
    if not origins:
        return
    CORS(
        app,
        origins=list(origins),
        methods=["GET", "HEAD", "POST"],
        allow_headers=list(_ASKED),
        expose_headers=list(EXPOSED),
        max_age=_PREFLIGHT_SECONDS,
        always_send=False,
        vary_header=False,
        intercept_exceptions=False,  # answers to errors come by the same way as others
    )
    app.after_request(_varies)


def _varies(response: Response) -> Response:
    """Also where the origin was none of these: a cache must not give that answer to one that is."""
    response.vary.add("Origin")
    return response
