"""Who likes what on a platform that does not exist: power laws on both sides, tastes in clusters.

A user's share of the interactions falls with the user's rank as (rank + q)^-a, a title's likewise; q grows with the
size, so that a platform ten times as large looks alike. Each user and each title is of one cluster. An interaction
falls on a title of the user's own cluster with probability 0.5, else on any; within either the title's share decides.
Interactions are drawn one by one, so rows of one user lie scattered, as they do in life, and memory does not grow with
their number. A pair may be drawn twice: somebody watches a title, and then likes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.ids import ID_BYTES, IdArray, IndexArray, id_array
from shared.media import Kind

BLOCK: Final = 500_000  # interactions drawn at once
GENRES: Final = (
    "Action", "Adventure", "Animation", "Biography", "Comedy", "Crime", "Documentary", "Drama", "Family", "Fantasy",
    "History", "Horror", "Music", "Mystery", "Romance", "Science Fiction", "Thriller", "War",
)  # fmt: skip

_USER_EXPONENT, _USER_SHIFT = 0.8, 1 / 70  # of users
_TITLE_EXPONENT, _TITLE_SHIFT = 0.9, 1 / 60  # of titles
_CLUSTERS = 12
_LOYALTY = 0.5
_KINDS: Final = (Kind.LIKE, Kind.WATCH, Kind.DISLIKE)
_KIND_SHARES: Final = (0.45, 0.45, 0.10)
_DAYS = 730  # the time they are spread over, up to now
_MICROSECONDS_PER_DAY = 86_400_000_000

# What is drawn besides the blocks of interactions, which count from 0.
_TITLE_GENRES, _USER_GENRES, _YEARS, _USER_CLUSTERS, _TITLE_CLUSTERS, _USER_IDS, _TITLE_IDS = (
    number << 40 for number in range(1, 8)
)


@dataclass(frozen=True)
class Size:
    """How large a platform is."""

    users: int
    titles: int
    interactions: int  # rows


S: Final = Size(users=70_000, titles=15_000, interactions=10_231_000)  # 8.5 million distinct pairs liked or watched


@dataclass(frozen=True)
class Interactions:
    """n rows, in the order in which they happened."""

    users: IndexArray  # (n,)
    titles: IndexArray  # (n,)
    kinds: NDArray[np.int8]  # (n,), values of Kind
    times: NDArray[np.int64]  # (n,), microseconds since 2000-01-01


class Platform:
    """The platform of one size and seed: always the same."""

    def __init__(self, size: Size, *, seed: int = 1) -> None:
        self.size = size
        self._seed = seed

    @cached_property
    def user_ids(self) -> IdArray:
        """Shape (users,)."""
        return _ids(self.size.users, self._draw(_USER_IDS))

    @cached_property
    def title_ids(self) -> IdArray:
        """Shape (titles,)."""
        return _ids(self.size.titles, self._draw(_TITLE_IDS))

    def blocks(self, *, until: int) -> Iterator[Interactions]:
        """All interactions. until: when the last one happens, microseconds since 2000-01-01."""
        step = _DAYS * _MICROSECONDS_PER_DAY / self.size.interactions
        for number, start in enumerate(range(0, self.size.interactions, BLOCK)):
            count = min(BLOCK, self.size.interactions - start)
            draw = self._draw(number)
            users = np.searchsorted(self._user_shares, draw.random(count), side="right")
            times = until - ((self.size.interactions - start - np.arange(count)) * step).astype(np.int64)
            kinds = draw.choice(np.array(_KINDS, dtype=np.int8), size=count, p=_KIND_SHARES)
            yield Interactions(users, self._titles_for(users, draw), kinds, times)

    def genres_of_titles(self) -> tuple[IndexArray, IndexArray]:
        """Which title (place) has which genre (place in GENRES): one to three each, mostly its cluster's."""
        draw = self._draw(_TITLE_GENRES)
        titles = np.arange(self.size.titles).repeat(draw.integers(1, 4, self.size.titles))
        return _distinct(titles, self._genres(self._title_clusters[titles], draw))

    def genres_of_users(self) -> tuple[IndexArray, IndexArray]:
        """Which user (place) prefers which genre: none to three each, mostly the cluster's."""
        draw = self._draw(_USER_GENRES)
        users = np.arange(self.size.users).repeat(draw.integers(0, 4, self.size.users))
        return _distinct(users, self._genres(self._user_clusters[users], draw))

    def years(self) -> NDArray[np.int32]:
        """Of release, shape (titles,)."""
        draw = self._draw(_YEARS)
        return (2026 - np.minimum(draw.exponential(12.0, self.size.titles), 90)).astype(np.int32)

    @cached_property
    def _user_clusters(self) -> IndexArray:
        return self._draw(_USER_CLUSTERS).integers(0, _CLUSTERS, self.size.users)

    @cached_property
    def _title_clusters(self) -> IndexArray:
        return self._draw(_TITLE_CLUSTERS).integers(0, _CLUSTERS, self.size.titles)

    @cached_property
    def _user_shares(self) -> NDArray[np.float64]:
        return _cumulative(_power_law(self.size.users, _USER_EXPONENT, _USER_SHIFT))

    @cached_property
    def _by_cluster(self) -> tuple[IndexArray, NDArray[np.float64], NDArray[np.float64]]:
        """Titles cluster by cluster, their cumulative shares in that order, and where in these each cluster begins."""
        order = np.argsort(self._title_clusters, kind="stable")
        shares = _cumulative(_power_law(self.size.titles, _TITLE_EXPONENT, _TITLE_SHIFT)[order])
        ends = np.searchsorted(self._title_clusters[order], np.arange(_CLUSTERS + 1))
        return order, shares, np.concatenate([[0.0], shares])[ends]

    def _draw(self, what: int) -> np.random.Generator:
        return np.random.default_rng((self._seed, what))

    def _titles_for(self, users: IndexArray, draw: np.random.Generator) -> IndexArray:
        order, shares, starts = self._by_cluster
        cluster = self._user_clusters[users]
        low, high = starts[cluster], starts[cluster + 1]
        anywhere = draw.random(len(users)) >= _LOYALTY
        anywhere |= high <= low  # a cluster without titles
        low, high = np.where(anywhere, 0.0, low), np.where(anywhere, 1.0, high)
        place = np.searchsorted(shares, low + draw.random(len(users)) * (high - low), side="right")
        titles: IndexArray = order[np.minimum(place, len(order) - 1)]
        return titles

    @staticmethod
    def _genres(clusters: IndexArray, draw: np.random.Generator) -> IndexArray:
        own = (clusters * 3 + draw.integers(0, 3, len(clusters))) % len(GENRES)
        return np.where(draw.random(len(clusters)) < _LOYALTY, own, draw.integers(0, len(GENRES), len(clusters)))


def _power_law(count: int, exponent: float, shift: float) -> NDArray[np.float64]:
    return np.asarray((np.arange(count) + max(1.0, shift * count)) ** -exponent, dtype=np.float64)


def _cumulative(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.cumsum(weights)
    return np.asarray(sums / sums[-1], dtype=np.float64)


def _distinct(left: IndexArray, right: IndexArray) -> tuple[IndexArray, IndexArray]:
    pairs = np.unique(left * len(GENRES) + right)
    return pairs // len(GENRES), pairs % len(GENRES)


def _ids(count: int, draw: np.random.Generator) -> IdArray:
    """Random ids of the form of UUIDs (RFC 9562, version 4)."""
    raw = np.frombuffer(bytearray(draw.bytes(ID_BYTES * count)), dtype=np.uint8).reshape(count, ID_BYTES)
    raw[:, 6] = raw[:, 6] & 0x0F | 0x40
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80
    return id_array(raw.tobytes())
