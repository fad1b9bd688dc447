"""What a version of the neighbour model is: a manifest and plain arrays, verified, then mapped read-only.

    <version>/manifest.json      what it is, what it was trained on, a checksum per file
    <version>/*.npy              titles, popularity, and the neighbours S as a sparse matrix by rows

S has a row per title of a history and a column per title recommended. Its columns take two bytes each where these are
enough: the scorer reads less, and a version of an older release, with four, serves as well. Nothing is ever pickled.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from shared.arrays import mapped
from shared.catalogue import Popularity
from shared.errors import ModelRejected
from shared.ids import IdIndex, IndexArray, Places
from shared.plain_files import open_plain

if TYPE_CHECKING:
    from scipy import sparse

WIDE: Final = np.dtype("<i4")
NARROW: Final = np.dtype("<u2")
ARRAYS: Final = {
    "titles": np.dtype("S16"),  # (n,), sorted, distinct
    "popularity": np.dtype("<f4"),  # (n,)
    "starts": np.dtype("<i4"),  # (n + 1,), where each row of S starts
    "columns": WIDE,  # (nnz,), or NARROW: see array_types
    "weights": np.dtype("<f4"),  # (nnz,)
}
_MOST_RECENCY: Final = 100  # far more than is of use; the scorer's arithmetic bears it
_MOST_NARROW: Final = 1 << 16  # titles whose places are written in two bytes


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)  # JSON knows neither


class Interval(_Record):
    """A figure and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


class Trial(_Record):
    """One setting that was tried, and how well it did."""

    estimator: str
    parameters: dict[str, float | int]
    value: float
    seconds: float


class Evidence(_Record):
    """How well a model did on interactions that were held out."""

    split: str  # how they were chosen
    metric: str
    users: int
    seed: int
    accuracy: Interval
    trials: tuple[Trial, ...]
    skipped: tuple[str, ...]


class Description(_Record):
    """What training says of a model."""

    estimator: str
    parameters: dict[str, float | int]
    recency: float = Field(0.0, ge=0, le=_MOST_RECENCY)  # exponent by which the scorer lets older history count less
    users: int
    interactions: int
    watermark: int | None = None  # the highest interaction id that was read
    read_all_at: datetime | None = None  # when every interaction was read last; since then only newer ones
    evidence: Evidence | None = None


class Manifest(Description):
    """What a version is and where it comes from."""

    version: str
    created_at: datetime
    titles: int
    neighbours: int
    reach: int | None = None  # titles that some other title recommends; None in a version of an older release
    bytes: int | None = None  # of all its arrays' files; as above
    checksums: dict[str, str]  # array name -> SHA-256 of its file


class Refusal(_Record):
    """A model that was trained and not made current."""

    at: datetime
    reason: str
    description: Description


@dataclass(frozen=True)
class Model:
    """A version in memory; arrays of a loaded one are mapped, not read."""

    titles: IdIndex  # n titles
    popularity: NDArray[np.float32]  # (n,)
    starts: NDArray[np.int32]  # (n + 1,), where each row of S starts
    columns: Places  # (nnz,), S[title in the history, title recommended]
    weights: NDArray[np.float32]  # (nnz,)
    manifest: Manifest

    @classmethod
    def of(
        cls, titles: IdIndex, popularity: NDArray[np.float32], neighbours: sparse.csr_array, manifest: Manifest
    ) -> Model:
        """A model in memory. neighbours: S, (n, n), float32."""
        columns = neighbours.indices.astype(array_types(len(titles))["columns"])
        return cls(titles, popularity, neighbours.indptr.astype(np.int32), columns, neighbours.data, manifest)

    @cached_property
    def neighbours(self) -> sparse.csr_array:
        """S, (n, n), float32, as scipy has it: with columns of four bytes, and so a copy of narrow ones."""
        from scipy import sparse  # noqa: PLC0415 - what serves has no need of it, and starts sooner without

        shape = (len(self.titles), len(self.titles))
        columns = self.columns.astype(np.int32, copy=False)
        return sparse.csr_array((self.weights, columns, self.starts), shape=shape, copy=False)

    def rows(self, places: IndexArray) -> tuple[IndexArray, Places, NDArray[np.float32]]:
        """The entries of some rows of S: which of `places` they are of, their columns, and their weights."""
        lengths = self.starts[places + 1] - self.starts[places]
        of = np.repeat(np.arange(len(places)), lengths)
        entries = np.arange(len(of)) + np.repeat(self.starts[places] - (np.cumsum(lengths) - lengths), lengths)
        return of, self.columns[entries], self.weights[entries]

    @property
    def version(self) -> str:
        """The version's name, e.g. 20261122T184900Z-1f2e3d4c."""
        return self.manifest.version

    @property
    def recency(self) -> float:
        """How fast a history fades in the scorer: shared/strengths.py."""
        return self.manifest.recency

    @property
    def reach(self) -> int:
        """How many titles some other title recommends."""
        return len(np.unique(self.columns))

    def popular(self) -> Popularity:
        """Popularity as of training."""
        return Popularity(self.titles.ids, self.popularity)


def array_types(titles: int) -> dict[str, np.dtype[Any]]:
    """How the arrays of a model of so many titles are written. An older release wrote ARRAYS whatever their number."""
    return ARRAYS | ({"columns": NARROW} if titles <= _MOST_NARROW else {})


def open_model(folder: Path, manifest: Manifest) -> Model:
    """Map the arrays in a folder. Raises ModelRejected when one is missing, altered, or does not go with the others."""
    verify(folder, manifest)
    try:
        arrays = {name: mapped(folder / f"{name}.npy", "r") for name in ARRAYS}
    except (OSError, ValueError) as error:
        raise ModelRejected(f"model {manifest.version} cannot be read: {error}") from error
    return _assemble(arrays, manifest)


def verify(folder: Path, manifest: Manifest) -> None:
    """Raises ModelRejected unless every array's file in a folder is the one the manifest tells of."""
    for name in ARRAYS:
        try:
            found = checksum(folder / f"{name}.npy")
        except OSError as error:
            raise ModelRejected(f"model {manifest.version} cannot be read: {error}") from error
        if found != manifest.checksums.get(name):
            raise ModelRejected(f"model {manifest.version}: {name}.npy is not what was published")


def checksum(path: Path) -> str:
    """A file's SHA-256, in hexadecimal. Raises OSError."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _assemble(arrays: dict[str, NDArray[Any]], manifest: Manifest) -> Model:
    """Check that the arrays belong together and hold sense, and make a Model of them."""
    n, starts, columns, weights = len(arrays["titles"]), arrays["starts"], arrays["columns"], arrays["weights"]
    checks = {
        "arrays have unexpected types": all(
            arrays[name].dtype in (dtype, ARRAYS[name]) for name, dtype in array_types(n).items()
        ),
        "its manifest tells of other arrays": (manifest.titles, manifest.neighbours) == (n, len(columns)),
        "it holds no titles": n > 0,
        "it holds no neighbours": len(columns) > 0,
        "arrays have unexpected lengths": len(arrays["popularity"]) == n
        and len(starts) == n + 1
        and len(columns) == len(weights),
        "rows are not in order": len(starts) > 0
        and starts[0] == 0
        and starts[-1] == len(columns)
        and bool((np.diff(starts) >= 0).all()),
        "a neighbour is not a title": len(columns) == 0 or (columns.min() >= 0 and columns.max() < n),
        "a weight is not a number": bool(np.isfinite(weights).all()),
        "popularity is not a number": bool(np.isfinite(arrays["popularity"]).all()),
        "titles are not sorted and distinct": bool((arrays["titles"][1:] > arrays["titles"][:-1]).all()),
    }
    for reason, holds in checks.items():
        if not holds:
            raise ModelRejected(f"model {manifest.version} refused: {reason}")
    return Model(
        titles=IdIndex(np.asarray(arrays["titles"])),
        popularity=np.asarray(arrays["popularity"]),
        starts=np.asarray(starts),
        columns=np.asarray(columns),
        weights=np.asarray(weights),
        manifest=manifest,
    )
