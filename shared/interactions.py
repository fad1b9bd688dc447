"""What a user's interactions with a title come to: the decisions about dirty data, made once for serving and training.

- Several interactions of one user with one title count as one.
- The latest opinion (LIKE or DISLIKE) settles it, whatever was watched before or after; without one, it is a WATCH.
- Latest is by timestamp, then by id; a missing timestamp is the oldest of all.
- Types are compared without case or blanks; an unknown or missing type only makes the title seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.ids import IdArray, Places
from shared.media import Kind

UNKNOWN_TIME = np.iinfo(np.int64).min  # PostgreSQL's '-infinity', which stands for NULL
_LARGEST_VALUE = 1e30  # of interaction_value; 'infinity' and the like say nothing


@dataclass(frozen=True)
class InteractionRows:
    """n rows of the table ``interaction``, a column each."""

    users: IdArray  # (n,)
    titles: IdArray  # (n,)
    kinds: NDArray[np.int8]  # (n,), values of Kind
    times: NDArray[np.int64]  # (n,), microseconds since 2000-01-01 UTC, as PostgreSQL stores them
    rows: NDArray[np.int64]  # (n,), the table's id
    values: NDArray[np.float32]  # (n,), interaction_value; NaN where it is NULL or too large to mean anything

    @classmethod
    def from_records(cls, records: NDArray[Any]) -> InteractionRows:
        """Columns of a structured array with the fields user, title, kind, time, row, value (any byte order)."""
        return cls(
            users=np.ascontiguousarray(records["user"]),
            titles=np.ascontiguousarray(records["title"]),
            kinds=records["kind"].astype(np.int8),
            times=records["time"].astype(np.int64),
            rows=records["row"].astype(np.int64),
            values=meaningful(records["value"].astype(np.float64)),
        )

    def __len__(self) -> int:
        return len(self.users)


def meaningful(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """What is kept of interaction_value: NaN for what is too large to mean anything. Shape (n,), as given."""
    return np.where(np.abs(values) > _LARGEST_VALUE, np.nan, values).astype(np.float32)


@dataclass(frozen=True)
class Settled:
    """m distinct (user, title) pairs, in order of user, then title; each with the interaction that settles it."""

    users: Places  # (m,), as given
    titles: Places  # (m,), as given
    kinds: NDArray[np.int8]  # (m,), values of Kind
    times: NDArray[np.int64]  # (m,), UNKNOWN_TIME where it is not known
    rows: NDArray[np.int64]  # (m,), the table's id
    values: NDArray[np.float32]  # (m,), interaction_value or NaN


class Feedback(Protocol):
    """What rows say, whatever their ids look like."""

    @property
    def kinds(self) -> NDArray[np.int8]:
        """Shape (n,)."""
        ...

    @property
    def times(self) -> NDArray[np.int64]:
        """Shape (n,)."""
        ...

    @property
    def rows(self) -> NDArray[np.int64]:
        """Shape (n,)."""
        ...

    @property
    def values(self) -> NDArray[np.float32]:
        """Shape (n,)."""
        ...


def settle(users: Places, titles: Places, found: Feedback) -> Settled:
    """One standing interaction per (user, title). users and titles, shape (n,), are the positions of found's ids."""
    pairs = users.astype(np.int64) * (int(titles.max(initial=0)) + 1) + titles
    order = np.argsort(pairs)
    last = np.ones(len(order), dtype=np.bool_)
    last[:-1] = pairs[order[1:]] != pairs[order[:-1]]
    # Nearly all pairs are there once. Only the rows of the others are put in order, the one that stands last.
    repeated = ~last
    repeated[1:] |= ~last[:-1]
    places = np.flatnonzero(repeated)
    some = order[places]
    opinion = np.minimum(found.kinds[some], Kind.LIKE)  # LIKE and DISLIKE are equals: the later one stands
    order[places] = some[np.lexsort((found.rows[some], found.times[some], opinion, pairs[some]))]

    kept = order[last]
    del pairs, order, last, repeated, places, some  # the largest of a training are among these
    return Settled(
        users=users[kept],
        titles=titles[kept],
        kinds=found.kinds[kept],
        times=found.times[kept],
        rows=found.rows[kept],
        values=found.values[kept],
    )
