"""Which titles of a history a collaborative score is owed to. Pure numpy.

The raw score of title j is a sum over the history, sum_i w_i S_ij. Each entry i that speaks for j has a share in it:
share_ij = collaborative_j * w_i S_ij / (the sum of such terms). Over the whole history the shares add up to the scaled
collaborative score; what speaks against j, a dislike mostly, has lowered the score, and has no share.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from shared.ids import IndexArray
from shared.ranked_list import CAUSES, Causes
from shared.snapshot import Snapshot
from shared.taste import Taste


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
    shared = np.maximum(shared, 0)
    raw = shared.sum(axis=1, keepdims=True)  # above zero, or there were no collaborative score
    count = min(CAUSES, len(taste.history))
    largest = np.argpartition(-shared, count - 1, axis=1)[:, :count]
    parts = np.take_along_axis(shared, largest, axis=1)
    order = np.lexsort((largest, -parts), axis=1)
    largest, parts = np.take_along_axis(largest, order, axis=1), np.take_along_axis(parts, order, axis=1)
    # Sums are rounded, not shares: so the shares of a whole history add up exactly.
    sums = np.rint(np.cumsum(parts, axis=1) / raw * collaborative[owed, None])
    places, shares = found.places.copy(), found.shares.copy()
    shares[owed, :count] = np.diff(sums, axis=1, prepend=0)
    places[owed, :count] = np.where(shares[owed, :count] > 0, largest + 1, 0)
    return Causes(snapshot.model.titles.ids[taste.history], taste.kinds.astype(np.uint8), places, shares)
