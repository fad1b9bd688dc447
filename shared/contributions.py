"""Which titles of a history a collaborative score is owed to. Pure numpy.

The raw score of title j is a sum over the history, sum_i w_i S_ij, so each entry i has a share in it:
share_ij = collaborative_j * w_i S_ij / sum_i w_i S_ij. Over the whole history the shares add up to the scaled
collaborative score; what a dislike takes away is a share below zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from shared.ids import IndexArray
from shared.ranked_list import CAUSES, Causes
from shared.snapshot import Snapshot
from shared.taste import Taste

_MOST_STEPS = np.iinfo(np.uint16).max  # where a dislike takes nearly everything away, a share may be far above 1


def causes(
    taste: Taste, titles: IndexArray, collaborative: NDArray[np.uint16], snapshot: Snapshot, most: int
) -> Causes:
    """The largest shares, above zero, in the score of each of the first `most` titles.

    titles: (n,), catalogue indices. collaborative: (n,), their scores in steps.
    """
    found = Causes.none(len(titles))
    owed = np.flatnonzero(collaborative[:most] > 0)
    if snapshot.model is None or not len(owed) or not len(taste.history):
        return found
    columns = snapshot.model_place[titles[owed]]
    shared = sparse.csr_array(snapshot.model.neighbours[taste.history][:, columns]).toarray().T.astype(np.float64)
    shared *= taste.weights  # (k, h)
    raw = np.maximum(shared.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)  # the scorer's sum may be rounded up
    count = min(CAUSES, len(taste.history))
    largest = np.argpartition(-shared, count - 1, axis=1)[:, :count]
    parts = np.take_along_axis(shared, largest, axis=1)
    order = np.lexsort((largest, -parts), axis=1)
    largest, parts = np.take_along_axis(largest, order, axis=1), np.take_along_axis(parts, order, axis=1)
    # Sums are rounded, not shares: so the shares of a whole history add up exactly.
    sums = np.rint(np.cumsum(np.maximum(parts, 0), axis=1) / raw * collaborative[owed, None])
    places, shares = found.places.copy(), found.shares.copy()
    shares[owed, :count] = np.diff(np.clip(sums, 0, _MOST_STEPS), axis=1, prepend=0)
    places[owed, :count] = np.where(shares[owed, :count] > 0, largest + 1, 0)
    return Causes(snapshot.model.titles.ids[taste.history], taste.kinds.astype(np.uint8), places, shares)
