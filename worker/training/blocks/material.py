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
from pydantic import BaseModel, ConfigDict, Field
from scipy import sparse

from shared.arrays import mapped, taken
from shared.model import checksum
from worker.training.estimators.counting import Counts
from worker.training.estimators.rows import Rows

ARRAYS: Final[dict[str, np.dtype[Any]]] = {
    "starts": np.dtype("<i8"), "titles": np.dtype("<i4"), "strengths": np.dtype("<f4"), "damping": np.dtype("<f4"),
    "title_starts": np.dtype("<i8"), "entries": np.dtype("<i8"), "users": np.dtype("<i4"),  # of Counts
    "of_row": np.dtype("<f4"), "of_column": np.dtype("<f4"),  # of Rows
}  # fmt: skip
_OF_COUNTS: Final = tuple(ARRAYS)[:7]
_OF_BLOCK: Final = ("<i4", "<i4", "<f4")  # lengths of rows, columns, weights
_DIGEST: Final = hashlib.sha256().digest_size


class Manifest(BaseModel):
    """What there is besides the arrays."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    block_titles: int = Field(ge=1)  # rows of a block; the last one may have fewer
    before: float
    after: float
    most: int = Field(ge=1, le=10_000)
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
        return self.rows.block(slice(start, start + self.height(number)), threads=threads)

    def height(self, number: int) -> int:
        """How many rows a block has."""
        return min(self.block_titles, len(self.rows) - number * self.block_titles)


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
        arrays[name] = np.asarray(mapped(path, "c"))
        if arrays[name].dtype != dtype:
            raise ValueError(f"{path} holds {arrays[name].dtype}, not {dtype}")
    _check(**arrays)
    counts = Counts(before=manifest.before, after=manifest.after, **{name: arrays[name] for name in _OF_COUNTS})
    return Material(Rows(counts, arrays["of_row"], arrays["of_column"], manifest.most), manifest.block_titles)


def _check(
    *,
    starts: NDArray[Any],
    titles: NDArray[Any],
    strengths: NDArray[Any],
    damping: NDArray[Any],
    title_starts: NDArray[Any],
    entries: NDArray[Any],
    users: NDArray[Any],
    of_row: NDArray[Any],
    of_column: NDArray[Any],
) -> None:
    """Raises ValueError unless every place is within what it is a place in: the compiled loops do not look."""
    held = len(titles)
    sound = (
        len(strengths) == len(entries) == len(users) == held
        and len(starts) == len(damping) + 1
        and len(title_starts) == len(of_row) + 1 == len(of_column) + 1
        and all(a[0] == 0 and a[-1] == held and (np.diff(a) >= 0).all() for a in (starts, title_starts))
        and all(
            held == 0 or (a.min() >= 0 and a.max() < most)
            for a, most in ((titles, len(of_row)), (entries, held), (users, len(damping)))
        )
    )
    if not sound:
        raise ValueError("what rows are made from does not go together")


def packed(rows: sparse.csr_array) -> bytes:
    """A block's rows as one file: a SHA-256 of what follows, then lengths of rows, columns and weights as .npy."""
    file = BytesIO()
    for array, dtype in zip((np.diff(rows.indptr), rows.indices, rows.data), _OF_BLOCK, strict=True):
        np.save(file, array.astype(dtype, copy=False), allow_pickle=False)
    content = file.getvalue()
    return hashlib.sha256(content).digest() + content


def unpacked(raw: bytes, shape: tuple[int, int]) -> sparse.csr_array:
    """The rows in such a file, of this shape. Raises ValueError when it is damaged, or holds what no block does."""
    digest, content = raw[:_DIGEST], raw[_DIGEST:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("a block's rows are not what was written")
    file = BytesIO(content)
    lengths, columns, weights = (taken(file, np.dtype(form)) for form in _OF_BLOCK)
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    rows = sparse.csr_array((weights, columns, starts), shape=shape)
    rows.check_format(full_check=True)  # else places outside of it would be written to
    if not np.isfinite(weights).all():
        raise ValueError("a weight is not a number")
    return rows
