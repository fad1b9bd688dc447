"""engagement_db's interactions as columns, read by binary COPY."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from shared.errors import DatabaseUnavailable
from shared.interactions import InteractionRows
from shared.repositories.engagement import EngagementRepository
from worker.training.coded_rows import CodedRows, Parts
from worker.training.freed import give_back

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
        ("value_bytes", ">i4"), ("value", ">f8"),
    ]
)  # fmt: skip
_FIELDS: Final = 6
_BLOCK_BYTES: Final = 1 << 24


def read_interactions(engagement: EngagementRepository, *, after: int | None = None) -> CodedRows:
    """Every interaction, or those whose id is above `after`.

    Raises DatabaseUnavailable, also for rows that are not what was asked for.
    """
    reader = CopyReader()
    try:
        engagement.copy(reader, after=after)
        return reader.rows()
    except ValueError as error:
        raise DatabaseUnavailable("engagement_db", str(error)) from error


class CopyReader:
    """Takes what EngagementRepository.copy sends, and keeps it as columns: 29 bytes a row instead of 84."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._started = False
        self._parts = Parts()

    def write(self, data: bytes, /) -> None:
        """Take the next piece of the stream. Raises ValueError when it is not what copy sends."""
        self._pending += data
        if len(self._pending) >= _BLOCK_BYTES:
            self._parse()

    def rows(self) -> CodedRows:
        """All rows, once the stream has ended. Raises ValueError when it ended too early."""
        self._parse()
        if self._pending != _TRAILER:
            raise ValueError("the binary COPY ended too early")
        rows = self._parts.joined()
        give_back()  # each part had ids of its own
        return rows

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
        self._parts.add(CodedRows.of(InteractionRows.from_records(tuples)))
        del self._pending[: count * _TUPLE.itemsize]
