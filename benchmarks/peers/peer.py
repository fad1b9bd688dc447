"""What the benchmark asks of another library's recommender, and what can go wrong with one.

PeerError
├── NotPossible     the machine has less memory than the model would need; nothing was started
└── NotFitted       the library gave up on this setting, by its own words
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Protocol, TypeAlias

import numpy as np
import psutil
from numpy.typing import NDArray
from scipy import sparse

Setting: TypeAlias = Mapping[str, float | int]

# (users, history, seen, k) -> lists of shape (users, k): title indices, best first, -1 where there are no more.
# `users` are rows of the matrix of the fit; `history` and `seen` have one row for each of them, in the same order.
# Titles of `seen` are left out, and no title is in a list twice.
Recommend: TypeAlias = Callable[
    [NDArray[np.int64], sparse.csr_array, sparse.csr_array, int],
    NDArray[np.int64],
]


class PeerError(Exception):
    """The root: anything a peer raises on purpose."""


class NotPossible(PeerError):
    """The machine has less memory than the model would need; nothing was started."""


class NotFitted(PeerError):
    """The library gave up on this setting, by its own words."""


class Peer(Protocol):
    """One model of one library."""

    @property
    def name(self) -> str:
        """For tables: the library and the model."""
        ...

    def settings(self) -> Sequence[Setting]:
        """What is tried on validation, the likeliest first: a budget may end before the last."""
        ...

    def needs_bytes(self, matrix: sparse.csr_array) -> int:
        """The most memory that a fit of any of the settings takes, roughly, on top of the matrix."""
        ...

    def fit(self, matrix: sparse.csr_array, setting: Setting, *, seed: int) -> Recommend:
        """R (users, titles), float32, ones -> the model. Raises NotPossible and NotFitted."""
        ...


@dataclass(frozen=True)
class Unavailable:
    """A library that cannot be imported, and why."""

    name: str
    reason: str


def check_memory(peer: Peer, matrix: sparse.csr_array) -> None:
    """Raises NotPossible when the model of this matrix is larger than the memory that is free now."""
    needed, free = peer.needs_bytes(matrix), psutil.virtual_memory().available
    if needed > free:
        raise NotPossible(
            f"{peer.name} needs about {needed / 1e9:,.0f} GB for {matrix.shape[1]:,} titles, "
            f"and {free / 1e9:,.0f} GB of memory are free"
        )


def grid(**values: Sequence[float | int]) -> list[dict[str, float | int]]:
    """Every combination of the values, the last name's changing fastest."""
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]
