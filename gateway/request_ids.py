"""A name for every request: in its answer, and in all that is logged on the way."""

from __future__ import annotations

import random
import re
from typing import Final

from flask import Flask, Response, request

from shared.telemetry import request_id

HEADER: Final = "X-Request-Id"
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


def register(app: Flask) -> None:
    """Take each request's name over from its caller, or make one. Call it before anything else that may fail."""
    app.before_request(_begin)
    app.after_request(_tell)


def _begin() -> None:
    given = request.environ.get("HTTP_X_REQUEST_ID")
    # A name is no secret: it need not cost a call of the system.
    request_id.set(given if given and _ID.fullmatch(given) else f"{random.getrandbits(128):032x}")  # nosec B311


def _tell(response: Response) -> Response:
    response.headers.add(HEADER, request_id.get())
    response.call_on_close(lambda: request_id.set("-"))  # a stream is sent, and logs, after this
    return response
