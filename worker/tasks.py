"""The tasks: a message's arguments as a contract, one call, done. What a message asks for is in shared/contracts.py.

A task never retries itself: what is not done is in the ledger, and the reconciler wakes somebody up for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery import Celery

from shared.contracts import BATCH_TASK, CHUNK_TASK, TRAIN_TASK, BatchMessage, ChunkMessage, parse
from shared.errors import DatabaseUnavailable, InvalidRequest, JobNotFound, NothingToTrainOn
from shared.job_states import ChunkRef
from shared.parts import Parts
from worker.training.train import train

_CHUNK_LIMITS = {"soft_time_limit": 100, "time_limit": 110}  # s, within the lease
_TRAINING_LIMITS = {"soft_time_limit": 3600, "time_limit": 3660}  # s
_LEDGER_DOWN = {"max_retries": None, "countdown": 5}  # s

_log = logging.getLogger(__name__)


def register(app: Celery, parts: Callable[[], Parts]) -> None:
    """Add the tasks to the application. parts: gives the running process's parts."""

    def batch(task: Any, /, *args: Any, **arguments: Any) -> None:
        """Accept a batch that another service published; its chunks then run like any other's."""
        settings = parts().settings
        try:
            message = parse(BatchMessage, _keywords(args, arguments), most_users=settings.job_users)
            parts().jobs.submit(message.user_ids, limit=message.limit, job_id=message.job_id)
        except InvalidRequest as error:
            _log.error("message %s is refused: %s", task.request.id, error)
        except DatabaseUnavailable as error:  # nothing is written yet, so the message is all there is
            raise task.retry(exc=error, **_LEDGER_DOWN) from error

    def chunk(task: Any, /, *args: Any, **arguments: Any) -> None:
        """Do one chunk of a job that is in the ledger."""
        try:
            message = parse(ChunkMessage, _keywords(args, arguments))
            parts().jobs.work(ChunkRef(message.job_id, message.chunk_no))
        except (InvalidRequest, JobNotFound) as error:
            _log.error("message %s is refused: %s", task.request.id, error)
        except DatabaseUnavailable as error:
            _log.warning("the ledger does not answer, the reconciler will see to it: %s", error)

    def train_model() -> None:
        """Train on everything in engagement_db and make the result current."""
        try:
            train(parts().databases.engagement, parts().models, parts().settings)
        except NothingToTrainOn as error:
            _log.warning("no new model: %s", error)

    app.task(batch, name=BATCH_TASK, bind=True, **_CHUNK_LIMITS)
    app.task(chunk, name=CHUNK_TASK, bind=True, **_CHUNK_LIMITS)
    app.task(train_model, name=TRAIN_TASK, **_TRAINING_LIMITS)


def _keywords(args: tuple[Any, ...], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a message, which must all be named."""
    if args:
        raise InvalidRequest("arguments must be given by name (kwargs), not by place (args)")
    return arguments
