"""Remembers that something is down, so that requests need not each find out by waiting, and the log says it once.

(The common library for this, pybreaker, holds a lock during each call: one slow query would hold up every thread.)
"""

from __future__ import annotations

import logging
import threading
import time

_log = logging.getLogger(__name__)


class Availability:
    """Whether one dependency is up, as seen by this process."""

    def __init__(self, name: str, pause_seconds: float, *, attempt_seconds: float = 0.0) -> None:
        """pause_seconds: between a failure and the next attempt. attempt_seconds: the longest that one takes; meanwhile
        nobody makes another."""
        self._name = name
        self._pause = pause_seconds
        self._attempt = max(pause_seconds, attempt_seconds)
        self._lock = threading.Lock()
        self._down_since: float | None = None
        self._try_again_at = 0.0
        self._attempting: int | None = None  # the thread that finds out

    def worth_trying(self) -> bool:
        """True when it is up, or when this thread should find out: after each pause, one is let through, and no other
        before it has said how it went or had the time to."""
        with self._lock:
            if self._down_since is None:
                return True
            now = time.monotonic()
            if now < self._try_again_at:
                return False
            self._try_again_at = now + self._attempt
            self._attempting = threading.get_ident()
            return True

    def failed(self, reason: object) -> None:
        """It did not answer this thread. Logged when it goes from up to down."""
        with self._lock:
            now = time.monotonic()
            went_down = self._down_since is None
            if went_down:
                self._down_since = now
            if went_down or self._attempting == threading.get_ident():  # the others tell nothing new
                self._try_again_at = now + self._pause
                self._attempting = None
        if went_down:
            _log.warning("%s is down, going on without it: %s", self._name, reason)

    def answered(self) -> None:
        """It did answer. Logged when it goes from down to up."""
        if self._down_since is None:  # the common case, without the lock
            return
        with self._lock:
            down_since, self._down_since = self._down_since, None
        if down_since is not None:
            _log.warning("%s is up again after %.1f s", self._name, time.monotonic() - down_since)
