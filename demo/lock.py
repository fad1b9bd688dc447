"""One owner for a data directory."""

import fcntl
import os
import time
from pathlib import Path

from demo import tree
from demo.errors import ServerError
from demo.identity import nobody

_PATIENCE = 15.0  # seconds for the servers of a killed owner to finish shutting down


class DirectoryLock:
    """An flock that also holds while any process which inherited its descriptor lives.

    So after a kill -9 of the owner nobody starts a second server on data the first still writes.
    """

    def __init__(self, directory: Path, *, mode: int = 0o755) -> None:
        """Take the lock on `directory`, which is made with `mode` when missing.

        Raises ServerError when another process has the lock, or the directory is not ours to use.
        """
        self._path = directory / "lock"
        try:
            directory.mkdir(mode=mode, parents=True, exist_ok=True)
            _refuse_foreign(directory)
            self.descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ServerError(f"Cannot use {directory}: {error.strerror}. Choose another directory.") from error
        try:
            self._acquire()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give it back; the file stays, since removing it would let two owners in. Again: nothing."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _acquire(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._refuse_or_wait(deadline)
            else:
                os.ftruncate(self.descriptor, 0)
                os.pwrite(self.descriptor, str(os.getpid()).encode(), 0)
                return

    def _refuse_or_wait(self, deadline: float) -> None:
        owner = os.pread(self.descriptor, 32, 0).decode()
        if owner.isdigit() and not tree.pid_lives(int(owner)) and time.monotonic() < deadline:
            time.sleep(0.1)  # the owner is dead, its servers are on their way out
            return
        raise ServerError(
            f"{self._path.parent} is in use by process {owner or 'unknown'}. "
            "Stop that first, or choose another directory."
        )


def _refuse_foreign(directory: Path) -> None:
    """Root could use another's directory, and would leave files there that the owner cannot open."""
    owner, we = directory.stat().st_uid, os.geteuid()
    if owner != we and not (we == 0 and owner == nobody()[0]):  # root's server may run as `nobody`
        raise ServerError(
            f"{directory} belongs to the user with id {owner}, not to the one running this ({we}). "
            "Run as that user, remove it, or choose another directory."
        )
