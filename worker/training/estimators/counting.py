"""Counts of who liked what together, and what before what: made row by row from histories, never held whole."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from shared.compiled import compiled, inlined
from worker.training.interactions import Histories

_BLOCK = 64  # rows that a thread makes at a time

Floats = NDArray[np.float32]
Places = NDArray[np.int32]
_Arrays = tuple[NDArray[Any], ...]  # of Counts, from `starts` to `users`
_Weights = tuple[np.float32, np.float32]  # before, after


@dataclass(frozen=True)
class Counts:
    """C[i, j] = sum over users who liked i and j of Du^-b . R[u, i] . R[u, j] . (after if i came first, else before),
    of n titles; the diagonal is zero.

    With before = after = 1 that is R^T . Du^-b . R; with before = 0 only what came later counts. Every sum runs user by
    user in one order, so a row is the same to the bit whoever makes it, alone or in a block.
    """

    before: float
    after: float
    starts: NDArray[np.int64]  # (users + 1,), where each user's history starts
    titles: Places  # (nnz,), each history from its oldest entry on
    strengths: Floats  # (nnz,)
    damping: Floats  # (users,), Du^-b
    title_starts: NDArray[np.int64]  # (n + 1,)
    entries: NDArray[np.int64]  # (nnz,), title by title: where its entries are in `titles`
    users: Places  # (nnz,), and whose they are

    @classmethod
    def of(cls, histories: Histories, *, user_exponent: float, before: float, after: float) -> Counts:
        """user_exponent: b."""
        matrix = histories.matrix
        starts = matrix.indptr.astype(np.int64)
        in_time = np.repeat(starts[:-1], np.diff(starts)) + histories.places
        titles, strengths = np.empty_like(matrix.indices), np.empty_like(matrix.data)
        titles[in_time], strengths[in_time] = matrix.indices, matrix.data
        by_title = sparse.csr_array((in_time, matrix.indices, matrix.indptr), shape=matrix.shape).tocsc()
        return cls(
            before=before,
            after=after,
            starts=starts,
            titles=titles,
            strengths=strengths,
            damping=(histories.user_degree**-user_exponent).astype(np.float32),
            title_starts=by_title.indptr.astype(np.int64),
            entries=by_title.data,
            users=by_title.indices.astype(np.int32),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return len(self.title_starts) - 1, len(self.title_starts) - 1

    def dense(self, *, threads: int) -> Floats:
        """The whole of C, (n, n), float32."""
        counts = np.zeros(self.shape, dtype=np.float32)

        def fill(rows: slice) -> None:
            _count_rows(rows.start, self._arrays, self._weights, counts[rows])

        _each(fill, slice(0, len(counts)), threads)
        return counts

    def diagonal(self) -> Floats:
        """What the diagonal would be: sum over users of Du^-b . R[u, i]^2. Shape (n,), float32."""
        squares = np.repeat(self.damping, np.diff(self.starts)) * self.strengths.astype(np.float64) ** 2
        return np.bincount(self.titles, weights=squares, minlength=self.shape[0]).astype(np.float32)

    def strongest(self, rows: slice, *, of_row: Floats, of_column: Floats, most: int, threads: int) -> sparse.csr_array:
        """Rows of diag(of_row) . C . diag(of_column), each cut to its `most` largest (ties: the smaller column), in
        order of column; (rows, n), float32. of_row, of_column: (n,), above zero."""
        height, most = rows.stop - rows.start, min(most, max(1, self.shape[1] - 1))
        columns, weights = np.empty((height, most), dtype=np.int32), np.empty((height, most), dtype=np.float32)
        found = np.zeros(height, dtype=np.int64)

        def fill(part: slice) -> None:
            here = slice(part.start - rows.start, part.stop - rows.start)
            out = (columns[here], weights[here], found[here])
            _cut_rows(part.start, self._arrays, self._weights, of_row, of_column, out)

        _each(fill, rows, threads)
        kept = np.arange(most) < found[:, None]
        starts = np.concatenate([[0], np.cumsum(found)])
        return sparse.csr_array((weights[kept], columns[kept], starts), shape=(height, self.shape[1]))

    @property
    def _arrays(self) -> _Arrays:
        return (
            self.starts, self.titles, self.strengths, self.damping, self.title_starts, self.entries, self.users
        )  # fmt: skip

    @property
    def _weights(self) -> _Weights:
        return np.float32(self.before), np.float32(self.after)


def _each(work: Callable[[slice], None], rows: slice, threads: int) -> None:
    """Call `work` with blocks of rows, in threads."""
    blocks = [slice(start, min(start + _BLOCK, rows.stop)) for start in range(rows.start, rows.stop, _BLOCK)]
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, blocks):
            pass


@inlined
def _count_row(title: int, arrays: _Arrays, weights: _Weights, counts: Floats) -> None:
    """Add a row of C to `counts`, (n,)."""
    starts, titles, strengths, damping, title_starts, entries, users = arrays
    before, after = weights
    for place in range(title_starts[title], title_starts[title + 1]):
        entry, user = entries[place], users[place]
        strength = damping[user] * strengths[entry]
        if before != 0:
            for other in range(starts[user], entry):
                counts[titles[other]] += before * strength * strengths[other]
        if after != 0:
            for other in range(entry + 1, starts[user + 1]):
                counts[titles[other]] += after * strength * strengths[other]


@compiled
def _count_rows(first: int, arrays: _Arrays, weights: _Weights, out: Floats) -> None:
    """Add the rows of C from `first` on to `out`, (k, n)."""
    for row in range(len(out)):
        _count_row(first + row, arrays, weights, out[row])


@compiled
def _cut_rows(
    first: int,
    arrays: _Arrays,
    weights: _Weights,
    of_row: Floats,
    of_column: Floats,
    out: tuple[Places, Floats, NDArray[np.int64]],
) -> None:
    """Write the largest of each row from `first` on to `out`: columns and weights, (k, most), and how many, (k,)."""
    columns, values, found = out
    most, size = columns.shape[1], len(of_column)
    counts = np.zeros(size, dtype=np.float32)
    known, scores = np.empty(size, dtype=np.int32), np.empty(size, dtype=np.float32)
    for row in range(len(columns)):
        title = first + row
        _count_row(title, arrays, weights, counts)
        length = 0
        for column in range(size):
            score = of_row[title] * counts[column] * of_column[column]
            if score > 0:
                known[length], scores[length] = column, score
                length += 1
            counts[column] = 0
        least, ties = np.float32(0), length
        if length > most:
            least = np.partition(scores[:length], length - most)[length - most]
            ties = most
            for place in range(length):
                ties -= scores[place] > least
        kept = 0
        for place in range(length):
            if scores[place] > least or (scores[place] == least and ties > 0):
                ties -= scores[place] == least
                columns[row, kept], values[row, kept] = known[place], scores[place]
                kept += 1
        found[row] = kept
