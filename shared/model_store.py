"""Every version of the model there is, and which of them is served.

    CURRENT                     one line: the version that is served
    <version>/                  see shared/model.py; without its manifest a version does not exist
    refused/<time>.json         models that were trained and not made current, and why
    blocks-<training>/          while one is split over workers: see worker/training/blocks/workbench.py

The same in a folder and in an object store. A version's manifest is written after its arrays, CURRENT after that, each
in one step, so that whatever is killed at whatever moment, CURRENT names a whole version. Readers only read.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

import orjson
from pydantic import ValidationError

from shared.errors import ModelRejected, StorageUnavailable
from shared.file_lock import locked
from shared.model import Manifest, Model, Refusal, open_model
from shared.model_copies import Copies, InPlace, OnThisHost
from shared.parsing import read_json
from shared.storage import UNFINISHED, Folder, Storage, open_storage

_VERSION: Final = re.compile(r"(?P<time>[0-9]{8}T[0-9]{6}Z)-[0-9a-f]{8}")
_TIME: Final = "%Y%m%dT%H%M%SZ"
_CURRENT: Final = "CURRENT"
_MANIFEST: Final = "manifest.json"
_REFUSED: Final = "refused"
_REFUSALS_KEPT: Final = 20
_PATIENCE_SECONDS: Final = 60.0  # for another training on this host to publish, or another rollback
_ABANDONED_SECONDS: Final = 86_400.0  # what is unfinished for so long was left by a training that was killed


def version_name(moment: datetime, digest: str) -> str:
    """A version's name, from the time of its training and a hexadecimal digest of what it is."""
    return f"{moment.astimezone(UTC).strftime(_TIME)}-{digest[:8]}"


class ModelStore:
    """The versions in a storage, mapped from a place on this host."""

    def __init__(self, storage: Storage, here: OnThisHost) -> None:
        self.storage = storage
        self._here = here

    @classmethod
    def at(cls, location: str, *, cache: Path) -> ModelStore:
        """The store at a folder's path or an object store's URL, of which copies are kept in `cache`.

        Nothing connects yet. Raises ConfigurationError for a URL that cannot be used.
        """
        storage = open_storage(location)
        if isinstance(storage, Folder):
            return cls(storage, InPlace(storage.path))
        return cls(storage, Copies(storage, cache / hashlib.sha256(location.encode()).hexdigest()[:16]))

    # What readers ask.

    def current_version(self) -> str | None:
        """The version that should be served, or None when nothing was ever published.

        Raises ModelRejected when its name is none, StorageUnavailable.
        """
        try:
            name = self.storage.read(_CURRENT)
        except FileNotFoundError:
            return None
        return _checked(name.decode("ascii", "replace").strip())

    def versions(self) -> list[str]:
        """Every version there is, oldest first. Raises StorageUnavailable."""
        return [version for version, whole in self._folders() if whole]

    def manifest(self, version: str) -> Manifest:
        """What is known of a version. Raises ModelRejected when there is none or it makes no sense."""
        try:
            found = Manifest.model_validate(read_json(self.storage.read(f"{_checked(version)}/{_MANIFEST}")))
        except (FileNotFoundError, ValueError) as error:
            raise ModelRejected(f"model {version} cannot be read: {error}") from error
        if found.version != version:  # it would lead to the files of another, or out of the store
            raise ModelRejected(f"model {version} cannot be read: its manifest is of another version")
        return found

    def current_manifest(self) -> Manifest | None:
        """The current version's; None without one that can be read. Raises StorageUnavailable."""
        try:
            version = self.current_version()
            return self.manifest(version) if version else None
        except ModelRejected:
            return None

    def load(self, version: str) -> Model:
        """Map a version read-only.

        Raises ModelRejected when a file is missing, altered or inconsistent, StorageUnavailable.
        """
        return self.open(self.manifest(version))

    def open(self, manifest: Manifest) -> Model:
        """Map the arrays of a version whose manifest is known. Raises as `load` does."""
        try:
            return open_model(self._here.folder(manifest), manifest)
        except ModelRejected:
            if not self._here.discard(manifest.version):
                raise
            return open_model(self._here.folder(manifest), manifest)  # a copy that was damaged is fetched again

    def refusals(self) -> list[Refusal]:
        """The models that were refused, oldest first. Raises StorageUnavailable."""
        found = []
        for name in self._refusals():
            with contextlib.suppress(FileNotFoundError, ValidationError):  # removed meanwhile; from another release
                found.append(Refusal.model_validate_json(self.storage.read(name)))
        return found

    # What writers do; each raises StorageUnavailable.

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """No other training or rollback of this host meanwhile. Raises StorageUnavailable when one takes too long."""
        self._here.prepare()
        with locked(self._here.root / ".publishing", seconds=_PATIENCE_SECONDS):
            yield

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder to make arrays in, from which they can be put without a copy if the store is a folder."""
        self._here.prepare()
        folder = self._here.root / f"{UNFINISHED}{uuid4().hex}"
        try:
            folder.mkdir()
            yield folder
        except OSError as error:
            raise StorageUnavailable(f"{self._here.root} cannot be used: {error}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def add(self, manifest: Manifest) -> None:
        """A version whose arrays were put becomes one that exists."""
        content = orjson.dumps(manifest.model_dump(mode="json"), option=orjson.OPT_INDENT_2)
        self.storage.write(f"{manifest.version}/{_MANIFEST}", content)

    def make_current(self, version: str) -> None:
        """Readers take this version from now on."""
        self.storage.write(_CURRENT, f"{_checked(version)}\n".encode("ascii"))

    def remove(self, version: str) -> None:
        """Remove a version; with its manifest it ceases to exist."""
        files = [name for name in self.storage.names() if name.startswith(f"{version}/")]
        for name in sorted(files, key=lambda name: not name.endswith(_MANIFEST)):
            self.storage.delete(name)
        self._here.discard(version)

    def refuse(self, refusal: Refusal) -> None:
        """Remember a model that was not made current; the newest 20 are kept."""
        name = f"{_REFUSED}/{refusal.at.astimezone(UTC):%Y%m%dT%H%M%S%fZ}.json"
        self.storage.write(name, orjson.dumps(refusal.model_dump(mode="json"), option=orjson.OPT_INDENT_2))
        for old in self._refusals()[:-_REFUSALS_KEPT]:
            self.storage.delete(old)

    def prune(self, keep: int, now: datetime) -> None:
        """Remove all but the newest `keep` versions and the current one, and what a killed training left a day ago."""
        current, abandoned = self.current_version(), now.timestamp() - _ABANDONED_SECONDS
        for version in self.versions()[:-keep]:
            if version != current:
                self.remove(version)
        for version, whole in self._folders():
            if not whole and _time(version).timestamp() < abandoned:
                self.remove(version)
        for path in self._here.root.glob(f"{UNFINISHED}*"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < abandoned:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _folders(self) -> list[tuple[str, bool]]:
        """Every version that has any file, oldest first, and whether its manifest is among them."""
        whole: dict[str, bool] = {}
        for name in self.storage.names():
            version, _, file = name.partition("/")
            if _is_version(version):
                whole[version] = whole.get(version, False) or file == _MANIFEST
        return sorted(whole.items())

    def _refusals(self) -> list[str]:
        return [name for name in self.storage.names() if name.startswith(f"{_REFUSED}/")]


def _checked(version: str) -> str:
    """A version is a name, never a path."""
    if not _is_version(version):
        raise ModelRejected(f"{version[:80]!r} is not the name of a model version")
    return version


def _is_version(name: str) -> bool:
    with contextlib.suppress(ValueError):  # February 30
        return _VERSION.fullmatch(name) is not None and bool(_time(name))
    return False


def _time(version: str) -> datetime:
    return datetime.strptime(version.partition("-")[0], _TIME).replace(tzinfo=UTC)
