"""What the settings mean for training and evaluation."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from shared.settings import Settings
from worker.training.estimators.cooccurrence import CoOccurrence
from worker.training.estimators.estimator import Limits
from worker.training.learn import Choice
from worker.training.selection import Policy

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL's


def policy(settings: Settings, *, ordered: bool) -> Policy:
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


def microseconds(moment: datetime) -> int:
    """Since 2000-01-01, as interactions count time."""
    return int((moment - _EPOCH).total_seconds() * 1e6)
