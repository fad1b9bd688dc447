"""Interactions for tests: from tuples, and drawn at random around clusters of taste."""

from __future__ import annotations

from uuid import UUID

import numpy as np

from shared.catalogue import Listed
from shared.ids import IdArray, pack_ids, to_uuids
from shared.interactions import UNKNOWN_TIME, InteractionRows
from shared.media import Kind
from shared.strengths import Strengths
from worker.training.coded_rows import CodedRows
from worker.training.evaluator import Platform
from worker.training.interactions import Interactions

DAY = 86_400_000_000  # microseconds
STRENGTHS = Strengths(like=1.0, watch=0.5, dislike=-0.2)

Row = tuple[int, int, Kind, int | None]  # user, title, kind, time in microseconds or None


def uid(number: int) -> UUID:
    """A user's or a title's id."""
    return UUID(int=number + 1)


def numbers(ids: IdArray) -> list[int]:
    """The numbers that ids were made of."""
    return [i.int - 1 for i in to_uuids(ids)]


def table(*found: Row, values: list[float] | None = None) -> InteractionRows:
    """Rows of the table `interaction`; a row's id is its place."""
    users, titles, kinds, times = zip(*found, strict=True) if found else ((), (), (), ())
    return InteractionRows(
        users=pack_ids(map(uid, users)),
        titles=pack_ids(map(uid, titles)),
        kinds=np.array(kinds, dtype=np.int8),
        times=np.array([UNKNOWN_TIME if time is None else time for time in times], dtype=np.int64),
        rows=np.arange(len(found), dtype=np.int64),
        values=np.array(values if values is not None else [np.nan] * len(found), dtype=np.float32),
    )


def interactions(*found: Row, strengths: Strengths = STRENGTHS) -> Interactions:
    """Settled."""
    return Interactions.of(CodedRows.of(table(*found)), strengths)


def likes(*histories: list[int]) -> Interactions:
    """Each user's titles, oldest first, all liked, a day between them."""
    return interactions(
        *((user, title, Kind.LIKE, day * DAY) for user, titles in enumerate(histories) for day, title in
          enumerate(titles))
    )  # fmt: skip


def clustered(users: int = 60, clusters: int = 4, size: int = 10, each: int = 8, seed: int = 1) -> list[Row]:
    """Users of whom each likes `each` of the `size` titles of one cluster, in an order that means nothing."""
    draw = np.random.default_rng(seed)
    found: list[Row] = []
    for user in range(users):
        titles = draw.choice(size, each, replace=False) + size * (user % clusters)
        found.extend((user, int(title), Kind.LIKE, day * DAY) for day, title in enumerate(titles))
    return found


def sequels(users: int = 80, series: int = 6, length: int = 12, each: int = 7, seed: int = 1) -> list[Row]:
    """Users who each follow one series from somewhere on: the next title is always the one after the last."""
    draw = np.random.default_rng(seed)
    found: list[Row] = []
    for user in range(users):
        begin = int(draw.integers(0, length - each + 1))
        of = int(draw.integers(0, series))
        found.extend((user, of * length + begin + i, Kind.LIKE, i * DAY) for i in range(each))
    return found


def platform(titles: IdArray, **known: object) -> Platform:
    """A platform with these titles, of which nothing else is known unless it is said."""
    settings: dict[str, object] = {
        "genres": {},
        "preferences": None,
        "strengths": STRENGTHS,
        "history_length": 500,
        "popularity_half_life_days": 365.0,
        "now": 10_000 * DAY,
    }
    return Platform(titles=Listed.ids_only(titles), **(settings | known))
