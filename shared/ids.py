"""Ids as numpy arrays: 16 raw bytes each, so that they sort, search and travel in bulk.

numpy's "S16" compares all 16 bytes but drops trailing zero bytes from an element read alone: go back to a UUID
through `to_uuids` only.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

IdArray: TypeAlias = NDArray[np.bytes_]  # shape (n,), dtype S16
IndexArray: TypeAlias = NDArray[np.int64]
Places: TypeAlias = NDArray[np.integer[Any]]  # an index array of any width

ID_BYTES = 16


def id_array(raw: bytes | memoryview) -> IdArray:
    """View n x 16 raw bytes as n ids, without a copy. Raises ValueError for any other length."""
    return np.frombuffer(raw, dtype="S16")


def pack_ids(ids: Iterable[UUID]) -> IdArray:
    """UUIDs as an array of ids, in the order given."""
    return id_array(b"".join([i.bytes for i in ids]))


def to_uuids(ids: IdArray) -> list[UUID]:
    """The array's ids as UUIDs, in order."""
    raw = ids.tobytes()
    return [UUID(bytes=raw[i : i + ID_BYTES]) for i in range(0, len(raw), ID_BYTES)]


def to_known_uuids(ids: IdArray) -> list[UUID]:
    """As to_uuids, for ids that come again and again, like those of titles: an id's UUID is made once and kept."""
    raw = ids.tobytes()
    return [_known(raw[i : i + ID_BYTES]) for i in range(0, len(raw), ID_BYTES)]


@lru_cache(maxsize=20_000)  # about 5 MB
def _known(raw: bytes) -> UUID:
    return UUID(bytes=raw)


class IdIndex:
    """Where an id stands in an array of distinct ids."""

    def __init__(self, ids: IdArray) -> None:
        self.ids = ids
        self._order = np.argsort(ids, kind="stable")
        self._sorted = ids[self._order]

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, wanted: IdArray) -> IndexArray:
        """Positions of `wanted` (shape (k,)), -1 where an id is not here. Shape (k,), int64."""
        if not len(self.ids) or not len(wanted):
            return np.full(len(wanted), -1, dtype=np.int64)
        place = np.minimum(np.searchsorted(self._sorted, wanted), len(self.ids) - 1)
        return np.where(self._sorted[place] == wanted, self._order[place], -1)
