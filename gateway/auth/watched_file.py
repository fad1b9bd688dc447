"""A file that may change while the service runs: keys come and go without a restart."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from shared.errors import ConfigurationError

_LOOK_SECONDS: Final = 1.0
_MOST_BYTES: Final = 1_000_000

_log = logging.getLogger(__name__)

T = TypeVar("T")


class WatchedFile(Generic[T]):
    """What a file holds, read again within a second of a change. Safe to share between threads."""

    def __init__(self, setting: str, path: Path, read: Callable[[bytes], T]) -> None:
        """setting: what names the file. read: makes something of its content, or raises ValueError, which says what is
        wrong and shows nothing secret. Raises ConfigurationError."""
        self._setting, self._path, self._read = setting, path, read
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        try:
            self._state = self._seen()
            self._content = self._load()
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{setting}: {path} cannot be used: {_reason(error)}") from None

    def content(self) -> T:
        """What the file holds. What cannot be read, or makes no sense, leaves what was there before."""
        now = time.monotonic()
        if now - self._looked > _LOOK_SECONDS:
            with self._lock:
                if now - self._looked > _LOOK_SECONDS:
                    self._look()
                    self._looked = now
        return self._content

    def _look(self) -> None:
        try:
            state = self._seen()
            if state == self._state:
                return
            self._state = state
            self._content = self._load()
            _log.info("%s: %s is read again", self._setting, self._path)
        except (OSError, ValueError) as error:
            _log.error("%s: %s cannot be used, what it held before counts: %s", self._setting, self._path, error)

    def _seen(self) -> tuple[int, int, int]:
        found = os.stat(self._path)  # noqa: PTH116 - as a whole, not by its parts
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _load(self) -> T:
        with self._path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES} bytes")
        return self._read(raw)


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
