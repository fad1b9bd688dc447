"""Histories for estimators, from small dense matrices."""

from __future__ import annotations

from uuid import UUID

import numpy as np
from scipy import sparse

from shared.ids import pack_ids
from worker.training.estimators.estimator import Limits
from worker.training.interactions import Histories

LIMITS = Limits(threads=1, memory_bytes=1_000_000_000)


def histories(matrix: np.ndarray, places: np.ndarray | None = None) -> Histories:
    """Users x titles, strengths; places: the same shape, each entry's place in its user's history (default: by
    column)."""
    r = sparse.csr_array(matrix.astype(np.float32))
    in_order = np.concatenate([np.arange(n) for n in np.diff(r.indptr)] or [[]]).astype(np.int64)
    if places is not None:
        user = np.repeat(np.arange(r.shape[0]), np.diff(r.indptr))
        in_order = places[user, r.indices].astype(np.int64)
    return Histories(pack_ids(UUID(int=i + 1) for i in range(r.shape[1])), r, in_order)
