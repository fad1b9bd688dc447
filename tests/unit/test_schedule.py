"""What is due, by the age of the current model and by when everything was read for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.model import Manifest
from shared.settings import Settings
from worker.training.schedule import Due, due

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def manifest(*, age: timedelta, read_all: timedelta | None) -> Manifest:
    return Manifest(
        version="20260501T110000Z-00000000", created_at=NOW - age, estimator="test", parameters={}, users=1, titles=1,
        interactions=1, neighbours=1, checksums={}, read_all_at=None if read_all is None else NOW - read_all,
    )  # fmt: skip


def settings(refresh: float) -> Settings:
    return Settings.model_construct(training_full_seconds=DAY.total_seconds(), training_refresh_seconds=refresh)


@pytest.mark.parametrize(
    ("current", "refresh", "expected"),
    [
        pytest.param(None, 3600, Due.FULL, id="no model yet"),
        pytest.param(manifest(age=MINUTE, read_all=None), 3600, Due.FULL, id="a model of an older release"),
        pytest.param(manifest(age=MINUTE, read_all=MINUTE), 3600, Due.NOTHING, id="just trained"),
        pytest.param(manifest(age=HOUR, read_all=HOUR), 3600, Due.REFRESH, id="an hour old"),
        pytest.param(manifest(age=MINUTE, read_all=HOUR), 3600, Due.NOTHING, id="refreshed a minute ago"),
        pytest.param(manifest(age=MINUTE, read_all=DAY), 3600, Due.FULL, id="refreshed, but a day without a full run"),
        pytest.param(manifest(age=23 * HOUR, read_all=23 * HOUR), 0, Due.NOTHING, id="never refreshed, as it is set"),
        pytest.param(manifest(age=DAY, read_all=DAY), 0, Due.FULL, id="never refreshed, and a day old"),
    ],
)
def test_what_is_due(current: Manifest | None, refresh: float, expected: Due) -> None:
    assert due(current, NOW, settings(refresh)) is expected
