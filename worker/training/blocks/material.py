"""What rows of S are made from and what came out, as files: plain arrays with checksums; nothing is ever pickled.

Histories are there as places of titles and users in arrays that are not: nobody's id is in these files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import sparse

from shared.model import checksum
from worker.training.estimators.counting import Counts
from worker.training.estimators.rows import Rows

ARRAYS: Final[dict[str, np.dtype[Any]]] = {
    "starts": np.dtype("<i8"), "titles": np.dtype("<i4"), "strengths": np.dtype("<f4"), "damping": np.dtype("<f4"),
    "title_starts": np.dtype("<i8"), "entries": np.dtype("<i8"), "users": np.dtype("<i4"),  # of Counts
    "of_row": np.dtype("<f4"), "of_column": np.dtype("<f4"),  # of Rows
}  # fmt: skip
_OF_COUNTS: Final = tuple(ARRAYS)[:7]
_DIGEST: Final = hashlib.sha256().digest_size


class Manifest(BaseModel):
    """What there is besides the arrays."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    block_titles: int  # rows of a block; the last one may have fewer
    before: float
    after: float
    most: int
    checksums: dict[str, str]  # array name -> SHA-256 of its file


@dataclass(frozen=True)
class Material:
    """What the blocks of one training are made from."""

    rows: Rows
    block_titles: int

    @property
    def blocks(self) -> int:
        """How many there are."""
        return -(-len(self.rows) // self.block_titles)

    def block(self, number: int, *, threads: int) -> sparse.csr_array:
        """The rows of a block, (k, n)."""
        start = number * self.block_titles
        return self.rows.block(slice(start, min(start + self.block_titles, len(self.rows))), threads=threads)


def write(folder: Path, material: Material) -> Manifest:
    """Write the arrays into a folder of this host. Raises OSError."""
    rows, counts = material.rows, material.rows.counts
    for name, dtype in ARRAYS.items():
        array: NDArray[Any] = getattr(counts if name in _OF_COUNTS else rows, name)
        np.save(folder / f"{name}.npy", np.ascontiguousarray(array, dtype=dtype), allow_pickle=False)
    return Manifest(
        block_titles=material.block_titles,
        before=counts.before,
        after=counts.after,
        most=rows.most,
        checksums={name: checksum(folder / f"{name}.npy") for name in ARRAYS},
    )


def read(folder: Path, manifest: Manifest) -> Material:
    """Map the arrays in a folder. Raises ValueError when one is not what was written, FileNotFoundError, OSError."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, dtype in ARRAYS.items():
        path = folder / f"{name}.npy"
        if checksum(path) != manifest.checksums.get(name):
            raise ValueError(f"{path} is not what was written")
        # Copies are made of pages that are written to, which none is. To the compiled loops the arrays are then like
        # any others; what is mapped read-only is another type, for which everything would be compiled once more.
        arrays[name] = np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
        if arrays[name].dtype != dtype:
            raise ValueError(f"{path} holds {arrays[name].dtype}, not {dtype}")
    counts = Counts(before=manifest.before, after=manifest.after, **{name: arrays[name] for name in _OF_COUNTS})
    return Material(Rows(counts, arrays["of_row"], arrays["of_column"], manifest.most), manifest.block_titles)


def packed(rows: sparse.csr_array) -> bytes:
    """A block's rows as one file: a SHA-256 of what follows, then lengths of rows, columns and weights as .npy."""
    file = BytesIO()
    for array, dtype in ((np.diff(rows.indptr), "<i4"), (rows.indices, "<i4"), (rows.data, "<f4")):
        np.save(file, array.astype(dtype, copy=False), allow_pickle=False)
    content = file.getvalue()
    return hashlib.sha256(content).digest() + content


def unpacked(raw: bytes, titles: int) -> sparse.csr_array:
    """The rows in such a file, (k, titles). Raises ValueError when it is damaged."""
    digest, content = raw[:_DIGEST], raw[_DIGEST:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("a block's rows are not what was written")
    file = BytesIO(content)
    lengths, columns, weights = (np.load(file, allow_pickle=False) for _ in range(3))
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return sparse.csr_array((weights, columns, starts), shape=(len(lengths), titles))
