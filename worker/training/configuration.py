"""What the settings mean for training and evaluation."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from shared.catalogue import Listed
from shared.model_settings import ModelSettings
from shared.strengths import Strengths
from worker.training.estimators.cooccurrence import CoOccurrence
from worker.training.estimators.estimator import Limits
from worker.training.evaluator import Platform
from worker.training.learn import Choice
from worker.training.selection import Policy

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL's


def policy(settings: ModelSettings, *, ordered: bool) -> Policy:
    """How a setting is chosen. ordered: whether it is known what came first; if not, order and recency are no use."""
    return Policy(
        default=Choice(
            CoOccurrence(
                history_exponent=settings.model_history_exponent,
                user_exponent=settings.model_user_exponent,
                title_exponent=settings.model_title_exponent,
                order=settings.model_order if ordered else 1.0,
                neighbours=settings.model_neighbours,
            ),
            recency=settings.model_recency if ordered else 0.0,
        ),
        budget_seconds=settings.training_budget_seconds,
        neighbours=settings.model_neighbours,
        limits=Limits(
            threads=settings.training_threads or os.cpu_count() or 1,
            memory_bytes=settings.training_memory_mb * 1_000_000,
        ),
        seed=settings.training_seed,
    )


def platform_of(titles: Listed, settings: ModelSettings, now: datetime) -> Platform:
    """Titles, and how the service is set; without genres or preferences."""
    return Platform(
        titles=titles,
        genres={},
        preferences=None,
        strengths=Strengths.from_settings(settings),
        history_length=settings.history_length,
        popularity_half_life_days=settings.popularity_half_life_days,
        now=microseconds(now),
    )


def microseconds(moment: datetime) -> int:
    """Since 2000-01-01, as interactions count time."""
    return int((moment - _EPOCH).total_seconds() * 1e6)
