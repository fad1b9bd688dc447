"""How much an interaction says of a user's taste: decided once, for serving and for training.

    strength = that of LIKE, WATCH or DISLIKE (below zero), times (1 - v) + v * clip(interaction_value / full, 0, 1)

where v is VALUE_WEIGHT. In a history it fades: by its rank, (1 + rank)^-recency with rank 0 the newest, which is learnt
with the model; and, where it is asked for, by age, 2^(-age / half-life), age being measured from the user's newest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.ids import IndexArray, Places
from shared.interactions import UNKNOWN_TIME
from shared.media import Kind
from shared.model_settings import ModelSettings

_MICROSECONDS_PER_DAY = 86_400_000_000

Strength = NDArray[np.float32]


@dataclass(frozen=True)
class Strengths:
    """What the kinds of feedback weigh."""

    like: float
    watch: float
    dislike: float  # below zero, or zero
    value_weight: float = 0.0  # v: how far interaction_value matters, 0 to 1
    value_full: float = 1.0  # the interaction_value that counts fully; larger ones count no more
    half_life_days: float = 0.0  # 0: age does not matter beyond rank

    @classmethod
    def from_settings(cls, settings: ModelSettings) -> Strengths:
        """As they are set."""
        return cls(
            like=settings.like_strength,
            watch=settings.watch_strength,
            dislike=settings.dislike_strength,
            value_weight=settings.value_weight,
            value_full=settings.value_full,
            half_life_days=settings.history_half_life_days,
        )

    def of(self, kinds: NDArray[np.int8], values: NDArray[np.float32]) -> Strength:
        """Strengths of n interactions. kinds: (n,) of Kind; values: (n,), NaN counts fully. Shape (n,), float32."""
        strengths = np.zeros(len(kinds), dtype=np.float32)
        for kind, strength in ((Kind.LIKE, self.like), (Kind.WATCH, self.watch), (Kind.DISLIKE, self.dislike)):
            strengths[kinds == kind] = strength  # an array indexed by kinds would have 8 bytes for each meanwhile
        if self.value_weight:
            share = np.clip(np.nan_to_num(values / self.value_full, nan=1.0), 0.0, 1.0)
            strengths = strengths * (1 - self.value_weight + self.value_weight * share)
        return strengths.astype(np.float32, copy=False)

    def faded(self, strengths: Strength, ranks: IndexArray, days: NDArray[np.float64], *, recency: float) -> Strength:
        """Strengths as they count in a history. ranks: (n,), 0 the user's newest; days: (n,), younger by so much is
        the user's newest. Shape (n,), float32."""
        faded = strengths * (1.0 + ranks) ** -recency
        if self.half_life_days:
            faded = faded * np.exp2(-days / self.half_life_days)
        return faded.astype(np.float32)


@dataclass(frozen=True)
class TimeLine:
    """Entries of several histories, each from its oldest to its newest: by time, then by the table's id."""

    order: IndexArray  # (n,), positions in the arrays given: user by user, each from the oldest on
    places: IndexArray  # (n,), 0 for a user's oldest
    ranks: IndexArray  # (n,), 0 for a user's newest

    @classmethod
    def of(cls, users: Places, times: Places, rows: Places) -> TimeLine:
        """Put histories in order. All arguments have shape (n,); an unknown time is older than any other."""
        order = np.lexsort((rows, times, users))
        of_user = users[order]
        places = np.arange(len(order)) - np.searchsorted(of_user, of_user)
        ranks = np.searchsorted(of_user, of_user, side="right") - 1 - np.arange(len(order))
        return cls(order, places, ranks)

    def days(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        """By how many days each user's newest is younger than the entry, in order. times: (n,), as given to `of`.

        Shape (n,). An unknown time is as old as the user's oldest known.
        """
        if not len(self.order):
            return np.empty(0)
        ordered = times[self.order]
        unknown = ordered == UNKNOWN_TIME
        starts = np.flatnonzero(self.places == 0)
        oldest = np.minimum.reduceat(np.where(unknown, np.iinfo(np.int64).max, ordered), starts)
        newest = ordered[np.arange(len(ordered)) + self.ranks]
        settled = np.where(unknown, np.repeat(oldest, np.diff([*starts, len(ordered)])), ordered)
        days: NDArray[np.float64] = (newest.astype(np.float64) - settled.astype(np.float64)) / _MICROSECONDS_PER_DAY
        days[newest == UNKNOWN_TIME] = 0.0  # nothing is known of this user's times
        return days
