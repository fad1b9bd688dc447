"""The tasks: a message's arguments as a contract, one call, done. What a message asks for is in shared/contracts.py.

A task never retries itself: a chunk that is not done is in the ledger, and somebody is woken up for it; a batch that is
not in the ledger yet is put back on the queue.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, NoReturn

import orjson
from celery import Celery, Task
from celery.exceptions import Reject, SoftTimeLimitExceeded
from celery.worker.request import Request
from pydantic import TypeAdapter, ValidationError

from shared.broker import PublishBlocks
from shared.contracts import (
    BATCH_TASK,
    BLOCK_TASK,
    CHUNK_TASK,
    QUEUE,
    ROLLBACK_TASK,
    TRAIN_TASK,
    Addressed,
    BatchMessage,
    BlockMessage,
    CallbackUrl,
    ChunkMessage,
    ReplyQueue,
    RollbackMessage,
    parse_batch,
)
from shared.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    IdempotencyMismatch,
    InvalidRequest,
    JobNotFound,
    ModelRejected,
    NoSuchModel,
    NothingToTrainOn,
    QueueFull,
    ShareExceeded,
    StorageUnavailable,
    TrainingBusy,
)
from shared.job_states import PUBLISHERS, Announce, ChunkRef, Order
from shared.parsing import parse
from shared.parts import Parts
from shared.rollback import roll_back
from worker.guard.dead_letters import DeadLetters
from worker.training.blocks.workbench import Workbench
from worker.training.train import Training

_SOFT, _HARD = 0.75, 0.9  # of the lease: a chunk that takes longer is ended before somebody else may take it
_TRAINING_LIMITS: Final = {"soft_time_limit": 3600, "time_limit": 3660}  # s
_FULL_SECONDS: Final = 0.5  # pause before a batch that the ledger has no room for goes back; chunks get on meanwhile

_log = logging.getLogger(__name__)


def register(
    app: Celery,
    parts: Callable[[], Parts],
    dead_letters: DeadLetters,
    *,
    worker: str,
    lease_seconds: float,
    request: type[Request],
    publish_blocks: PublishBlocks,
) -> None:
    """Add the tasks to the application. parts: gives the running process's. worker: the name that chunks are claimed
    under. request: how the worker's first process follows what becomes of a message. publish_blocks: asks others to
    help with a training."""

    def batch(task: Any, /, **arguments: Any) -> None:
        """Accept a batch that another service published; its chunks then run like any other's."""
        settings = parts().settings
        try:
            _accept(parts(), arguments)
        except (QueueFull, ShareExceeded) as error:
            _put_back(task, error, pause_seconds=_FULL_SECONDS)
        except (ConfigurationError, DatabaseUnavailable, SoftTimeLimitExceeded) as error:
            _put_back(task, error, pause_seconds=settings.retry_pause_seconds)
        except Exception as error:  # a defect; kept out of the queue, where it would come again and again
            _log.exception("message %s could not be accepted", task.request.id)
            problem = f"{type(error).__name__} while it was accepted; the worker's log has the details"
            if not dead_letters.put(QUEUE, orjson.dumps(arguments), problem):
                _put_back(task, error, pause_seconds=settings.retry_pause_seconds)

    def chunk(_: Any, /, **arguments: Any) -> None:
        """Do one chunk of a job that is in the ledger."""
        message = parse(ChunkMessage, arguments)
        try:
            parts().jobs.work(ChunkRef(message.job_id, message.chunk_no), worker)
        except JobNotFound as error:
            _log.info("nothing to do: %s", error)
        except DatabaseUnavailable as error:
            _log.warning("the ledger does not answer, the reconciler will see to it: %s", error)
        except Exception:  # noted in the ledger; for Celery to see, a MemoryError would end the worker
            _log.exception("chunk %s of job %s failed", message.chunk_no, message.job_id)

    class NamedTask(Task):  # type: ignore[misc]  # Celery has no types
        def __call__(self, /, **arguments: Any) -> None:
            """Run with any arguments; with Celery's own, an argument named self ends in an error of Celery's."""
            self.run(**arguments)

    logging.getLogger("celery.app.trace").addFilter(_is_news)
    limits = {"soft_time_limit": _SOFT * lease_seconds, "time_limit": _HARD * lease_seconds}
    in_the_end = {"base": NamedTask, "bind": True, "acks_late": True, "Request": request}
    app.task(batch, name=BATCH_TASK, reject_on_worker_lost=True, acks_on_timeout=False, **in_the_end, **limits)
    app.task(chunk, name=CHUNK_TASK, **in_the_end, **limits)
    train_model, block, rollback = _of_models(parts, publish_blocks)
    app.task(train_model, name=TRAIN_TASK, acks_late=False, **_TRAINING_LIMITS)  # it may outlast what is unacknowledged
    app.task(block, name=BLOCK_TASK, **in_the_end, **limits)
    app.task(rollback, name=ROLLBACK_TASK, **in_the_end, **limits)


def _of_models(
    parts: Callable[[], Parts], publish_blocks: PublishBlocks
) -> tuple[Callable[[], None], Callable[..., None], Callable[..., None]]:
    """The tasks that have to do with models: a training, a block of one, and going back to an earlier model."""

    def train_model() -> None:
        """Train on everything in engagement_db and make the result current."""
        databases, models, settings = parts().databases, parts().models, parts().settings
        try:
            Training(databases.engagement, databases.jobs, models, settings, publish_blocks=publish_blocks).full()
        except (NothingToTrainOn, TrainingBusy, ModelRejected) as error:
            _log.warning("no new model: %s", error)

    @cache
    def workbench() -> Workbench:
        """The running process's: it keeps the training of the last block open."""
        return Workbench.of(parts().models, parts().settings)

    def block(_: Any, /, **arguments: Any) -> None:
        """Make one block of a training that is split."""
        message = parse(BlockMessage, arguments)
        try:
            made = workbench().work(message.training_id, message.block_no)
            words = "is made" if made else "is not needed, or there already"
            _log.debug("block %s of training %s %s", message.block_no, message.training_id, words)
        except StorageUnavailable as error:
            _log.warning("block %s is left to the trainer: %s", message.block_no, error)
        except Exception:  # the trainer makes it; for Celery to see, a MemoryError would end the worker
            _log.exception("block %s of training %s failed", message.block_no, message.training_id)

    def rollback(_: Any, /, **arguments: Any) -> None:
        """Make an earlier version current."""
        message = parse(RollbackMessage, arguments)
        try:
            version, before = roll_back(parts().models, message.version)
            _log.warning("model %s is current again, %s was", version, before or "none")
        except (NoSuchModel, ModelRejected, StorageUnavailable) as error:
            _log.error("the model in use stays: %s", error)

    return train_model, block, rollback


def _accept(parts: Parts, arguments: Mapping[str, Any]) -> None:
    """Make a job of a message, if only a rejected one. Raises QueueFull, ShareExceeded, DatabaseUnavailable."""
    job_id = parse(Addressed, arguments).job_id
    try:
        message = parse_batch(BatchMessage, arguments, most_users=parts.settings.job_users)
        order = Order(message.user_ids, message.limit, message.deadline, message.announce, message.asked)
        parts.jobs.submit(order, job_id=job_id, caller=PUBLISHERS)
    except IdempotencyMismatch as error:
        _log.warning("a message with the id of job %s is ignored: %s", job_id, error)
    except InvalidRequest as error:
        _log.warning("job %s is rejected: %r", job_id, str(error))
        parts.jobs.reject(job_id, error, _announce(arguments))


def _announce(arguments: Mapping[str, Any]) -> Announce:
    """Who is told of a rejected job: whatever of that is valid by itself."""
    found: dict[str, str] = {}
    for name, adapter in _ANNOUNCED.items():
        try:
            found[name] = adapter.validate_python(arguments[name])
        except (KeyError, ValidationError):
            continue
    return Announce(**found)


_ANNOUNCED: Final = {"reply_to": TypeAdapter(ReplyQueue), "callback_url": TypeAdapter(CallbackUrl)}


def _put_back(task: Task, error: Exception, *, pause_seconds: float) -> NoReturn:
    _log.info("message %s goes back on the queue: %r", task.request.id, error)
    with contextlib.suppress(SoftTimeLimitExceeded):  # which would end in an acknowledgement
        time.sleep(pause_seconds)
    raise Reject(requeue=True)


def _is_news(record: logging.LogRecord) -> bool:
    """Celery logs each Reject as a warning with a traceback; ours has been logged already."""
    return not (record.exc_info and isinstance(record.exc_info[1], Reject))
