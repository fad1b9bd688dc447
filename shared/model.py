"""The neighbour model on disk: versions of plain arrays, verified, made current in one step, mapped read-only.

    MODEL_DIR/
      CURRENT                      one line: the current version
      <version>/manifest.json      what it is, what it was trained on, a checksum per file
      <version>/*.npy              titles, popularity, and the neighbours S as a sparse matrix by rows

S has a row per title of a history and a column per title recommended. Files are written beside, synced, verified and
renamed; CURRENT is replaced last, so a crash at any moment leaves the version before. Nothing is ever pickled.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from scipy import sparse

from shared.catalogue import Popularity
from shared.errors import ModelRejected
from shared.ids import IdArray, IdIndex

_VERSION = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
_CURRENT: Final = "CURRENT"
_MANIFEST: Final = "manifest.json"
_ABANDONED_SECONDS: Final = 86_400.0
_ARRAYS: Final = {
    "titles": np.dtype("S16"),  # (n,), sorted, distinct
    "popularity": np.dtype("<f4"),  # (n,)
    "starts": np.dtype("<i4"),  # (n + 1,), where each row of S starts
    "columns": np.dtype("<i4"),  # (nnz,)
    "weights": np.dtype("<f4"),  # (nnz,)
}


class Manifest(BaseModel):
    """What a version is and where it comes from."""

    model_config = ConfigDict(frozen=True)

    version: str
    created_at: datetime
    estimator: str
    parameters: dict[str, float | int]
    users: int
    titles: int
    interactions: int
    neighbours: int
    checksums: dict[str, str]  # array name -> SHA-256 of its file


@dataclass(frozen=True)
class Model:
    """A version in memory; arrays of a loaded one are mapped, not read."""

    titles: IdIndex  # n titles
    popularity: NDArray[np.float32]  # (n,)
    neighbours: sparse.csr_array  # (n, n), float32: S[title in the history, title recommended]
    manifest: Manifest

    @property
    def version(self) -> str:
        """The version's name, e.g. 20261122T184900Z-1f2e3d4c."""
        return self.manifest.version

    def popular(self) -> Popularity:
        """Popularity as of training."""
        return Popularity(self.titles.ids, self.popularity)


class ModelStore:
    """The folder of versions."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def current_version(self) -> str | None:
        """The version that should be served, or None when nothing was ever published."""
        try:
            name = (self.directory / _CURRENT).read_text(encoding="ascii").strip()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return self._checked(name)

    def versions(self) -> list[str]:
        """Every version on disk, oldest first."""
        if not self.directory.is_dir():
            return []
        return sorted(p.name for p in self.directory.iterdir() if _VERSION.fullmatch(p.name))

    def load(self, version: str) -> Model:
        """Map a version read-only. Raises ModelRejected when a file is missing, altered or inconsistent."""
        folder = self.directory / self._checked(version)
        try:
            manifest = Manifest.model_validate_json((folder / _MANIFEST).read_bytes())
            for name in _ARRAYS:
                if _sha256(folder / f"{name}.npy") != manifest.checksums.get(name):
                    raise ModelRejected(f"model {version}: {name}.npy is not what was published")
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ARRAYS}
        except (OSError, ValueError, ValidationError) as error:
            raise ModelRejected(f"model {version} cannot be read: {error}") from error
        return _assemble(arrays, manifest)

    def publish(
        self,
        *,
        titles: IdArray,
        popularity: NDArray[np.float32],
        neighbours: sparse.csr_array,
        estimator: str,
        parameters: dict[str, float | int],
        users: int,
        interactions: int,
        keep: int,
        now: datetime,
    ) -> Model:
        """Write, verify and make current a new version; older ones than the newest `keep` are removed.

        titles: (n,) sorted, distinct. popularity: (n,) float32. neighbours: (n, n) float32.
        Raises ModelRejected when the model fails its checks; the current version then stays.
        """
        arrays: dict[str, NDArray[Any]] = {
            "titles": titles,
            "popularity": popularity,
            "starts": neighbours.indptr,
            "columns": neighbours.indices,
            "weights": neighbours.data,
        }
        if neighbours.nnz > np.iinfo(np.int32).max:
            raise ModelRejected(f"{neighbours.nnz} neighbours are too many for one file; lower MODEL_NEIGHBOURS")
        self.directory.mkdir(parents=True, exist_ok=True)
        beside = self.directory / f".writing-{os.getpid()}-{now:%H%M%S%f}"
        beside.mkdir()
        try:
            checksums = {}
            for name, dtype in _ARRAYS.items():
                path = beside / f"{name}.npy"
                with path.open("wb") as file:
                    np.save(file, np.ascontiguousarray(arrays[name], dtype=dtype), allow_pickle=False)
                    file.flush()
                    os.fsync(file.fileno())
                checksums[name] = _sha256(path)
            digest = hashlib.sha256("".join(checksums.values()).encode()).hexdigest()[:8]
            manifest = Manifest(
                version=f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest}",
                created_at=now,
                estimator=estimator,
                parameters=parameters,
                users=users,
                titles=len(titles),
                interactions=interactions,
                neighbours=neighbours.nnz,
                checksums=checksums,
            )
            with (beside / _MANIFEST).open("wb") as file:
                file.write(orjson.dumps(manifest.model_dump(mode="json"), option=orjson.OPT_INDENT_2))
                file.flush()
                os.fsync(file.fileno())
            final = self.directory / manifest.version
            if not final.exists():  # the same model published twice in one second is the same version
                beside.rename(final)
            model = self.load(manifest.version)
            self._make_current(manifest.version)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        self._prune(keep)
        return model

    def _make_current(self, version: str) -> None:
        beside = self.directory / f".{_CURRENT}-{os.getpid()}"
        with beside.open("w", encoding="ascii") as file:
            file.write(version + "\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.directory / _CURRENT)
        folder = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _prune(self, keep: int) -> None:
        """Remove old versions, and what a training that was killed left half written."""
        for path in self.directory.glob(".writing-*"):
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
        current = self.current_version()
        for version in self.versions()[:-keep]:
            if version != current:
                shutil.rmtree(self.directory / version, ignore_errors=True)

    def _checked(self, version: str) -> str:
        if not _VERSION.fullmatch(version):
            raise ModelRejected(f"{version!r} is not the name of a model version")
        return version


def _assemble(arrays: dict[str, NDArray[Any]], manifest: Manifest) -> Model:
    """Check that the arrays belong together and hold sense, and make a Model of them."""
    n, starts, columns, weights = len(arrays["titles"]), arrays["starts"], arrays["columns"], arrays["weights"]
    checks = {
        "arrays have unexpected types": all(arrays[name].dtype == dtype for name, dtype in _ARRAYS.items()),
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
        neighbours=sparse.csr_array((weights, columns, starts), shape=(n, n), copy=False),
        manifest=manifest,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
