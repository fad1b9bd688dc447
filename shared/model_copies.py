"""Where a version lies on this host, so that its arrays can be mapped: in the store itself, or in a copy of it."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Final, Protocol
from uuid import uuid4

from shared.errors import ModelRejected, StorageUnavailable
from shared.file_lock import locked
from shared.model import ARRAYS, Manifest, verify
from shared.storage import Storage

_PATIENCE_SECONDS: Final = 30.0  # for another process to fetch what this one wants, too
_KEPT: Final = 2  # the version in use, and the one before it, which a rollback would want
_FETCHING: Final = ".fetching-"


class OnThisHost(Protocol):
    """Finds versions as folders of this host."""

    root: Path

    def prepare(self) -> None:
        """Make `root`, a folder of this host that the store may use. Raises StorageUnavailable."""

    def folder(self, manifest: Manifest) -> Path:
        """Where a version's arrays lie. Raises ModelRejected, StorageUnavailable."""

    def discard(self, version: str) -> bool:
        """Forget the copy, which is damaged; False when it is no copy."""


class InPlace:
    """A store that is a folder already."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """See OnThisHost."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageUnavailable(f"MODEL_STORE cannot be used: {error}") from error

    def folder(self, manifest: Manifest) -> Path:
        """See OnThisHost."""
        return self.root / manifest.version

    def discard(self, version: str) -> bool:  # noqa: ARG002
        """See OnThisHost."""
        return False


class Copies:
    """One copy per host of what an object store holds; processes of the same user share it."""

    def __init__(self, storage: Storage, root: Path) -> None:
        self.root = root
        self._storage = storage

    def prepare(self) -> None:
        """See OnThisHost."""
        make_closed(self.root)

    def folder(self, manifest: Manifest) -> Path:
        """See OnThisHost. Whoever comes first fetches the version; others wait for that, 30 s at most."""
        place = self.root / manifest.version
        self.prepare()
        if not place.is_dir():
            with locked(self.root / ".fetching", seconds=_PATIENCE_SECONDS):
                if not place.is_dir():
                    self._fetch(manifest, place)
        return place

    def discard(self, version: str) -> bool:
        """See OnThisHost. Processes that have it mapped keep what they have."""
        shutil.rmtree(self.root / version, ignore_errors=True)
        return True

    def _fetch(self, manifest: Manifest, place: Path) -> None:
        beside = self.root / f"{_FETCHING}{uuid4().hex}"
        try:
            for left in self.root.glob(f"{_FETCHING}*"):  # nobody else is fetching: we hold the lock
                shutil.rmtree(left, ignore_errors=True)
            beside.mkdir()
            for name in ARRAYS:
                self._storage.fetch(f"{manifest.version}/{name}.npy", beside / f"{name}.npy")
            verify(beside, manifest)
            beside.rename(place)
        except FileNotFoundError as error:
            raise ModelRejected(f"model {manifest.version} cannot be read: {error} is missing") from error
        except OSError as error:
            raise StorageUnavailable(f"MODEL_CACHE cannot be used: {error}") from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        self._prune(place)

    def _prune(self, newest: Path) -> None:
        others = [path for path in self.root.iterdir() if path != newest and path.name[0] != "."]
        for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT - 1 :]:
            shutil.rmtree(path, ignore_errors=True)


def make_closed(folder: Path) -> None:
    """Make a folder for copies, which may be in one that everybody writes to: it must be ours, and closed to others.

    Raises StorageUnavailable, also when it is a link: whoever made that decides where it leads.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode):
            folder.chmod(0o700)
    except OSError as error:
        raise StorageUnavailable(f"MODEL_CACHE cannot be used: {error}") from error
    if stat.S_ISLNK(found.st_mode):
        raise StorageUnavailable(f"{folder} is a link: set MODEL_CACHE to another folder")
    if found.st_uid != os.geteuid():
        raise StorageUnavailable(f"{folder} belongs to another user: set MODEL_CACHE to a folder of this one's")
