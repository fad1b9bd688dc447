"""Rows of the table `interaction` in little memory: ids as places in arrays of distinct ids."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shared.ids import IdArray
from shared.interactions import InteractionRows

Codes = NDArray[np.int32]

_COLUMNS = {"users": "i4", "titles": "i4", "kinds": "i1", "times": "i8", "rows": "i8", "values": "f4"}


@dataclass(frozen=True)
class CodedRows:
    """n rows, 29 bytes each. Every id has a row."""

    user_ids: IdArray  # (u,), sorted, distinct
    title_ids: IdArray  # (t,), sorted, distinct
    users: Codes  # (n,), places in user_ids
    titles: Codes  # (n,), places in title_ids
    kinds: NDArray[np.int8]  # (n,), as in shared/interactions.py, like what follows
    times: NDArray[np.int64]  # (n,)
    rows: NDArray[np.int64]  # (n,)
    values: NDArray[np.float32]  # (n,)

    @classmethod
    def of(cls, found: InteractionRows) -> CodedRows:
        """The same rows."""
        user_ids, users = dense(found.users)
        title_ids, titles = dense(found.titles)
        return cls(user_ids, title_ids, users, titles, found.kinds, found.times, found.rows, found.values)

    def part(self, kept: NDArray[np.bool_]) -> CodedRows:
        """The rows where `kept`, shape (n,), is true."""
        parts = Parts()
        parts.add(self, kept)
        return parts.joined()

    def __len__(self) -> int:
        return len(self.users)


class Parts:
    """Rows that come in parts. Each column grows in place: nothing is there twice."""

    def __init__(self) -> None:
        self._ids: dict[str, list[IdArray]] = {"users": [], "titles": []}
        self._columns = {name: np.empty(0, dtype=dtype) for name, dtype in _COLUMNS.items()}
        self._starts = [0]  # of the parts, and the end

    def add(self, rows: CodedRows, kept: NDArray[np.bool_] | slice = slice(None)) -> None:
        """Take these rows, or those of them where `kept` is true."""
        columns = {name: getattr(rows, name)[kept] for name in _COLUMNS}
        for name, ids in (("users", rows.user_ids), ("titles", rows.title_ids)):
            used = np.zeros(len(ids), dtype=np.bool_)
            used[columns[name]] = True
            columns[name] = (np.cumsum(used, dtype=np.int32) - np.int32(1))[columns[name]]
            self._ids[name].append(ids[used])
        start, end = self._starts[-1], self._starts[-1] + len(columns["rows"])
        if end > len(self._columns["rows"]):
            self._resize(end + end // 2)
        for name, column in columns.items():
            self._columns[name][start:end] = column
        self._starts.append(end)

    def joined(self) -> CodedRows:
        """All of them, once."""
        self._resize(self._starts[-1])
        user_ids, title_ids = self._merged("users"), self._merged("titles")
        columns, self._columns = self._columns, {}  # they go with the rows, whoever still holds this
        return CodedRows(user_ids=user_ids, title_ids=title_ids, **columns)

    def _resize(self, length: int) -> None:
        for column in self._columns.values():
            column.resize(length, refcheck=False)  # large ones are not copied; what is not written yet takes no memory

    def _merged(self, name: str) -> IdArray:
        """The distinct ids of all parts; the column speaks of places in these from now on."""
        ids, places = dense(np.concatenate(self._ids.pop(name)))
        first = 0
        for start, end in pairwise(self._starts):
            part = self._columns[name][start:end]
            count = int(part.max(initial=-1)) + 1  # each of a part's ids has a row
            part[:] = places[first : first + count][part]
            first += count
        return ids


def dense(ids: IdArray) -> tuple[IdArray, Codes]:
    """Sorted distinct ids, and each id's place among them: as np.unique, but by hashing, five times as fast."""
    if not len(ids):
        return ids, np.empty(0, dtype=np.int32)
    array = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(ids), [None, pa.py_buffer(ids)])
    encoded = pc.dictionary_encode(array, memory_pool=pa.system_memory_pool())  # its own would keep what it had
    distinct = np.frombuffer(encoded.dictionary.buffers()[1], dtype="S16", count=len(encoded.dictionary))
    order = np.argsort(distinct)
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return distinct[order], place[encoded.indices.to_numpy()]
