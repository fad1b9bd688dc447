"""Values on their way to Redis, written in the background: for what nobody waits for, and what may get lost."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, NamedTuple

from shared.errors import CacheUnavailable
from shared.redis_store import RedisStore

_MOST_WAITING: Final = 5000  # values; what comes on top is dropped
_AT_ONCE: Final = 200  # of them in an exchange: Redis answers others meanwhile
_GATHER_SECONDS: Final = 0.1  # before an exchange: many values in one cost a fraction
_STOP_SECONDS: Final = 2.0


class _Waiting(NamedTuple):
    value: bytes
    seconds: int  # of its life


class WriteBehind:
    """Writes values to Redis in a thread that starts with the first of them, and reads them on their way there, too.
    Safe to share between threads."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._waiting: dict[bytes, _Waiting] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def put(self, values: Mapping[bytes, bytes], *, seconds: int) -> None:
        """Have values written soon, for `seconds`. Never raises and never waits: what Redis does not take is
        dropped."""
        with self._changed:
            if not values or self._stopped or len(self._waiting) + len(values) > _MOST_WAITING:
                return
            self._waiting.update({key: _Waiting(value, seconds) for key, value in values.items()})
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="write-behind", daemon=True)
                self._thread.start()
            self._changed.notify()

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The keys' values in order, None for one that is not there. Raises CacheUnavailable."""
        with self._changed:
            found = {key: self._waiting[key].value for key in keys if key in self._waiting}
        missing = [key for key in keys if key not in found]
        stored = dict(zip(missing, self._store.get_many(missing), strict=True)) if missing else {}
        return [found[key] if key in found else stored[key] for key in keys]

    @property
    def waiting(self) -> int:
        """How many values are on their way."""
        return len(self._waiting)

    def close(self) -> None:
        """End the thread, once what waits is written."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=_STOP_SECONDS)

    def _run(self) -> None:
        while batch := self._next():
            lives: dict[int, dict[bytes, bytes]] = defaultdict(dict)
            for key, waiting in batch.items():
                lives[waiting.seconds][key] = waiting.value
            for seconds, values in lives.items():
                with suppress(CacheUnavailable):
                    self._store.set_many(values, seconds=seconds)
            with self._changed:
                for key, waiting in batch.items():
                    if self._waiting[key] is waiting:  # else another value for it has come
                        del self._waiting[key]

    def _next(self) -> dict[bytes, _Waiting]:
        """The values that have waited longest; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped)
            self._changed.wait_for(lambda: len(self._waiting) >= _AT_ONCE or self._stopped, timeout=_GATHER_SECONDS)
            return dict(islice(self._waiting.items(), _AT_ONCE))
