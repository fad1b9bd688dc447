"""One user's ranked titles, and their compact form for Redis.

Scores are fixed point, in steps of 1/10,000: a list read back is equal to the list written, and a user's 200 titles
take less than 4 KB.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.ids import ID_BYTES, IdArray, IdIndex, id_array
from shared.media import Source, Strategy

STEPS: Final = 10_000  # of a score

_STRATEGIES: Final = tuple(Strategy)
_SOURCES: Final = tuple(Source)
SOURCE_CODE: Final = {source: code for code, source in enumerate(_SOURCES)}

# format, strategy, titles, of them written as whole ids
_HEADER: Final = struct.Struct("<BBHH")
_FORMAT: Final = 1
_WHOLE_ID: Final = 0xFFFF_FFFF  # this title's id stands at the end, in order


@dataclass(frozen=True)
class RankedList:
    """n titles, best first; `scores` never rises."""

    strategy: Strategy
    titles: IdArray  # (n,)
    scores: NDArray[np.uint16]  # (n,), steps
    content: NDArray[np.uint16]  # (n,), steps
    collaborative: NDArray[np.uint16]  # (n,), steps
    sources: NDArray[np.uint8]  # (n,), codes of SOURCE_CODE

    def __len__(self) -> int:
        return len(self.titles)

    def __getitem__(self, part: slice | NDArray[np.bool_]) -> RankedList:
        return RankedList(
            self.strategy,
            self.titles[part],
            self.scores[part],
            self.content[part],
            self.collaborative[part],
            self.sources[part],
        )

    def source(self, place: int) -> Source:
        """Where the title in this place came from."""
        return _SOURCES[int(self.sources[place])]


def encode(ranked: RankedList, known: IdIndex | None) -> bytes:
    """The list as bytes. Titles in `known` (a model's) are written as their position there, others as whole ids."""
    n = len(ranked)
    place = known.find(ranked.titles) if known else np.full(n, -1, dtype=np.int64)
    whole = place < 0
    columns = (
        np.where(whole, _WHOLE_ID, place).astype("<u4"),
        ranked.scores.astype("<u2"),
        ranked.content.astype("<u2"),
        ranked.collaborative.astype("<u2"),
        ranked.sources.astype("u1"),
        ranked.titles[whole],
    )
    header = _HEADER.pack(_FORMAT, _STRATEGIES.index(ranked.strategy), n, int(whole.sum()))
    return zlib.compress(header + b"".join(column.tobytes() for column in columns), level=1)


def decode(raw: bytes, known: IdIndex | None) -> RankedList:
    """What `encode` wrote, with the same `known`. Raises ValueError for anything else."""
    try:
        data = zlib.decompress(raw)
        form, strategy, n, whole_ids = _HEADER.unpack_from(data)
    except (zlib.error, struct.error) as error:
        raise ValueError(f"not a ranked list: {error}") from error
    if form != _FORMAT or strategy >= len(_STRATEGIES) or len(data) != _HEADER.size + 11 * n + ID_BYTES * whole_ids:
        raise ValueError("not a ranked list of this format")
    at = _HEADER.size
    columns: list[NDArray[np.uint32]] = []
    for dtype in ("<u4", "<u2", "<u2", "<u2", "u1"):
        column = np.frombuffer(data, dtype=dtype, count=n, offset=at)
        columns.append(column)
        at += column.nbytes
    place, scores, content, collaborative, sources = columns
    whole = place == _WHOLE_ID
    if whole.sum() != whole_ids or sources.max(initial=0) >= len(_SOURCES):
        raise ValueError("a ranked list that does not agree with itself")
    titles = np.empty(n, dtype="S16")
    titles[whole] = id_array(data[at:])
    if not whole.all():
        if known is None or place[~whole].max() >= len(known):
            raise ValueError("a ranked list of another model")
        titles[~whole] = known.ids[place[~whole]]
    return RankedList(
        strategy=_STRATEGIES[strategy],
        titles=titles,
        scores=scores.astype(np.uint16),
        content=content.astype(np.uint16),
        collaborative=collaborative.astype(np.uint16),
        sources=sources.astype(np.uint8),
    )


def encode_many(lists: Sequence[RankedList]) -> bytes:
    """Several lists in one value, titles as whole ids: it needs no model to be read."""
    parts = [encode(ranked, None) for ranked in lists]
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def decode_many(raw: bytes) -> list[RankedList]:
    """What `encode_many` wrote. Raises ValueError for anything else."""
    lists, at = [], 0
    while at < len(raw):
        try:
            (size,) = struct.unpack_from("<I", raw, at)
        except struct.error as error:
            raise ValueError("cut off in a length") from error
        lists.append(decode(raw[at + 4 : at + 4 + size], None))
        at += 4 + size
    return lists
