"""What is liked most lately: read from engagement_db within a request's bound, and kept for minutes, for every process
in Redis and for this one in its memory.
"""

from __future__ import annotations

import contextlib
import logging
import struct
import threading
import time
import zlib
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from shared import deadline
from shared.catalogue import Popularity
from shared.errors import CacheUnavailable, DatabaseUnavailable, SlowStatement
from shared.ids import ID_BYTES, id_array
from shared.redis_store import RedisStore
from shared.repositories.engagement import EngagementRepository

_PREFIX: Final = b"trends:1:"  # 1: the format of the value
_HEADER: Final = struct.Struct("<dI")  # when it was read, in Unix time, and how many titles it has
_WEIGHT_BYTES: Final = 4
_MOST_TITLES: Final = 10_000  # 200 KB
_MOST_KEPT: Final = 16  # in this process

_Asked: TypeAlias = "tuple[int | None, int | None]"  # days of the window, of the half-life

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Times:
    """How long things last, in seconds."""

    life: float  # of what was read
    wait: float  # for another thread that is reading the same
    pause: float  # after a failure, before it is tried again
    slow_pause: float  # the same, where the query was too slow: it will hardly be faster soon


@dataclass(frozen=True)
class _Kept:
    """What came of the latest reading: titles, or none where it failed; by the monotonic clock."""

    popularity: Popularity | None
    until: float


class Trends:
    """Popularity within a window of time. Safe to share between threads."""

    def __init__(self, engagement: EngagementRepository, store: RedisStore, times: Times) -> None:
        self._engagement = engagement
        self._store = store
        self._times = times
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Asked, _Kept] = OrderedDict()  # the one used last at the end
        self._reading: dict[_Asked, Future[Popularity]] = {}

    def get(self, window_days: int | None, half_life_days: int | None) -> Popularity:
        """The 10,000 titles most liked in the last days, as `EngagementRepository.trending` counts, some minutes old.

        One thread of a process reads, and the others wait for it or take what was there before. Raises
        DatabaseUnavailable when engagement_db is down or too slow, and at once for a while after that.
        """
        asked = (window_days, half_life_days)
        with self._lock:
            now, kept = time.monotonic(), self._kept.get(asked)
            if kept and now < kept.until:
                self._kept.move_to_end(asked)
                if kept.popularity is None:
                    raise DatabaseUnavailable("engagement_db", "trends could not be read a moment ago")
                return kept.popularity
            reading = self._reading.get(asked)
            if reading is None:
                own = self._reading[asked] = Future[Popularity]()
        if reading is None:
            return self._read(asked, own)
        if kept and kept.popularity is not None and now < kept.until + self._times.life:
            return kept.popularity
        try:
            return reading.result(min(self._times.wait, max(0.0, deadline.left())))
        except TimeoutError:
            raise DatabaseUnavailable("engagement_db", f"no trends within {self._times.wait:g} s") from None

    def _read(self, asked: _Asked, reading: Future[Popularity]) -> Popularity:
        """From Redis or the database, for those who wait, too."""
        try:
            popularity, life = self._recall(asked) or (self._from_database(asked), self._times.life)
        except BaseException as error:
            pause = self._times.slow_pause if isinstance(error, SlowStatement) else self._times.pause
            self._end(asked, _Kept(None, time.monotonic() + pause) if isinstance(error, DatabaseUnavailable) else None)
            reading.set_exception(error)
            raise
        self._end(asked, _Kept(popularity, time.monotonic() + life))
        reading.set_result(popularity)
        return popularity

    def _end(self, asked: _Asked, kept: _Kept | None) -> None:
        with self._lock:
            del self._reading[asked]
            if kept is not None:
                self._kept[asked] = kept
                self._kept.move_to_end(asked)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)

    def _from_database(self, asked: _Asked) -> Popularity:
        window, half_life = asked
        popularity = self._engagement.trending(window_days=window, half_life_days=half_life, most=_MOST_TITLES)
        with contextlib.suppress(CacheUnavailable):  # it is kept here
            self._store.set_many({_key(asked): _encode(popularity, time.time())}, seconds=round(self._times.life))
        return popularity

    def _recall(self, asked: _Asked) -> tuple[Popularity, float] | None:
        """What some process wrote to Redis, and how long it lives, in seconds."""
        try:
            [value] = self._store.get_many([_key(asked)])
        except CacheUnavailable:
            return None
        if value is None:
            return None
        try:
            popularity, read_at = _decode(value)
        except ValueError as error:
            _log.warning("the trends in Redis are unreadable and are read again: %s", error)
            return None
        left = read_at + self._times.life - time.time()
        return popularity, min(max(left, 0.0), self._times.life)  # clocks differ


def _key(asked: _Asked) -> bytes:
    window, half_life = asked
    return _PREFIX + f"{window or 'all'}:{half_life or 'none'}".encode()


def _encode(popularity: Popularity, read_at: float) -> bytes:
    weights = popularity.weights.astype("<f4")
    header = _HEADER.pack(read_at, len(weights))
    return zlib.compress(header + popularity.titles.tobytes() + weights.tobytes(), level=1)


def _decode(value: bytes) -> tuple[Popularity, float]:
    """What `_encode` wrote. Raises ValueError for anything else."""
    try:
        data = zlib.decompress(value)
        read_at, n = _HEADER.unpack_from(data)
    except (zlib.error, struct.error) as error:
        raise ValueError(f"not trends: {error}") from error
    end = _HEADER.size + n * ID_BYTES
    if len(data) != end + n * _WEIGHT_BYTES:
        raise ValueError("not trends of this format")
    weights = np.frombuffer(data, dtype="<f4", offset=end).astype(np.float32)
    return Popularity(id_array(data[_HEADER.size : end]), weights), read_at
