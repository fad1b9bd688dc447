"""A trained model becomes the one that is served, or is refused and says why; the current one then stays."""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from shared.errors import ModelRejected
from shared.ids import IdArray
from shared.model import ARRAYS, Description, Manifest, Model, Refusal, array_types, checksum
from shared.model_store import ModelStore, version_name

_log = logging.getLogger(__name__)


def publish(
    store: ModelStore,
    *,
    titles: IdArray,
    popularity: NDArray[np.float32],
    neighbours: sparse.csr_array,
    description: Description,
    keep: int,
    now: datetime,
    least_share: float,
    force: bool = False,
) -> Model:
    """Write a new version, verify it, and make it current; older ones than the newest `keep` are removed.

    titles: (n,) sorted, distinct. popularity: (n,) float32. neighbours: (n, n) float32. least_share: what of the
    current model's titles, reach and accuracy the new one must have, 0 to 1; with `force` that is not asked.
    Raises ModelRejected when the model fails its checks: the store then remembers why, and the current one stays.
    Raises StorageUnavailable.
    """
    with store.exclusive(), store.scratch() as scratch:
        try:
            manifest = _save(scratch, titles, popularity, neighbours, description, now)
            model = _admit(store, scratch, manifest, least_share=0.0 if force else least_share)
        except ModelRejected as error:
            store.refuse(Refusal(at=now, reason=str(error), description=description))
            raise
        store.make_current(manifest.version)
        store.prune(keep, now)
    return model


def _save(
    folder: Path,
    titles: IdArray,
    popularity: NDArray[np.float32],
    neighbours: sparse.csr_array,
    description: Description,
    now: datetime,
) -> Manifest:
    """Write the arrays to files of this host."""
    if neighbours.nnz > np.iinfo(np.int32).max:
        raise ModelRejected(f"{neighbours.nnz} neighbours are too many for one file; lower MODEL_NEIGHBOURS")
    arrays: dict[str, NDArray[Any]] = {
        "titles": titles,
        "popularity": popularity,
        "starts": neighbours.indptr,
        "columns": neighbours.indices,
        "weights": neighbours.data,
    }
    for name, dtype in array_types(len(titles)).items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(arrays[name], dtype=dtype), allow_pickle=False)
    checksums = {name: checksum(folder / f"{name}.npy") for name in ARRAYS}
    identity = "".join(checksums.values()) + description.model_dump_json()
    return Manifest(
        **description.model_dump(),
        version=version_name(now, hashlib.sha256(identity.encode()).hexdigest()),
        created_at=now,
        titles=len(titles),
        neighbours=neighbours.nnz,
        reach=len(np.unique(neighbours.indices)),
        bytes=sum((folder / f"{name}.npy").stat().st_size for name in ARRAYS),
        checksums=checksums,
    )


def _admit(store: ModelStore, folder: Path, manifest: Manifest, *, least_share: float) -> Model:
    """Put a version into the store if it passes its checks. Only then it gets its manifest: no reader sees another."""
    version = manifest.version
    if version in store.versions():  # the same model published twice in one second is the same version
        return store.load(version)
    for name in ARRAYS:
        store.storage.put(f"{version}/{name}.npy", folder / f"{name}.npy")
    try:
        model = store.open(manifest)  # as a reader will
        if least_share and (current := _current(store)):
            _compare(model, current, least_share)
        store.add(manifest)
        return store.load(version)
    except ModelRejected:
        store.remove(version)
        raise


def _current(store: ModelStore) -> Model | None:
    try:
        version = store.current_version()
        return store.load(version) if version else None
    except ModelRejected as error:
        _log.warning("the new model is compared with none, because the current one cannot be used: %s", error)
        return None


def _compare(new: Model, current: Model, least_share: float) -> None:
    """Raises ModelRejected when a model is so much less than the current one that something must be wrong."""
    kept = int((new.titles.find(current.titles.ids) >= 0).sum())
    figures: list[tuple[str, float, float]] = [
        ("it has {} titles, the current one has {}", len(new.titles), len(current.titles)),
        ("{} of its titles are ever recommended, of the current one's {}", new.reach, current.reach),
        ("it has {} of the current one's {} titles", kept, len(current.titles)),
    ]
    ours, theirs = new.manifest.evidence, current.manifest.evidence
    if ours and theirs and (ours.split, ours.metric) == (theirs.split, theirs.metric):
        words = f"its {ours.metric} ({ours.split}) is {{}}, the current one's {{}}"
        figures.append((words, round(ours.accuracy.value, 4), round(theirs.accuracy.value, 4)))
    for words, value, before in figures:
        if value < least_share * before:
            raise ModelRejected(
                f"model {new.version} refused: {words.format(value, before)}, MODEL_LEAST_SHARE is {least_share:g}; "
                "find the cause, or publish it all the same with `python -m worker train --force`"
            )
