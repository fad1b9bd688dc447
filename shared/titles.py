"""Titles as callers see them: read from catalog_db each time, with what was last seen of them kept in Redis for while
that database is down.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Set
from typing import Final
from uuid import UUID

import orjson

from shared.errors import CacheUnavailable, DatabaseUnavailable
from shared.media import Title
from shared.redis_store import RedisStore
from shared.repositories.catalog import CatalogRepository

_PREFIX: Final = b"title:1:"  # 1: the format of the value
_LIFE_SECONDS: Final = 3600
_REWRITE_SECONDS: Final = 60.0  # a Redis that has lost its memory knows the titles again after this
_MOST_NOTED: Final = 50_000  # titles per process whose writing is noted; about 10 MB


class Titles:
    """Looks titles up. Safe to share between threads."""

    def __init__(self, catalog: CatalogRepository, store: RedisStore) -> None:
        self._catalog = catalog
        self._store = store
        self._noted: OrderedDict[UUID, float] = OrderedDict()  # when this process last wrote a title to Redis

    def find(
        self, ids: Set[UUID], *, besides: Set[UUID] = frozenset(), bulk: bool = False
    ) -> tuple[dict[UUID, Title], bool]:
        """The titles that are not deleted, and whether they are only what was last seen of them. besides: titles that
        can be done without.

        Raises DatabaseUnavailable when catalog_db is down and not all of `ids` were seen lately.
        """
        try:
            titles = self._catalog.titles(ids | besides, bulk=bulk)
        except DatabaseUnavailable:
            kept = self._recall(ids | besides)
            if not kept.keys() >= ids:
                raise
            return kept, True
        self._keep(titles.values())
        return titles, False

    def _keep(self, titles: Iterable[Title]) -> None:
        """Write to Redis what this process has not written there for a while."""
        due = time.monotonic() - _REWRITE_SECONDS
        values = {
            _PREFIX + title.media_id.bytes: orjson.dumps(title)
            for title in titles
            if self._noted.get(title.media_id, due) <= due
        }
        if not values:
            return
        try:
            self._store.set_many(values, seconds=_LIFE_SECONDS)
        except CacheUnavailable:
            return
        now = time.monotonic()
        for key in values:
            self._noted[UUID(bytes=key[len(_PREFIX) :])] = now
        while len(self._noted) > _MOST_NOTED:
            self._noted.popitem(last=False)

    def _recall(self, ids: Collection[UUID]) -> dict[UUID, Title]:
        try:
            values = self._store.get_many([_PREFIX + media_id.bytes for media_id in ids])
        except CacheUnavailable:
            return {}
        found = ((media_id, _title(value)) for media_id, value in zip(ids, values, strict=True) if value is not None)
        return {media_id: title for media_id, title in found if title is not None}


def _title(value: bytes) -> Title | None:
    """What `_keep` wrote; None for anything else."""
    try:
        fields = orjson.loads(value)
        return Title(**fields | {"media_id": UUID(fields["media_id"]), "genres": tuple(fields["genres"])})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
