"""Genres as bits."""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np

from shared.catalogue import GenreMask


def masks(genres: Sequence[Set[int]], words: int = 1) -> GenreMask:
    """A row of bits for each set of genres."""
    rows = [[sum(1 << bit % 64 for bit in some if bit // 64 == word) for word in range(words)] for some in genres]
    return np.array(rows, dtype=np.uint64).reshape(len(genres), words)
