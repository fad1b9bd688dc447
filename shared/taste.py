"""What is known of one user, in the terms of a snapshot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.ids import IndexArray


@dataclass(frozen=True)
class Taste:
    """What a list is made for."""

    genres: frozenset[str]  # genre keys
    history: IndexArray  # (h,), model indices of the titles that say something, rising, distinct
    weights: NDArray[np.float32]  # (h,), how much each counts; below zero for a dislike
    kinds: NDArray[np.int8]  # (h,), values of shared.media.Kind
    seen: IndexArray  # catalogue indices of every title with any interaction
    disliked: IndexArray  # those of them that are disliked
    user: bytes = b""  # whose: exploration draws lots by it

    @classmethod
    def of_nobody(cls, genres: frozenset[str] = frozenset(), user: bytes = b"") -> Taste:
        """Nothing is known but perhaps genres."""
        none = np.empty(0, dtype=np.int64)
        return cls(genres, none, np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int8), none, none, user)
