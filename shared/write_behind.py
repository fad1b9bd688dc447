"""Values on their way to Redis, written in the background: for what nobody waits for, and what may get lost."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from shared.errors import CacheUnavailable
from shared.redis_store import RedisStore

_MOST_WAITING: Final = 5000  # values; what comes on top is dropped
_AT_ONCE: Final = 200  # of them in an exchange: Redis answers others meanwhile
_GATHER_SECONDS: Final = 0.1  # before an exchange: many values in one cost a fraction
_STOP_SECONDS: Final = 2.0


class WriteBehind:
    """Writes values with one life to Redis, in a thread that starts with the first of them. Safe to share."""

    def __init__(self, store: RedisStore, *, life_seconds: int) -> None:
        self._store = store
        self._life = life_seconds
        self._waiting: dict[bytes, bytes] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Have values written soon. Never raises and never waits: what Redis does not take is dropped."""
        with self._changed:
            if not values or self._stopped or len(self._waiting) + len(values) > _MOST_WAITING:
                return
            self._waiting.update(values)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="write-behind", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """End the thread, once what waits is written."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=_STOP_SECONDS)

    def _run(self) -> None:
        while batch := self._next():
            try:
                self._store.set_many(batch, seconds=self._life)
            except CacheUnavailable:
                continue

    def _next(self) -> dict[bytes, bytes]:
        """The values that have waited longest; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped)
            self._changed.wait_for(lambda: len(self._waiting) >= _AT_ONCE or self._stopped, timeout=_GATHER_SECONDS)
            batch = dict(list(self._waiting.items())[:_AT_ONCE])
            for key in batch:
                del self._waiting[key]
            return batch
