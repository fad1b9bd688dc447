"""Training whenever it is due: everything now and then, what is newer in between."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final

from shared.errors import ModelRejected, ServiceError, TrainingBusy
from shared.model import Manifest
from shared.settings import Settings
from worker.training.train import Training

# At most, between two looks at what is due: another host may have trained, somebody rolled back.
LOOK_SECONDS: Final = 30.0
_AFTER_FAILURE_SECONDS: Final = 60.0
_AFTER_REFUSAL_SECONDS: Final = 3600.0  # another training at once would be refused as well

_log = logging.getLogger(__name__)


class Due(Enum):
    """What is to be done."""

    NOTHING = "nothing"
    REFRESH = "refresh"  # learn from what is newer
    FULL = "full"  # read everything, search for the best model


def due(current: Manifest | None, now: datetime, settings: Settings) -> Due:
    """What is due, by the current model's age and by when everything was read for it."""
    if current is None or current.read_all_at is None:
        return Due.FULL
    if now - current.read_all_at >= timedelta(seconds=settings.training_full_seconds):
        return Due.FULL
    pause = settings.training_refresh_seconds
    return Due.REFRESH if pause and now - current.created_at >= timedelta(seconds=pause) else Due.NOTHING


def keep_fresh(training: Training, stopped: threading.Event) -> None:
    """Train whenever it is due, until stopped. What fails is tried again after a minute, what is refused in an hour."""
    settings = training.settings
    look = min(LOOK_SECONDS, settings.training_full_seconds, settings.training_refresh_seconds or LOOK_SECONDS)
    pause = 0.0
    while not stopped.wait(pause):
        pause = look
        try:
            step = due(training.models.current_manifest(), datetime.now(UTC), settings)
            if step is Due.FULL:
                training.full()
            elif step is Due.REFRESH:
                training.refresh()
        except TrainingBusy as error:
            _log.info("%s", error)
        except ModelRejected as error:
            _log.error("no new model: %s", error)
            pause = _AFTER_REFUSAL_SECONDS
        except ServiceError as error:
            _log.error("no new model: %s", error)
            pause = _AFTER_FAILURE_SECONDS
        except Exception:  # a defect must not end training for good
            _log.exception("no new model")
            pause = _AFTER_FAILURE_SECONDS
