"""Pages that a process has just answered with: who asks for the same within moments gets the same bytes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from cachetools import TTLCache
from flask import Request

_MOST_BYTES: Final = 16_000_000  # of a process, all pages together


@dataclass(frozen=True, slots=True)
class Page:
    """A document as it is sent, and its ETag."""

    body: bytes
    tag: str


class RecentPages:
    """Pages by the address that was asked, for a few seconds. Safe to share between threads."""

    def __init__(self, seconds: float) -> None:
        """seconds: how old a page may be; 0: none is kept."""
        self._pages: TTLCache[str, Page] = TTLCache(_MOST_BYTES, seconds, getsizeof=lambda page: len(page.body))
        self._lock = threading.Lock()

    def find(self, request: Request) -> Page | None:
        """The page that the same request was answered with; none when the caller wants it made anew."""
        with self._lock:
            if wants_fresh(request):
                self._pages.pop(_address(request), None)
                return None
            page: Page | None = self._pages.get(_address(request))
            return page

    def keep(self, request: Request, page: Page) -> None:
        """Answer the same request with this page for the next moments."""
        with self._lock:
            if len(page.body) <= _MOST_BYTES:
                self._pages[_address(request)] = page


def _address(request: Request) -> str:
    """The path and the query, as they were sent."""
    return f"{request.environ['PATH_INFO']}?{request.environ.get('QUERY_STRING', '')}"


def wants_fresh(request: Request) -> bool:
    """Whether the caller wants no list that was made before."""
    return "no-cache" in request.environ.get("HTTP_CACHE_CONTROL", "").lower()  # directives have no case
