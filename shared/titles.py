"""Titles as callers see them: read from catalog_db, remembered for a moment, and kept in Redis for while that database
is down.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import orjson
from cachetools import LRUCache

from shared.errors import CacheUnavailable, DatabaseUnavailable
from shared.media import Title
from shared.repositories.catalog import CatalogRepository
from shared.write_behind import WriteBehind

_PREFIX: Final = b"title:1:"  # 1: the format of the value
_LIFE_SECONDS: Final = 3600
_REWRITE_SECONDS: Final = 60.0  # a Redis that has lost its memory knows the titles again after this
_MOST_SEEN: Final = 20_000  # titles that a process remembers; about 20 MB


@dataclass(frozen=True, slots=True)
class _Seen:
    """A title as this process last read it. Times by the monotonic clock."""

    title: Title
    read_at: float
    kept_at: float  # when it was last written to Redis


class Titles:
    """Looks titles up. Safe to share between threads."""

    def __init__(self, catalog: CatalogRepository, kept: WriteBehind, *, reuse_seconds: float) -> None:
        """reuse_seconds: for how long what was read of a title is taken to be so."""
        self._catalog = catalog
        self._kept = kept
        self._reuse = reuse_seconds
        self._seen: LRUCache[UUID, _Seen] = LRUCache(_MOST_SEEN)
        self._lock = threading.Lock()

    @contextmanager
    def asked(
        self, ids: Set[UUID], *, besides: Set[UUID] = frozenset(), bulk: bool = False
    ) -> Iterator[Callable[[], tuple[dict[UUID, Title], bool]]]:
        """The titles that are not deleted, and whether they are only what was last seen of them; read while the block
        does something else. besides: titles that can be done without.

        What the block gets waits for them, and raises DatabaseUnavailable when catalog_db is down and not all of `ids`
        were seen lately.
        """
        wanted = ids | besides
        found = self._remembered(wanted, self._reuse)
        missing = wanted - found.keys()
        with self._catalog.asked_titles(missing, bulk=bulk) as read:

            def titles() -> tuple[dict[UUID, Title], bool]:
                try:
                    new = read()
                except DatabaseUnavailable:
                    last_seen = found | self._last_seen(missing)
                    if not last_seen.keys() >= ids:
                        raise
                    return last_seen, True
                self._remember(missing, new.values())
                return found | new, False

            yield titles

    def _remembered(self, ids: Collection[UUID], seconds: float) -> dict[UUID, Title]:
        """Those of the titles that were read within so many seconds."""
        since = time.monotonic() - seconds
        with self._lock:
            seen = {media_id: self._seen.get(media_id) for media_id in ids}
        return {media_id: one.title for media_id, one in seen.items() if one is not None and one.read_at > since}

    def _remember(self, asked: Iterable[UUID], titles: Iterable[Title]) -> None:
        """Remember what was just read of the titles asked for: those that are not among it are gone. What Redis has not
        been told for a while is written there."""
        now, values = time.monotonic(), {}
        with self._lock:
            before = {media_id: self._seen.pop(media_id, None) for media_id in asked}
            for title in titles:
                last = before.get(title.media_id)
                kept_at = last.kept_at if last else float("-inf")
                if now - kept_at >= _REWRITE_SECONDS:
                    values[_PREFIX + title.media_id.bytes] = orjson.dumps(title)
                    kept_at = now
                self._seen[title.media_id] = _Seen(title, now, kept_at)
        self._kept.put(values, seconds=_LIFE_SECONDS)

    def _last_seen(self, ids: Set[UUID]) -> dict[UUID, Title]:
        """What this process remembers, or Redis keeps."""
        found = self._remembered(ids, _LIFE_SECONDS)
        missing = list(ids - found.keys())
        try:
            values = self._kept.get_many([_PREFIX + media_id.bytes for media_id in missing])
        except CacheUnavailable:
            return found
        kept = ((media_id, _title(value)) for media_id, value in zip(missing, values, strict=True) if value is not None)
        return found | {media_id: title for media_id, title in kept if title is not None}


def _title(value: bytes) -> Title | None:
    """What `_remember` wrote; None for anything else."""
    try:
        fields = orjson.loads(value)
        return Title(**fields | {"media_id": UUID(fields["media_id"]), "genres": tuple(fields["genres"])})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
