"""Jobs' results in Redis, a value per chunk, for a day. They are derived data: a lost one is computed again."""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shared.errors import CacheUnavailable
from shared.job_states import ChunkRef
from shared.ranked_list import RankedList, decode_many, encode_many
from shared.redis_store import RedisStore

_PREFIX: Final = b"result:2:"  # 2: the format of the value

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChunkResult:
    """The lists of a chunk's users, in the chunk's order, and the model that made them."""

    model_version: str | None
    lists: Sequence[RankedList]


class ResultStore:
    """Keeps chunks' results; what it cannot keep or read is simply missing."""

    def __init__(self, store: RedisStore, *, life_seconds: int) -> None:
        """life_seconds: counted from when a chunk is done; when the job ends later, the first ones are made again."""
        self._store = store
        self._life = life_seconds

    def put(self, ref: ChunkRef, attempt: int, result: ChunkResult) -> None:
        """Keep what an attempt at a chunk came to; other attempts have keys of their own."""
        version = (result.model_version or "").encode()
        value = struct.pack("<B", len(version)) + version + encode_many(result.lists)
        try:
            self._store.set_many({_key(ref, attempt): value}, seconds=self._life)
        except CacheUnavailable as error:
            _log.info("result of %s is not kept, and computed when asked for: %s", ref, error)

    def get(self, ref: ChunkRef, attempt: int) -> ChunkResult | None:
        """The attempt's result, None when it is lost."""
        try:
            [value] = self._store.get_many([_key(ref, attempt)])
        except CacheUnavailable:
            return None
        if value is None:
            return None
        try:
            version = value[1 : 1 + value[0]].decode()
            return ChunkResult(version or None, decode_many(value[1 + value[0] :]))
        except (ValueError, IndexError) as error:
            _log.warning("result of %s is unreadable and computed again: %s", ref, error)
            return None


def _key(ref: ChunkRef, attempt: int) -> bytes:
    return _PREFIX + ref.job_id.bytes + struct.pack("<II", ref.chunk_no, attempt)
