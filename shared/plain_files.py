"""Files that somebody else may have put there: opened only if they are files."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path


def open_plain(path: Path) -> io.BufferedReader:
    """Open a file to read. Raises OSError, also for a link, which may lead anywhere, and for what is no file: a pipe
    that nobody writes to would never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no plain file")
    return os.fdopen(descriptor, "rb")
