"""One training, from the database to the published model."""

from __future__ import annotations

import logging
import os
import time
from datetime import UTC, datetime

from shared.databases import Database
from shared.errors import NothingToTrainOn
from shared.model import Description, Model
from shared.model_store import ModelStore
from shared.repositories.engagement import EngagementRepository
from shared.settings import Settings
from worker.training.cooccurrence import CoOccurrence
from worker.training.interactions import read_positives
from worker.training.publishing import publish

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL's

_log = logging.getLogger(__name__)


def train(engagement: Database, models: ModelStore, settings: Settings, *, force: bool = False) -> Model:
    """Learn neighbours from every positive interaction and make them the current model.

    force: even if it is much less than the current one.
    Raises NothingToTrainOn, DatabaseUnavailable, StorageUnavailable, ModelRejected; the current model then stays.
    """
    started = time.perf_counter()
    now = datetime.now(UTC)
    positives = read_positives(EngagementRepository(engagement))
    users, titles = positives.matrix.shape
    interactions = positives.matrix.nnz
    if not interactions:
        raise NothingToTrainOn("engagement_db holds no likes or watches")
    _log.info("read %s positives of %s users, %.1f s", interactions, users, time.perf_counter() - started)

    estimator = CoOccurrence(
        history_exponent=settings.model_history_exponent,
        user_exponent=settings.model_user_exponent,
        title_exponent=settings.model_title_exponent,
        neighbours=settings.model_neighbours,
    )
    neighbours = estimator.fit(positives.matrix, threads=settings.training_threads or os.cpu_count() or 1)
    if not neighbours.nnz:
        raise NothingToTrainOn("no two titles share a user: every user has liked or watched only one")
    model = publish(
        models,
        titles=positives.titles,
        popularity=positives.popularity(
            half_life_days=settings.popularity_half_life_days,
            now=int((now - _EPOCH).total_seconds() * 1e6),
        ),
        neighbours=neighbours,
        description=Description(
            estimator=estimator.name, parameters=estimator.parameters(), users=users, interactions=interactions
        ),
        keep=settings.model_versions_kept,
        now=now,
        least_share=settings.model_least_share,
        force=force,
    )
    _log.info("model %s: %s titles, %.1f s in all", model.version, titles, time.perf_counter() - started)
    return model
