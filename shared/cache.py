"""Users' ranked lists in Redis, for minutes. A cache that is down is an empty one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from shared.errors import CacheUnavailable
from shared.ranked_list import RankedList, decode, encode
from shared.redis_store import RedisStore
from shared.snapshot import Snapshot

_PREFIX: Final = b"list:1:"  # 1: the format of the value; a new one never reads an old one's entries

_log = logging.getLogger(__name__)


class ListCache:
    """One whole list per user and model version: a hit serves any page."""

    def __init__(self, store: RedisStore, *, life_seconds: int) -> None:
        self._store = store
        self._life = life_seconds

    def get_many(self, user_ids: Sequence[UUID], snapshot: Snapshot) -> dict[UUID, RankedList]:
        """The lists that are there. Never raises: what can't be read is missing."""
        known = snapshot.model.titles if snapshot.model else None
        try:
            values = self._store.get_many([_key(user_id, snapshot) for user_id in user_ids])
        except CacheUnavailable:
            return {}
        found = {}
        for user_id, value in zip(user_ids, values, strict=False):
            if value is not None:
                try:
                    found[user_id] = decode(value, known)
                except ValueError as error:
                    _log.warning("cached list of %s is unreadable and is made again: %s", user_id, error)
        return found

    def put_many(self, lists: Mapping[UUID, RankedList], snapshot: Snapshot) -> None:
        """Keep lists for their life. Never raises: what can't be written is made again next time."""
        known = snapshot.model.titles if snapshot.model else None
        values = {_key(user_id, snapshot): encode(ranked, known) for user_id, ranked in lists.items()}
        try:
            if values:
                self._store.set_many(values, seconds=self._life)
        except CacheUnavailable:
            return


def _key(user_id: UUID, snapshot: Snapshot) -> bytes:
    return _PREFIX + (snapshot.model_version or "none").encode() + b":" + user_id.bytes
