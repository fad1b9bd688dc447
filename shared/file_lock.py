"""One process of a host at a time. The system gives the lock back when its holder dies, however that happens."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from shared.errors import StorageUnavailable

_POLL_SECONDS = 0.05


@contextlib.contextmanager
def locked(path: Path, *, seconds: float) -> Iterator[None]:
    """Hold the lock that a file stands for; it is made when missing, and stays: removing it would let two in.

    Raises StorageUnavailable when another holds it for longer than `seconds`, or the file cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageUnavailable(f"{path} cannot be used: {error}") from error
    try:
        deadline = time.monotonic() + seconds
        while not _taken(descriptor):
            if time.monotonic() > deadline:
                raise StorageUnavailable(f"another process has held {path} for {seconds:g} s")
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
