"""Trainings that are killed while they publish."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.model_copies import Copies, InPlace
from shared.model_store import ModelStore
from shared.storage import Folder, open_storage
from tests.models import publish_small

CHANGES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.utime"}
WRITING = os.O_WRONLY | os.O_RDWR


class Death:
    """Kills this process as SIGKILL would, when it is about to take its n-th step."""

    def __init__(self, step: int) -> None:
        self._left = step

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Watched:
    """A storage; each thing that it is asked for is a step."""

    def __init__(self, storage: Any, step: Callable[[], None]) -> None:
        self._storage, self._step = storage, step

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._storage, name)

        def watched(*arguments: Any) -> Any:
            self._step()
            return method(*arguments)

        return watched


def publish_and_die(
    location: str, cache: Path, environment: Mapping[str, str], step: int, at: datetime, keep: int
) -> None:
    """In a process of its own. In a folder each change of a file is a step, wherever in the code it comes from."""
    os.environ.update(environment)
    death, storage = Death(step), open_storage(location)
    if isinstance(storage, Folder):
        folder = str(storage.path)

        def look(event: str, arguments: tuple[Any, ...]) -> None:
            reads = event == "open" and not arguments[2] & WRITING
            if event in CHANGES and not reads and str(arguments[0]).startswith(folder):
                death()

        store = ModelStore(storage, InPlace(storage.path))
        sys.addaudithook(look)
    else:
        watched: Any = Watched(storage, death)
        store = ModelStore(watched, Copies(watched, cache))
    publish_small(store, at=at, keep=keep, least_share=0.5)
