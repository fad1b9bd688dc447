"""A list that is in the cache, beside a Flask route that returns constant bytes.

The route is a bare Flask application without any hook of ours (request ids, CORS, compression, errors), under the same
gunicorn.conf.py with as many processes and threads, and its answer is as long as ours are on average. Both servers are
up all the time and are asked in turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.performance import profiles
from benchmarks.performance.figures import Figure, Plot, Sense, Target
from benchmarks.performance.load import Load, drive
from benchmarks.performance.processor import Spent
from benchmarks.performance.rows.uncached import address
from benchmarks.performance.setup import Setup
from benchmarks.stage import Gateway

_FEW = Target(
    "cached", "Cached GETs, a hundred users in turn, 8 connections", "", Sense.AT_LEAST, 0.8,
    "of the requests/s of a constant route",
)  # fmt: skip
_MANY = Target("cached-5000", "The same, 5,000 users in turn", "of a constant route")
TARGETS: Final = (_FEW, _MANY)

_USERS: Final = {_FEW: 100, _MANY: 5000}
# Of a run. That of few users lasts twice as long as a process remembers a page: each is made anew as often as in a load
# that never ends.
_REQUESTS: Final = {_FEW: 60_000, _MANY: 10_000}
_CONNECTIONS: Final = 8
_LIFE_SECONDS: Final = 7200  # of the lists: none ends while it is measured


@dataclass(frozen=True)
class _Asked:
    load: Load
    cpu: float  # seconds of the gateway's processes, per request


def measure(setup: Setup) -> Iterator[Figure]:
    """Both rows."""
    with setup.stage.gateway(cache_seconds=_LIFE_SECONDS) as ours:
        for target in TARGETS:
            paths = [address(user) for user in setup.users(_USERS[target])]
            requests = _REQUESTS[target]
            setup.say(f"{target.row}: {len(paths):,} lists are put into the cache")
            drive(ours.port, paths, requests=len(paths), connections=_CONNECTIONS)
            filled = drive(ours.port, paths, requests=len(paths), connections=_CONNECTIONS)
            application = f"benchmarks.performance.constant:create_app({round(filled.body_bytes / len(paths))})"
            with setup.stage.gateway(application, path="/constant") as constant:
                yield _beside(setup, target, ours, paths, constant, requests)


def profile(setup: Setup) -> str:
    """Of a hundred users' cached lists, ten times each."""
    paths = [address(user) for user in setup.users(_USERS[_FEW])] * 10
    return profiles.of_requests(setup.stage, paths, cache_seconds=_LIFE_SECONDS)


def _beside(
    setup: Setup, target: Target, ours: Gateway, paths: Sequence[str], constant: Gateway, requests: int
) -> Figure:
    sides: dict[str, list[_Asked]] = {"this service": [], "constant bytes": []}
    turn = {"this service": (ours, paths), "constant bytes": (constant, ["/constant"])}
    for _ in setup.turns(f"{target.row}, {requests:,} requests"):
        for name, (gateway, asked) in turn.items():
            _ask(gateway, asked, requests // 10)  # what was forgotten while the other side was asked
            sides[name].append(_ask(gateway, asked, requests))
    rates = {name: [asked.load.rate for asked in side] for name, side in sides.items()}
    cpu = {name: median(asked.cpu for asked in side) for name, side in sides.items()}
    mine, theirs = (median(side) for side in rates.values())
    my_cpu, their_cpu = (seconds * 1e6 for seconds in cpu.values())
    plot = Plot(
        target.row,
        f"Cached GETs, {len(paths):,} users in turn, {_CONNECTIONS} connections",
        "",
        "requests/s",
        bars={f"median of {setup.runs}": {name: median(side) for name, side in rates.items()}},
    )
    return Figure(
        target,
        mine / theirs,
        f"{mine:,.0f} requests/s beside {theirs:,.0f}; processor time of the gateway's processes per request "
        f"{my_cpu:.0f} µs beside {their_cpu:.0f}; answers of {sides['constant bytes'][0].load.body_bytes // requests:,}"
        f" bytes; medians of {setup.runs} in turns",
        {"rates": rates, "cpu_seconds_per_request": cpu},
        [plot],
    )


def _ask(gateway: Gateway, paths: Sequence[str], requests: int) -> _Asked:
    spent = Spent(gateway=gateway.process)
    load = drive(gateway.port, paths, requests=max(1, requests), connections=_CONNECTIONS)
    return _Asked(load, spent.per(max(1, requests))["gateway"])
