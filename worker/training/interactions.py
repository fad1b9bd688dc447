"""engagement_db as a sparse matrix: read by binary COPY, settled by the same rules as a live history."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from shared.errors import DatabaseUnavailable
from shared.ids import IdArray, IndexArray
from shared.interactions import UNKNOWN_TIME, InteractionRows, settle
from shared.repositories.engagement import EngagementRepository

_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0"
_HEADER_BYTES: Final = len(_SIGNATURE) + 8  # flags, and the length of an extension, which is 0
_TRAILER: Final = struct.pack(">h", -1)

# A tuple of PostgreSQL's binary COPY: the number of fields, then each field's length and value. No field is NULL, so
# every tuple has the same width and the whole stream is one array.
_TUPLE: Final = np.dtype(
    [
        ("fields", ">i2"),
        ("user_bytes", ">i4"), ("user", "S16"),
        ("title_bytes", ">i4"), ("title", "S16"),
        ("kind_bytes", ">i4"), ("kind", ">i2"),
        ("time_bytes", ">i4"), ("time", ">i8"),
        ("row_bytes", ">i4"), ("row", ">i8"),
    ]
)  # fmt: skip
_FIELDS: Final = 5
_BLOCK_BYTES: Final = 1 << 24
_MICROSECONDS_PER_DAY: Final = 86_400_000_000


@dataclass(frozen=True)
class Positives:
    """Who likes what: R, and when."""

    matrix: sparse.csr_array  # (users, titles), float32, 1 where a user likes or watched a title
    times: NDArray[np.int64]  # (nnz,), microseconds since 2000-01-01; UNKNOWN_TIME where it is not known
    titles: IdArray  # (titles,), sorted, distinct

    def popularity(self, *, half_life_days: float, now: int) -> NDArray[np.float32]:
        """Shape (titles,): sum over the users who like a title of 2^(-age / half-life).

        Age counts from the newest interaction that is not after `now` (microseconds since 2000-01-01); an unknown age
        is that of the oldest. The same formula as EngagementRepository.popularity.
        """
        known = self.times[(self.times > UNKNOWN_TIME) & (self.times <= now)]
        newest, oldest = (int(known.max()), int(known.min())) if len(known) else (0, 0)
        times = np.clip(self.times, oldest, newest)
        weights = np.exp2((times - newest) / (half_life_days * _MICROSECONDS_PER_DAY))
        return np.bincount(self.matrix.indices, weights=weights, minlength=len(self.titles)).astype(np.float32)


def read_positives(engagement: EngagementRepository) -> Positives:
    """Every user's positive titles. Raises DatabaseUnavailable, also for rows that are not what was asked for."""
    reader = CopyReader()
    try:
        engagement.copy_all(reader)
        rows = reader.rows()
    except ValueError as error:
        raise DatabaseUnavailable("engagement_db", str(error)) from error
    return positives(rows)


class CopyReader:
    """Takes what EngagementRepository.copy_all sends, and keeps it as columns: 49 bytes a row instead of 72."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._started = False
        self._blocks: list[InteractionRows] = []

    def write(self, data: bytes, /) -> None:
        """Take the next piece of the stream. Raises ValueError when it is not what copy_all sends."""
        self._pending += data
        if len(self._pending) >= _BLOCK_BYTES:
            self._parse()

    def rows(self) -> InteractionRows:
        """All rows, once the stream has ended. Raises ValueError when it ended too early."""
        self._parse()
        if self._pending != _TRAILER:
            raise ValueError("the binary COPY ended too early")
        return InteractionRows.joined(self._blocks)

    def _parse(self) -> None:
        if not self._started:
            if not self._pending.startswith(_SIGNATURE):
                raise ValueError("not a binary COPY")
            del self._pending[:_HEADER_BYTES]
            self._started = True
        count = len(self._pending) // _TUPLE.itemsize
        tuples = np.frombuffer(bytes(self._pending[: count * _TUPLE.itemsize]), dtype=_TUPLE)
        if not (tuples["fields"] == _FIELDS).all():
            raise ValueError("rows of unexpected width")
        self._blocks.append(InteractionRows.from_records(tuples))
        del self._pending[: count * _TUPLE.itemsize]


def positives(rows: InteractionRows) -> Positives:
    """Settle the rows and keep what users like."""
    user_ids, users = _dense(rows.users)
    title_ids, titles = _dense(rows.titles)
    pairs = settle(users, titles, rows.kinds, rows.times, rows.rows)
    users, titles = pairs.users[pairs.positive], pairs.titles[pairs.positive]
    liked, columns = np.unique(titles, return_inverse=True)  # titles that nobody likes are left out
    starts = np.searchsorted(users, np.arange(len(user_ids) + 1))
    matrix = sparse.csr_array(
        (np.ones(len(users), dtype=np.float32), columns.astype(np.int32), starts.astype(np.int32)),
        shape=(len(user_ids), len(liked)),
    )
    return Positives(matrix=matrix, times=pairs.times[pairs.positive], titles=title_ids[liked])


def _dense(ids: IdArray) -> tuple[IdArray, IndexArray]:
    """Sorted distinct ids, and each id's place among them: as np.unique, but by hashing, five times as fast."""
    if not len(ids):
        return ids, np.empty(0, dtype=np.int64)
    array = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(ids), [None, pa.py_buffer(ids)])
    encoded = array.dictionary_encode()
    distinct = np.frombuffer(encoded.dictionary.buffers()[1], dtype="S16", count=len(encoded.dictionary))
    order = np.argsort(distinct)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return distinct[order], place[encoded.indices.to_numpy()]
