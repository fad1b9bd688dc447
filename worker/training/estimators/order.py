"""Who liked what before what, as one sparse product."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from worker.training.interactions import Histories


def precedence(histories: Histories, *, user_exponent: float) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """A and B, float32, with the same number of rows and a column per title, so that A^T . B = F, where

        F[i, j] = sum over users who liked i before j of Du^-b . R[u, i] . R[u, j]

    Every pair of a history's places first differs in one binary digit, counted from the highest. So for each digit a
    history falls into blocks whose places agree above it; a row per block, entries with the digit 0 in A and with 1 in
    B, meets every pair exactly once. A user's n entries are in at most log2(n) rows each, where a row per pair would
    make n^2 of them.
    """
    matrix = histories.matrix
    length = np.diff(matrix.indptr)
    user = np.repeat(np.arange(len(length)), length)
    in_time = np.empty(matrix.nnz, dtype=np.int64)
    in_time[matrix.indptr[user] + histories.places] = np.arange(matrix.nnz)
    title, strength = matrix.indices[in_time], matrix.data[in_time]  # user by user, oldest first
    place = (np.arange(matrix.nnz) - matrix.indptr[user]).astype(np.int32)
    damped = (strength * histories.user_degree[user] ** -user_exponent).astype(np.float32)

    earlier, later = _Rows(), _Rows()
    rows = 0
    for digit in range(int(length.max(initial=1) - 1).bit_length()):
        block = place >> (digit + 1)
        # A block without a second half has no pair that differs here.
        paired = np.flatnonzero((block << (digit + 1)) + (1 << digit) < length[user])
        begins = np.ones(len(paired), dtype=np.bool_)
        begins[1:] = (np.diff(user[paired]) != 0) | (np.diff(block[paired]) != 0)
        row = rows + np.cumsum(begins) - 1
        second = (place[paired] >> digit & 1).astype(np.bool_)
        earlier.add(row[~second], title[paired[~second]], damped[paired[~second]])
        later.add(row[second], title[paired[second]], strength[paired[second]])
        rows += int(begins.sum())
    shape = (rows, matrix.shape[1])
    return earlier.matrix(shape), later.matrix(shape)


class _Rows:
    """Entries of a sparse matrix, in order of row."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.int64]] = []
        self._columns: list[NDArray[np.int32]] = []
        self._data: list[NDArray[np.float32]] = []

    def add(self, rows: NDArray[np.int64], columns: NDArray[np.int32], data: NDArray[np.float32]) -> None:
        self._rows.append(rows)
        self._columns.append(columns)
        self._data.append(data)

    def matrix(self, shape: tuple[int, int]) -> sparse.csr_matrix:
        if not self._rows:
            return sparse.csr_matrix(np.empty(shape, dtype=np.float32))
        counts = np.bincount(np.concatenate(self._rows), minlength=shape[0])
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return sparse.csr_matrix((np.concatenate(self._data), np.concatenate(self._columns), starts), shape=shape)
