"""The strongest of each row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

BYTES = 64  # that an entry takes while rows are cut


def strongest(product: sparse.csr_matrix, most: int) -> sparse.csr_array:
    """Each row without its diagonal, cut to its `most` largest magnitudes (ties: the smaller column), in order of
    column. product: (n, n), float32, rows in any order."""
    rows = np.repeat(np.arange(product.shape[0]), np.diff(product.indptr))
    kept = (product.indices != rows) & (product.data != 0)
    rows, columns, weights = rows[kept], product.indices[kept], product.data[kept]
    order = np.lexsort((columns, -np.abs(weights), rows))
    rows, columns, weights = rows[order], columns[order], weights[order]
    kept = np.arange(len(rows)) - np.searchsorted(rows, rows) < most
    cut = sparse.csr_array((weights[kept], (rows[kept], columns[kept])), shape=product.shape)
    cut.sort_indices()
    return cut


def strongest_of_block(block: NDArray[np.float32], most: int) -> sparse.csr_matrix:
    """Each row of a dense (k, n) block, cut to its `most` largest magnitudes, as a sparse one."""
    rows, titles = block.shape
    if titles <= most:
        return sparse.csr_matrix(block)
    columns = np.argpartition(-np.abs(block), most - 1, axis=1)[:, :most]
    weights = np.take_along_axis(block, columns, axis=1)
    starts = np.arange(0, rows * most + 1, most)
    return sparse.csr_matrix((weights.ravel(), columns.ravel(), starts), shape=block.shape)
