"""What each further process takes of memory for itself: its unique set size, after work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from benchmarks.performance.figures import Figure, Sense, Target
from benchmarks.performance.load import drive
from benchmarks.performance.rows.job import finish
from benchmarks.performance.rows.uncached import address
from benchmarks.performance.setup import Setup
from benchmarks.stage import PROCESSES

_GATEWAY = Target("memory-gateway", "A gateway process, of its own", "MB", Sense.AT_MOST, 80)
_WORKER = Target("memory-worker", "A worker's pool process, of its own", "MB", Sense.AT_MOST, 80)
TARGETS: Final = (_GATEWAY, _WORKER)
_REQUESTS: Final = 1000
_JOB_USERS: Final = 10_000
_CONNECTIONS: Final = 8


def measure(setup: Setup) -> Iterator[Figure]:
    """Both rows: the largest of the processes."""
    with setup.stage.gateway() as gateway, setup.stage.worker(gateway) as worker:
        setup.say(f"memory: {_REQUESTS:,} requests, then a job")
        paths = [address(user) for user in setup.users(_REQUESTS)]
        drive(gateway.port, paths, requests=_REQUESTS, connections=_CONNECTIONS)
        users = setup.users(_JOB_USERS)
        finish(gateway.client, users)
        yield _largest(_GATEWAY, gateway.process.pid, setup.stage.models, f"after {_REQUESTS:,} requests")
        yield _largest(_WORKER, worker.pid, setup.stage.models, f"after a job of {len(users):,} users")


def _largest(target: Target, parent: int, models: Path, after: str) -> Figure:
    """Of the children of a process."""
    children = psutil.Process(parent).children()
    full = [child.memory_full_info() for child in children]
    own = [info.uss / 1e6 for info in full]
    resident = max(info.rss for info in full) / 1e6
    mapped, private = _of_the_model(children, models)
    return Figure(
        target,
        max(own),
        f"the larger of {len(own)} of {PROCESSES}, {after}; {resident:.0f} MB resident, most of it shared; of the "
        f"model's {mapped / 1e6:.0f} MB that are mapped {private / 1e6:.1f} MB are there more than once",
        {"uss_megabytes": own, "rss_megabytes": [info.rss / 1e6 for info in full]},
    )


def _of_the_model(children: list[psutil.Process], models: Path) -> tuple[int, int]:
    """Bytes of the model's files that a child has mapped, and those of them that were changed into copies of its own,
    at most over the children."""
    maps = [[file for file in child.memory_maps() if file.path.startswith(str(models))] for child in children]
    mapped = max(sum(file.rss for file in of_child) for of_child in maps)
    copied = max(sum(file.private_dirty for file in of_child) for of_child in maps)
    return mapped, copied
