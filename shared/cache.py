"""Ranked lists in Redis, for minutes. A cache that is down is an empty one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from shared.errors import CacheUnavailable
from shared.list_name import ListName
from shared.ranked_list import RankedList, decode, encode
from shared.snapshot import Snapshot
from shared.write_behind import WriteBehind

_PREFIX: Final = b"list:2:"  # 2: the format of the value; a new one never reads an old one's entries

_log = logging.getLogger(__name__)


class ListCache:
    """One whole list per name and model version: a hit serves any page."""

    def __init__(self, kept: WriteBehind, *, life_seconds: int) -> None:
        self._kept = kept
        self._life = life_seconds

    def get_many(self, names: Sequence[ListName], snapshot: Snapshot) -> dict[ListName, RankedList]:
        """The lists that are there. Never raises: what can't be read is missing."""
        known = snapshot.model.titles if snapshot.model else None
        try:
            values = self._kept.get_many([_key(name, snapshot) for name in names])
        except CacheUnavailable:
            return {}
        found = {}
        for name, value in zip(names, values, strict=False):
            if value is not None:
                try:
                    found[name] = decode(value, known)
                except ValueError as error:
                    _log.warning("a cached list is unreadable and is made again: %s: %s", name, error)
        return found

    def put_many(self, lists: Mapping[ListName, RankedList], snapshot: Snapshot) -> None:
        """Keep lists for their life. Never raises: what can't be written is made again next time."""
        known = snapshot.model.titles if snapshot.model else None
        values = {_key(name, snapshot): encode(ranked, known) for name, ranked in lists.items()}
        self._kept.put(values, seconds=self._life)


def _key(name: ListName, snapshot: Snapshot) -> bytes:
    return _PREFIX + (snapshot.model_version or "none").encode() + b":" + name.key
