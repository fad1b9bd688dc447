"""Interactions as training and evaluation see them: settled as a live history is, with a strength each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from shared.compiled import compiled
from shared.ids import IdArray, Places
from shared.interactions import UNKNOWN_TIME, InteractionRows, settle
from shared.media import Kind
from shared.strengths import Strength, Strengths
from worker.training.coded_rows import CodedRows, Codes

_MICROSECONDS_PER_DAY = 86_400_000_000
_AT_ONCE = 200_000
_COLUMNS = ("users", "titles", "kinds", "times", "rows", "values", "strengths")


@dataclass(frozen=True)
class Histories:
    """What users like, and in which order they came to it: what an estimator learns from. Titles nobody likes are left
    out."""

    title_ids: IdArray  # (titles,), what the columns are; sorted, distinct
    matrix: sparse.csr_array  # R (users, titles), float32: the strength of each like or watch, above zero
    places: Codes  # (nnz,), 0 for the oldest of a user's entries

    @property
    def title_degree(self) -> NDArray[np.float64]:
        """Di: likes and watches per title, at least 1, so that its negative powers are finite. Shape (titles,)."""
        return np.maximum(np.bincount(self.matrix.indices, minlength=self.matrix.shape[1]), 1).astype(np.float64)

    @property
    def user_degree(self) -> NDArray[np.float64]:
        """Du: likes and watches per user, at least 1. Shape (users,)."""
        return np.maximum(np.diff(self.matrix.indptr), 1).astype(np.float64)


@dataclass(frozen=True)
class Interactions:
    """m settled (user, title) pairs in order of user, then title, over index spaces of their own."""

    user_ids: IdArray  # (u,), sorted, distinct
    title_ids: IdArray  # (t,), sorted, distinct
    users: Places  # (m,)
    titles: Places  # (m,)
    kinds: NDArray[np.int8]  # (m,), values of Kind
    times: NDArray[np.int64]  # (m,), microseconds since 2000-01-01; UNKNOWN_TIME where it is not known
    rows: NDArray[np.int64]  # (m,), the table's id
    values: NDArray[np.float32]  # (m,), interaction_value or NaN
    strengths: Strength  # (m,), float32: shared/strengths.py

    @classmethod
    def of(cls, found: CodedRows, strengths: Strengths) -> Interactions:
        """Settle rows, in whatever order they are; the result does not depend on it."""
        pairs = settle(found.users, found.titles, found)
        return cls(
            user_ids=found.user_ids,
            title_ids=found.title_ids,
            users=pairs.users,
            titles=pairs.titles,
            kinds=pairs.kinds,
            times=pairs.times,
            rows=pairs.rows,
            values=pairs.values,
            strengths=strengths.of(pairs.kinds, pairs.values),
        )

    def __len__(self) -> int:
        return len(self.users)

    @property
    def ordered(self) -> bool:
        """Whether it is known what came first: the time of most interactions is."""
        return bool(np.mean(self.times > UNKNOWN_TIME) > 0.5) if len(self) else False

    def weighed(self, strengths: Strengths) -> Interactions:
        """The same with other strengths."""
        return replace(self, strengths=strengths.of(self.kinds, self.values))

    def part(self, kept: NDArray[np.bool_]) -> Interactions:
        """The pairs where `kept`, shape (m,), is true; the index spaces stay."""
        return replace(self, **{name: getattr(self, name)[kept] for name in _COLUMNS})

    def found(self) -> InteractionRows:
        """The pairs as rows of the table."""
        return InteractionRows(
            users=self.user_ids[self.users],
            titles=self.title_ids[self.titles],
            kinds=self.kinds,
            times=self.times,
            rows=self.rows,
            values=self.values,
        )

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Where a user likes or watched a title. Shape (m,)."""
        positive: NDArray[np.bool_] = (self.kinds == Kind.LIKE) | (self.kinds == Kind.WATCH)
        return positive

    def histories(self) -> Histories:
        """R, a row per user of the index space."""
        kept = self.positive & (self.strengths > 0)
        users, titles = self.users[kept], self.titles[kept]
        liked = np.bincount(titles, minlength=len(self.title_ids)) > 0
        column = np.cumsum(liked, dtype=np.int32) - np.int32(1)
        starts = np.searchsorted(users, np.arange(len(self.user_ids) + 1))
        matrix = sparse.csr_array(
            (self.strengths[kept], column[titles], starts.astype(np.int32)),
            shape=(len(self.user_ids), int(liked.sum())),
        )
        places = np.empty(len(users), dtype=np.int32)
        _put_in_order(starts, self.times[kept], self.rows[kept], places)
        return Histories(self.title_ids[liked], matrix, places)

    def popularity(self, *, half_life_days: float, now: int) -> NDArray[np.float32]:
        """Shape (t,): sum over the users who like a title of 2^(-age / half-life).

        Age counts from the newest interaction that is not after `now` (microseconds since 2000-01-01); an unknown age
        is that of the oldest. The same formula as EngagementRepository.popularity.
        """
        positive = self.positive
        known = positive & (self.times > UNKNOWN_TIME) & (self.times <= now)
        newest = int(self.times.max(where=known, initial=UNKNOWN_TIME)) if known.any() else 0
        oldest = int(self.times.min(where=known, initial=now)) if known.any() else 0
        popularity = np.zeros(len(self.title_ids))
        for start in range(0, len(self), _AT_ONCE):  # as much at a time as a processor's cache holds
            part = slice(start, start + _AT_ONCE)
            titles, times = self.titles[part][positive[part]], self.times[part][positive[part]]
            weights = np.exp2((np.clip(times, oldest, newest) - newest) / (half_life_days * _MICROSECONDS_PER_DAY))
            popularity += np.bincount(titles, weights=weights, minlength=len(popularity))
        return popularity.astype(np.float32)


@compiled
def _put_in_order(starts: NDArray[np.int64], times: NDArray[np.int64], rows: NDArray[np.int64], places: Codes) -> None:
    """Write to `places`, (n,), where each entry stands in its user's time, then by the table's id; 0: the oldest."""
    for user in range(len(starts) - 1):
        part = slice(starts[user], starts[user + 1])
        by_row = np.argsort(rows[part], kind="mergesort")
        order = by_row[np.argsort(times[part][by_row], kind="mergesort")]
        places[part][order] = np.arange(len(order))
