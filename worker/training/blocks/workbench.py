"""Where a training that is split lies meanwhile: in the model store, which trainer and workers share.

    blocks-<training>/*.npy, manifest.json    what rows are made from; without its manifest a training is over
    blocks-<training>/rows-<block>            the rows of a block, once somebody has made them

Every file is written whole or not at all, and a block's rows are the same whoever made them, so it makes no difference
who does, how often, or in which order. From an object store the arrays are copied once to a folder of the host.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
from pathlib import Path
from typing import Final, Self
from uuid import UUID, uuid4

from pydantic import ValidationError
from scipy import sparse

from shared.errors import StorageUnavailable
from shared.file_lock import locked
from shared.model_copies import make_closed
from shared.model_store import ModelStore
from shared.settings import Settings
from shared.storage import Folder
from worker.training.blocks.material import ARRAYS, Manifest, Material, packed, read, unpacked, write

_PREFIX: Final = "blocks-"
_MANIFEST: Final = "manifest.json"
_ROWS: Final = "rows-"
_FETCHING: Final = ".fetching-"
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_PATIENCE_SECONDS: Final = 60.0  # for another process to copy what this one wants, too; a task may take 90

_log = logging.getLogger(__name__)


class Workbench:
    """The trainings that lie in a model store. One at a time is open in a process, mapped, not read."""

    def __init__(self, models: ModelStore, copies: Path) -> None:
        """copies: the folder of this host for what comes from an object store."""
        self._models, self._storage = models, models.storage
        self._copies = copies
        self._open: tuple[UUID, Material] | None = None

    @classmethod
    def of(cls, models: ModelStore, settings: Settings) -> Self:
        """The one of a store. Nothing connects yet."""
        of_this_store = hashlib.sha256(settings.model_store.encode()).hexdigest()[:16]
        return cls(models, settings.model_cache / f"{_PREFIX}{of_this_store}")

    # What the trainer does; each raises StorageUnavailable.

    def lay_out(self, training: UUID, material: Material) -> None:
        """Put there what a training's rows are made from; from now on workers find it."""
        with self._models.scratch() as scratch:
            manifest = write(scratch, material)
            for name in ARRAYS:
                self._storage.put(_file(training, f"{name}.npy"), scratch / f"{name}.npy")
        self._storage.write(_file(training, _MANIFEST), manifest.model_dump_json().encode())

    def made(self, training: UUID) -> set[int]:
        """The blocks whose rows are there."""
        start = _file(training, _ROWS)
        numbers = (name.removeprefix(start) for name in self._storage.names() if name.startswith(start))
        return {int(number) for number in numbers if _NUMBER.fullmatch(number)}

    def rows(self, training: UUID, block: int, material: Material) -> sparse.csr_array | None:
        """A block's rows, (k, n); None when there are none, or they are damaged, and then they are gone."""
        name = _file(training, f"{_ROWS}{block}")
        try:
            return unpacked(self._storage.read(name), (material.height(block), len(material.rows)))
        except FileNotFoundError:
            return None
        except ValueError as error:
            _log.warning("%s is not used: %s", name, error)
            self._storage.delete(name)
            return None

    def clear(self) -> None:
        """End every training there is, and remove its files."""
        left = [name for name in self._storage.names() if name.startswith(_PREFIX)]
        for name in sorted(left, key=lambda name: not name.endswith(_MANIFEST)):
            self._storage.delete(name)

    # What workers do.

    def work(self, training: UUID, block: int) -> bool:
        """Make a block's rows, unless they are there; False when there was nothing to do. Raises StorageUnavailable."""
        if not self._wanted(training) or block in self.made(training):
            return False
        material = self._opened(training)
        if material is None or block >= material.blocks:
            return False
        rows = material.block(block, threads=1)  # the pool has a process for each processor
        if not self._wanted(training):  # what is written now would lie there until the next training
            return False
        self.put(training, block, rows)
        return True

    def put(self, training: UUID, block: int, rows: sparse.csr_array) -> None:
        """Let others have a block's rows. Raises StorageUnavailable."""
        self._storage.write(_file(training, f"{_ROWS}{block}"), packed(rows))

    def _wanted(self, training: UUID) -> bool:
        return self._manifest(training) is not None

    def _manifest(self, training: UUID) -> Manifest | None:
        """None when the training is over."""
        try:
            return Manifest.model_validate_json(self._storage.read(_file(training, _MANIFEST)))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise StorageUnavailable(f"training {training} cannot be read: {error}") from error

    def _opened(self, training: UUID) -> Material | None:
        """What a training's rows are made from; None when it is over. Raises StorageUnavailable."""
        if self._open is None or self._open[0] != training:
            self._open = None
            manifest = self._manifest(training)
            if manifest is None:
                return None
            try:
                self._open = training, read(self._folder(training), manifest)
            except FileNotFoundError:
                return None
            except (OSError, ValueError) as error:
                shutil.rmtree(self._copies / str(training), ignore_errors=True)  # a copy is fetched anew for the next
                raise StorageUnavailable(f"training {training} cannot be read: {error}") from error
        return self._open[1]

    def _folder(self, training: UUID) -> Path:
        """Where the arrays lie on this host. Raises FileNotFoundError, OSError, StorageUnavailable."""
        if isinstance(self._storage, Folder):
            return self._storage.path / _file(training, "")
        make_closed(self._copies)
        place = self._copies / str(training)
        with locked(self._copies / ".fetching", seconds=_PATIENCE_SECONDS):
            if not place.is_dir():
                self._fetch(training, place)
        return place

    def _fetch(self, training: UUID, place: Path) -> None:
        """Copy the arrays, in place of older ones: one training runs at a time, and who has an older one mapped keeps
        it."""
        for path in self._copies.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
        beside = self._copies / f"{_FETCHING}{uuid4().hex}"
        beside.mkdir()
        for name in ARRAYS:
            self._storage.fetch(_file(training, f"{name}.npy"), beside / f"{name}.npy")
        beside.rename(place)


def _file(training: UUID, name: str) -> str:
    return f"{_PREFIX}{training}/{name}"
