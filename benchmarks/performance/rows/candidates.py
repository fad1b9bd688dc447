"""What was tried beside what is there: in one process, in turns, without targets.

A figure above 1 says that the other way takes so many times as long.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Final

from redis import ConnectionPool, Redis
from redis._parsers import _HiredisParser, _RESP2Parser

from benchmarks.performance.figures import Figure, Target
from benchmarks.performance.in_process import Inside, inside
from benchmarks.performance.setup import Setup
from shared.list_name import ListName
from shared.model import WIDE
from shared.options import PLAIN
from shared.pages import Pages, Ranking
from shared.parts import Parts
from shared.scorer import Weights, rank
from shared.snapshot import Snapshot
from shared.taste import Taste

_BLOCK = Target("candidates-block", "A batch's sums as a dense block (scipy)", "times all of our loop")
_WIDE = Target("candidates-wide", "A batch by columns of four bytes", "times by two")
_PARSER = Target("candidates-parser", "40 lists from Redis by redis-py's own parser", "times by hiredis")
_CYCLES = Target("candidates-cycles", "Pages with collections every 10,000 objects", "times every 700, Python's own")
TARGETS: Final = (_BLOCK, _WIDE, _PARSER, _CYCLES)
_USERS: Final = 2000
_BATCH: Final = 500
_LISTS: Final = 40
_LIST_BYTES: Final = 1118  # of a cached list of 200 titles
_EXCHANGES: Final = 1000
_TITLES: Final = 10
_COLLECTIONS: Final = (10_000, 700)

Work = Callable[[], object]


def measure(setup: Setup) -> Iterator[Figure]:
    """All rows."""
    users = setup.users(_USERS)
    with inside(setup.stage) as service:
        tastes, weights = service.tastes(users), service.weights
        batches = [tastes[start : start + _BATCH] for start in range(0, len(tastes), _BATCH)]
        model = service.model
        wide = replace(service.snapshot, model=replace(model, columns=model.columns.astype(WIDE)))
        ours = partial(_rank, service.snapshot, weights, batches)
        yield _beside(setup, _BLOCK, partial(_dense_blocks, service, batches), ours)
        yield _beside(setup, _WIDE, partial(_rank, wide, weights, batches), ours)
    yield _beside(setup, _PARSER, *(_exchanges(setup, parser) for parser in (_RESP2Parser, _HiredisParser)))
    parts = Parts.build(setup.stage.settings(), processes=1, threads=1, publish=lambda _: None)
    parts.start()
    try:
        lists, version = parts.recommender.rank_chunk(users[:_BATCH], limit=_TITLES, explain=True)
        rankings = {
            ListName.of_user(user, PLAIN): Ranking(ranked, version, cached=False, degraded=False)
            for user, ranked in zip(users, lists, strict=False)
        }
        render = partial(_render, Pages(parts.titles), rankings)
        yield _beside(setup, _CYCLES, *(partial(_collecting_every, count, render) for count in _COLLECTIONS))
    finally:
        parts.close()


def _render(pages: Pages, rankings: Mapping[ListName, Ranking]) -> None:
    with pages.asked(rankings, limit=_TITLES, explain=True, bulk=True) as asked:
        asked()


def _beside(setup: Setup, target: Target, other: Work, ours: Work) -> Figure:
    sides: tuple[list[float], list[float]] = ([], [])
    ours(), other()
    for _ in setup.turns(target.row):
        for side, work in zip(sides, (other, ours), strict=True):
            begun = time.perf_counter()
            work()
            side.append(time.perf_counter() - begun)
    theirs, mine = map(median, sides)
    details = f"{theirs * 1000:.0f} ms beside {mine * 1000:.0f}; medians of {setup.runs} in turns"
    return Figure(target, theirs / mine, details, {"seconds": sides})


def _rank(snapshot: Snapshot, weights: Weights, batches: Sequence[Sequence[Taste]]) -> None:
    for batch in batches:
        rank(batch, snapshot, weights)


def _dense_blocks(service: Inside, batches: Sequence[Sequence[Taste]]) -> None:
    for batch in batches:
        (service.histories(batch) @ service.model.neighbours).toarray()


def _exchanges(setup: Setup, parser: type) -> Work:
    pool = ConnectionPool.from_url(setup.stage.valkey.url(0), parser_class=parser, socket_timeout=5.0)
    keys = [f"candidate:{number}" for number in range(_LISTS)]

    def work() -> None:
        with Redis(connection_pool=pool) as client:
            for key in keys:
                client.set(key, bytes(_LIST_BYTES), ex=60)
            for _ in range(_EXCHANGES):
                client.mget(keys)

    return work


def _collecting_every(objects: int, work: Work) -> None:
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(objects)
    try:
        work()
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
