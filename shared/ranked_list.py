"""One user's ranked titles, and their compact form for Redis.

Scores are fixed point, in steps of 1/10,000: a list read back is equal to the list written, and a user's 200 titles
take less than 4 KB.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.ids import ID_BYTES, IdArray, IdIndex, id_array
from shared.media import Kind, Source, Strategy

STEPS: Final = 10_000  # of a score
CAUSES: Final = 3  # titles of the history that are named for a title

_STRATEGIES: Final = tuple(Strategy)
_SOURCES: Final = tuple(Source)
SOURCE_CODE: Final = {source: code for code, source in enumerate(_SOURCES)}

# format, strategy, exhausted, bytes of genres, titles, titles of the history, of both written as whole ids
_HEADER: Final = struct.Struct("<BB?IHHH")
_FORMAT: Final = 2
_WHOLE_ID: Final = 0xFFFF_FFFF  # this title's id stands at the end, in order


@dataclass(frozen=True)
class Causes:
    """What of a user's history n titles are there for."""

    history: IdArray  # (h,), titles of the history
    kinds: NDArray[np.uint8]  # (h,), values of shared.media.Kind
    places: NDArray[np.uint16]  # (n, CAUSES), 1 + a place in `history`, the largest share first; 0: no more
    shares: NDArray[np.uint16]  # (n, CAUSES), steps of the collaborative score that are owed to it

    @classmethod
    def none(cls, n: int) -> Causes:
        """Nothing is said of n titles."""
        empty = np.zeros((n, CAUSES), dtype=np.uint16)
        return cls(id_array(b""), np.empty(0, dtype=np.uint8), empty, empty)

    def part(self, part: slice | NDArray[np.bool_]) -> Causes:
        """Of some of the titles."""
        return replace(self, places=self.places[part], shares=self.shares[part])


@dataclass(frozen=True)
class RankedList:
    """n titles, best first. `scores` never rises, unless variety was asked for."""

    strategy: Strategy
    titles: IdArray  # (n,)
    scores: NDArray[np.uint16]  # (n,), steps
    content: NDArray[np.uint16]  # (n,), steps
    collaborative: NDArray[np.uint16]  # (n,), steps
    sources: NDArray[np.uint8]  # (n,), codes of SOURCE_CODE
    causes: Causes
    genres: frozenset[str]  # keys that content was scored by
    exhausted: bool  # the catalogue has no more titles for this list

    def __len__(self) -> int:
        return len(self.titles)

    def part(self, part: slice | NDArray[np.bool_]) -> RankedList:
        """Some of the titles."""
        return replace(
            self,
            titles=self.titles[part],
            scores=self.scores[part],
            content=self.content[part],
            collaborative=self.collaborative[part],
            sources=self.sources[part],
            causes=self.causes.part(part),
        )

    def first(self, most: int) -> RankedList:
        """The list as if it had been made no longer than this."""
        return replace(self.part(slice(most)), exhausted=self.exhausted and len(self) <= most)

    def source(self, place: int) -> Source:
        """Where the title in this place came from."""
        return _SOURCES[int(self.sources[place])]


def encode(ranked: RankedList, known: IdIndex | None) -> bytes:
    """The list as bytes. Titles in `known` (a model's) are written as their position there, others as whole ids."""
    named = np.zeros(len(ranked.causes.history) + 1, dtype=np.bool_)
    named[ranked.causes.places] = True
    named[0] = False  # no title
    kept = np.flatnonzero(named) - 1  # titles of the history that still are a cause of something
    places = np.cumsum(named)[ranked.causes.places]
    ids = np.concatenate([ranked.titles, ranked.causes.history[kept]])
    place = known.find(ids) if known else np.full(len(ids), -1, dtype=np.int64)
    whole = place < 0
    columns = (
        np.where(whole, _WHOLE_ID, place).astype("<u4"),
        ranked.scores.astype("<u2"),
        ranked.content.astype("<u2"),
        ranked.collaborative.astype("<u2"),
        places.astype("<u2"),
        ranked.causes.shares.astype("<u2"),
        ranked.sources.astype("u1"),
        ranked.causes.kinds[kept].astype("u1"),
        ids[whole],
    )
    genres = "\n".join(sorted(ranked.genres)).encode()
    header = _HEADER.pack(
        _FORMAT,
        _STRATEGIES.index(ranked.strategy),
        ranked.exhausted,
        len(genres),
        len(ranked),
        len(kept),
        int(whole.sum()),
    )
    return zlib.compress(header + genres + b"".join(column.tobytes() for column in columns), level=1)


def decode(raw: bytes, known: IdIndex | None) -> RankedList:
    """What `encode` wrote, with the same `known`. Raises ValueError for anything else."""
    try:
        data = zlib.decompress(raw)
        form, strategy, exhausted, genre_bytes, n, h, whole_ids = _HEADER.unpack_from(data)
    except (zlib.error, struct.error) as error:
        raise ValueError(f"not a ranked list: {error}") from error
    size = _HEADER.size + genre_bytes + n * (11 + 4 * CAUSES) + 5 * h + ID_BYTES * whole_ids
    if form != _FORMAT or strategy >= len(_STRATEGIES) or len(data) != size:
        raise ValueError("not a ranked list of this format")
    at = _HEADER.size
    genres = data[at : at + genre_bytes].decode()
    at += genre_bytes
    columns: list[NDArray[np.uint32]] = []
    for dtype, count in (
        ("<u4", n + h),
        ("<u2", n),
        ("<u2", n),
        ("<u2", n),
        ("<u2", n * CAUSES),
        ("<u2", n * CAUSES),
        ("u1", n),
        ("u1", h),
    ):
        column = np.frombuffer(data, dtype=dtype, count=count, offset=at)
        columns.append(column)
        at += column.nbytes
    place, scores, content, collaborative, causes, shares, sources, kinds = columns
    whole = place == _WHOLE_ID
    codes_known = sources.max(initial=0) < len(_SOURCES) and kinds.max(initial=0) < len(Kind)
    if whole.sum() != whole_ids or not codes_known or causes.max(initial=0) > h:
        raise ValueError("a ranked list that does not agree with itself")
    ids = np.empty(n + h, dtype="S16")
    ids[whole] = id_array(data[at:])
    if not whole.all():
        if known is None or place[~whole].max() >= len(known):
            raise ValueError("a ranked list of another model")
        ids[~whole] = known.ids[place[~whole]]
    return RankedList(
        strategy=_STRATEGIES[strategy],
        titles=ids[:n],
        scores=scores.astype(np.uint16),
        content=content.astype(np.uint16),
        collaborative=collaborative.astype(np.uint16),
        sources=sources.astype(np.uint8),
        causes=Causes(
            history=ids[n:],
            kinds=kinds.astype(np.uint8),
            places=causes.astype(np.uint16).reshape(n, CAUSES),
            shares=shares.astype(np.uint16).reshape(n, CAUSES),
        ),
        genres=frozenset(genres.split("\n")) - {""},
        exhausted=exhausted,
    )


def encode_many(lists: Sequence[RankedList]) -> bytes:
    """Several lists in one value with the ids of their titles, each once: it needs no model to be read."""
    ids = np.unique(np.concatenate([id_array(b""), *(i for one in lists for i in (one.titles, one.causes.history))]))
    known = IdIndex(ids)
    parts = [encode(ranked, known) for ranked in lists]
    head = struct.pack("<I", len(ids)) + ids.tobytes()
    return head + b"".join(struct.pack("<I", len(part)) + part for part in parts)


def decode_many(raw: bytes) -> list[RankedList]:
    """What `encode_many` wrote. Raises ValueError for anything else."""
    try:
        (count,) = struct.unpack_from("<I", raw)
        at = 4 + ID_BYTES * count
        known = IdIndex(id_array(raw[4:at]))
        lists = []
        while at < len(raw):
            (size,) = struct.unpack_from("<I", raw, at)
            lists.append(decode(raw[at + 4 : at + 4 + size], known))
            at += 4 + size
    except struct.error as error:
        raise ValueError("cut off in a length") from error
    return lists
