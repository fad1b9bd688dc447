"""From the start of gunicorn to its first 200, with a model there.

Compiled code is there, too, as after every start but a machine's first.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median
from typing import Final

from benchmarks.performance.figures import Figure, Sense, Target
from benchmarks.performance.rows.uncached import address
from benchmarks.performance.setup import Setup
from demo.errors import WrongAnswer

TARGETS: Final = (Target("start", "First 200 after start, with a model", "s", Sense.AT_MOST, 2, "median"),)
_POLL_SECONDS: Final = 0.005
_PATIENCE_SECONDS: Final = 60.0


def measure(setup: Setup) -> Iterator[Figure]:
    """Seconds from the moment when the process is there."""
    [target] = TARGETS
    [user] = setup.users(1)
    seconds = []
    for _ in setup.turns("start"):
        with setup.stage.gateway(path=None) as gateway:
            begun = time.perf_counter()
            while True:
                try:
                    gateway.client.get(address(user))
                except WrongAnswer:
                    if time.perf_counter() - begun > _PATIENCE_SECONDS:
                        raise
                    time.sleep(_POLL_SECONDS)
                else:
                    break
            seconds.append(time.perf_counter() - begun)
    yield Figure(target, median(seconds), f"longest {max(seconds):.2f} s; {setup.runs} starts", {"seconds": seconds})
