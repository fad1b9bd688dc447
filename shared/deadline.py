"""When the answer that a thread is making must be there. Whatever waits asks; where nobody waits for an answer, as in
workers and in the background, there is no end to it but each wait's own."""

from __future__ import annotations

import math
import time
from contextvars import ContextVar
from typing import Final

_NEVER: Final = (math.inf, math.inf)
_set: ContextVar[tuple[float, float]] = ContextVar("deadline", default=_NEVER)  # seconds, and when they are over


def begin(seconds: float) -> None:
    """From now on there are so many seconds."""
    _set.set((seconds, time.monotonic() + seconds))


def begin_again() -> None:
    """As many seconds as before, from now on: what took its time until now had bounds of its own."""
    begin(_set.get()[0])


def end() -> None:
    """There is none any more."""
    _set.set(_NEVER)


def due() -> float:
    """When it is over, by the monotonic clock."""
    return _set.get()[1]


def left() -> float:
    """Seconds until then; below zero when it is over."""
    return due() - time.monotonic()
