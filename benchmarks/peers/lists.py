"""From what a library says to lists that can be compared."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

NONE = -1  # in a list: no more titles


def by_popularity(matrix: sparse.csr_array) -> NDArray[np.int64]:
    """All titles, shape (titles,): those of most users first, ties by index."""
    return np.argsort(-np.bincount(matrix.indices, minlength=matrix.shape[1]), kind="stable")


def best(scores: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """At most k titles with the highest scores, best first, ties by index; NaN and -inf are no scores."""
    scored = np.flatnonzero(scores > -np.inf)  # NaN is not
    values = scores[scored]
    if k < len(values):
        among = values >= np.partition(values, -k)[-k]
        scored, values = scored[among], values[among]
    return scored[np.argsort(-values, kind="stable")][:k]


def complete(
    ranked: Iterable[NDArray[np.integer]], seen: sparse.csr_array, popular: NDArray[np.int64], k: int
) -> NDArray[np.int64]:
    """Lists of shape (users, k): what the library ranked, less what the user has seen, then what is popular.

    A library that knows nothing of a user, or has scored fewer than k titles, leaves places that any title may take.
    Popularity takes them, for each peer in the same way: a short list would be a loss that is not the model's.
    """
    lists = np.full((seen.shape[0], k), NONE, dtype=np.int64)
    most_popular = popular.tolist()
    for row, titles in enumerate(ranked):
        taken = set(seen.indices[seen.indptr[row] : seen.indptr[row + 1]].tolist())
        place = 0
        for source in (titles.tolist(), most_popular):
            for title in source:
                if place == k:
                    break
                if title != NONE and title not in taken:
                    taken.add(title)
                    lists[row, place] = title
                    place += 1
    return lists
