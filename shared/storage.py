"""Where files are kept that outlive a host: a folder, or an object store by URL. Each is written whole or not at all.

Names are relative, with slashes: `CURRENT`, `20261122T184900Z-1f2e3d4c/titles.npy`. fsspec is known here and nowhere
else; a driver such as s3fs is imported only when an address asks for it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from fsspec import AbstractFileSystem, get_filesystem_class
from fsspec.core import url_to_fs

from shared.errors import ConfigurationError, StorageUnavailable
from shared.plain_files import open_plain

UNFINISHED: Final = ".writing-"  # what names begin with that are not there yet
_ANSWER_SECONDS: Final = 15.0  # for an object store to read, write or list something small
_TRANSFER_SECONDS: Final = 900.0  # for one file up or down: 2 GB at 2.5 MB/s


class Storage(Protocol):
    """What a folder and an object store have in common."""

    def read(self, name: str) -> bytes:
        """A small file's content. Raises FileNotFoundError, StorageUnavailable."""

    def write(self, name: str, content: bytes) -> None:
        """Make or replace a small file in one step. Raises StorageUnavailable."""

    def put(self, name: str, source: Path) -> None:
        """Make or replace a file in one step from one of this host, which may be moved. Raises StorageUnavailable."""

    def fetch(self, name: str, target: Path) -> None:
        """Copy a file to this host. Raises FileNotFoundError, StorageUnavailable."""

    def names(self) -> list[str]:
        """Every file that is there, sorted. Raises StorageUnavailable."""

    def delete(self, name: str) -> None:
        """Remove a file, if it is there. Raises StorageUnavailable."""


class Folder:
    """A folder of this host, or one that is mounted."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> bytes:
        """See Storage."""
        with _told(self.path, OSError, reading=True), open_plain(self.path / name) as file:
            return file.read()

    def write(self, name: str, content: bytes) -> None:
        """See Storage."""
        with self._beside(name) as beside:
            beside.write_bytes(content)

    def put(self, name: str, source: Path) -> None:
        """See Storage."""
        with self._beside(name) as beside:
            shutil.move(source, beside)  # on the same file system nothing is copied

    def fetch(self, name: str, target: Path) -> None:
        """See Storage."""
        with _told(self.path, OSError, reading=True):
            shutil.copyfile(self.path / name, target)

    def names(self) -> list[str]:
        """See Storage."""
        found = []
        with _told(self.path, OSError):
            for folder, _, files in os.walk(self.path, onerror=self._judge):
                found += [str(Path(folder, file).relative_to(self.path)) for file in files if file[0] != "."]
        return sorted(name for name in found if name[0] != ".")

    def delete(self, name: str) -> None:
        """See Storage. A folder that is empty then goes, too."""
        with _told(self.path, OSError), contextlib.suppress(FileNotFoundError):
            path = self.path / name
            path.unlink()
            if path.parent != self.path:
                with contextlib.suppress(OSError):  # not empty
                    path.parent.rmdir()

    def _judge(self, error: OSError) -> None:
        """No folder, no files; and one below that may not be read is not ours, such as a volume's lost+found."""
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        if error.filename == str(self.path) and not missing:
            raise error

    @contextlib.contextmanager
    def _beside(self, name: str) -> Iterator[Path]:
        """Where to write first; it then becomes `name`, and is on the disk before anybody can see it."""
        beside, final = self.path / f"{UNFINISHED}{uuid4().hex}", self.path / name
        with _told(self.path, OSError):
            final.parent.mkdir(parents=True, exist_ok=True)
            try:
                yield beside
                _sync(beside)
                beside.replace(final)
            finally:
                beside.unlink(missing_ok=True)
            _sync(final.parent)


class ObjectStore:
    """What fsspec reaches by a URL. One file is one object, and objects appear whole."""

    def __init__(
        self, url: str, *, answer_seconds: float = _ANSWER_SECONDS, transfer_seconds: float = _TRANSFER_SECONDS
    ) -> None:
        """Nothing connects yet.

        Raises ConfigurationError for a URL of an unknown kind, one whose driver is missing, or one with a password,
        which messages would show.
        """
        if urlsplit(url).password is not None:
            raise ConfigurationError("MODEL_STORE: give the driver its credentials by its own variables or files")
        self._url = url
        self._answer, self._transfer = answer_seconds, transfer_seconds
        try:
            get_filesystem_class(url.partition("://")[0])
        except ImportError as error:
            raise ConfigurationError(f"MODEL_STORE: {url} needs a driver that is not there. {error}") from error
        except ValueError as error:
            raise ConfigurationError(f"MODEL_STORE: {url} cannot be used. {error}") from error

    def read(self, name: str) -> bytes:
        """See Storage."""
        content: bytes = self._call("cat_file", name, seconds=self._answer, reading=True)
        return content

    def write(self, name: str, content: bytes) -> None:
        """See Storage."""
        self._call("pipe_file", name, content, seconds=self._answer)

    def put(self, name: str, source: Path) -> None:
        """See Storage."""
        self._call("put_file", name, source=source, seconds=self._transfer)

    def fetch(self, name: str, target: Path) -> None:
        """See Storage."""
        self._call("get_file", name, str(target), seconds=self._transfer, reading=True)

    def names(self) -> list[str]:
        """See Storage."""
        try:
            found = self._call("find", "", seconds=self._answer, reading=True)
        except FileNotFoundError:
            return []
        root = self._files[1]
        names = (path.removeprefix(root).lstrip("/") for path in found)
        return sorted(name for name in names if ".." not in name.split("/"))  # to a bucket no more than letters

    def delete(self, name: str) -> None:
        """See Storage."""
        with contextlib.suppress(FileNotFoundError):
            self._call("rm_file", name, seconds=self._answer, reading=True)

    @cached_property
    def _files(self) -> tuple[AbstractFileSystem, str]:
        """The driver, made by the process that uses it, since it may start a thread; and the path below which we are.

        Without its caches: CURRENT is asked for to see what others wrote.
        """
        files, root = url_to_fs(self._url, use_listings_cache=False, skip_instance_cache=True)
        return files, root.rstrip("/")

    def _call(
        self, method: str, name: str, *values: Any, source: Path | None = None, seconds: float, reading: bool = False
    ) -> Any:
        with _told(self._url, Exception, reading=reading):  # drivers raise what they like
            files, root = self._files
            path = [f"{root}/{name}".rstrip("/")]
            # Drivers that reach for the network are asynchronous and take a bound; the others have their own.
            bound = {"timeout": seconds} if files.async_impl else {}
            return getattr(files, method)(*([str(source)] if source else []), *path, *values, **bound)


def open_storage(location: str) -> Folder | ObjectStore:
    """The storage at a path, or at a URL; file:///models is the folder /models. Raises ConfigurationError."""
    if "://" not in location:
        return Folder(Path(location))
    url = urlsplit(location)
    if url.scheme == "file":
        return Folder(Path(unquote(url.path)))
    return ObjectStore(location)


@contextlib.contextmanager
def _told(where: object, kind: type[Exception], *, reading: bool = False) -> Iterator[None]:
    """Errors of that kind as ours; for a reader it is no error of the storage's that something is not there."""
    try:
        yield
    except kind as error:
        if reading and isinstance(error, FileNotFoundError | NotADirectoryError):
            raise FileNotFoundError(str(error)) from error
        raise StorageUnavailable(f"{where} cannot be used: {str(error) or type(error).__name__}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
