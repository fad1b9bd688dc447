"""Small models, and how they are published."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
from scipy import sparse

from shared.ids import IdArray, IdIndex, pack_ids
from shared.model import Description, Evidence, Interval, Manifest, Model, Trial
from shared.model_store import ModelStore
from worker.training.publishing import publish

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
NEIGHBOURS = np.array([[0, 2, 1], [2, 0, 0], [1, 0, 0]])
DESCRIPTION = Description(estimator="test", parameters={"k": 2}, users=7, interactions=11)


def model_of(neighbours: sparse.csr_array, titles: IdArray) -> Model:
    """A model in memory, of titles in any order, that was never published."""
    manifest = Manifest(
        version="20240101T000000Z-00000000", created_at=NOW, titles=len(titles), neighbours=neighbours.nnz,
        checksums={}, **DESCRIPTION.model_dump(),
    )  # fmt: skip
    return Model.of(IdIndex(titles), np.zeros(len(titles), dtype=np.float32), neighbours, manifest)


def publish_small(store: ModelStore, *, at: datetime = NOW, **changes: Any) -> Model:
    """Publish a model of three titles, or one that differs from it in some way."""
    model: dict[str, Any] = {
        "titles": pack_ids(UUID(int=i << 64) for i in range(3)),
        "popularity": np.array([3, 2, 1], dtype=np.float32),
        "neighbours": sparse.csr_array(NEIGHBOURS.astype(np.float32)),
        "description": DESCRIPTION,
        "keep": 3,
        "least_share": 0.0,
    }
    return publish(store, **(model | changes), now=at)


def publish_ring(store: ModelStore, titles: range, *, at: datetime, reach: int | None = None, **changes: Any) -> Model:
    """Publish a model in which each title recommends the next one, only the first `reach` being recommended."""
    n = len(titles)
    columns = (np.arange(n) + 1) % (reach or n)
    ring = sparse.csr_array((np.ones(n, dtype=np.float32), (np.arange(n), columns)), shape=(n, n))
    return publish_small(
        store,
        at=at,
        titles=pack_ids(UUID(int=i) for i in titles),
        popularity=np.ones(n, dtype=np.float32),
        neighbours=ring,
        **changes,
    )


def described(accuracy: float, **changes: Any) -> Description:
    """With evidence of that accuracy."""
    interval = Interval(value=accuracy, low=accuracy / 2, high=accuracy * 1.5)
    trial = Trial(estimator="test", parameters={"k": 2}, value=accuracy, seconds=1.5)
    facts = {"split": "last like", "metric": "ndcg@10", "users": 100, "seed": 1, "skipped": ("slow: took too long",)}
    evidence = Evidence(**(facts | changes), accuracy=interval, trials=(trial,))
    return DESCRIPTION.model_copy(update={"evidence": evidence})
