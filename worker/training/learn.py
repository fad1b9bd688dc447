"""From histories to a model, by one setting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from scipy import sparse

from shared.errors import NothingToTrainOn
from shared.ids import IdIndex
from shared.model import Manifest, Model
from worker.training.estimators.estimator import Estimator, Limits
from worker.training.interactions import Histories

Fit = Callable[[Estimator, Histories, Limits], sparse.csr_array]
"""How an estimator's S comes about: as Estimator.fit does."""


@dataclass(frozen=True)
class Choice:
    """A setting: how neighbours are learnt, and how fast a history fades when they are used."""

    estimator: Estimator
    recency: float  # r: shared/strengths.py

    @property
    def name(self) -> str:
        """The estimator's."""
        return self.estimator.name

    @property
    def parameters(self) -> Mapping[str, float | int]:
        """The estimator's, and r."""
        return {**self.estimator.parameters, "r": self.recency}

    def model(self, fitted: Model) -> Model:
        """What the same estimator learnt, with this recency."""
        return replace(fitted, manifest=fitted.manifest.model_copy(update={"recency": self.recency}))


def in_this_process(estimator: Estimator, histories: Histories, limits: Limits) -> sparse.csr_array:
    """A Fit: the estimator's own."""
    return estimator.fit(histories, limits)


def learn(histories: Histories, choice: Choice, limits: Limits, fit: Fit = in_this_process) -> Model:
    """A model of these histories that is not published; its popularity is left at zero.

    Raises NothingToTrainOn, TrainingTooLarge.
    """
    if not histories.matrix.nnz:
        raise NothingToTrainOn("there are no likes or watches")
    neighbours = fit(choice.estimator, histories, limits)
    if not neighbours.nnz:
        raise NothingToTrainOn("no two titles share a user: every user has liked or watched only one")
    return Model.of(
        titles=IdIndex(histories.title_ids),
        popularity=np.zeros(len(histories.title_ids), dtype=np.float32),
        neighbours=neighbours,
        manifest=Manifest(
            version="unpublished",
            created_at=datetime.now(UTC),
            estimator=choice.name,
            parameters=dict(choice.parameters),
            users=histories.matrix.shape[0],
            titles=len(histories.title_ids),
            interactions=histories.matrix.nnz,
            recency=choice.recency,
            neighbours=neighbours.nnz,
            checksums={},
        ),
    )
