"""What the addresses of lists have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.endpoint import Link, RequestHeader
from shared import errors

NOTHING_ANSWERS: Final = (errors.Unavailable, errors.PoolExhausted)
OF_A_LIST: Final = (*NOTHING_ANSWERS, errors.CursorExpired)
FRESH: Final = RequestHeader(
    "Cache-Control", "`no-cache`: make the list anew, and keep it for the next", {"type": "string"}
)


def next_page(operation: str, **path: str) -> Mapping[str, Link]:
    """From a page to the next, where it has a cursor. path: where in the answer the path's parts are."""
    return {"next": Link(operation, path | {"cursor": "$response.body#/next_cursor"})}
