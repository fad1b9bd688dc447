"""Everything that can go wrong, in one tree. The doors turn these into answers; nothing else crosses a room.

ServiceError
├── ConfigurationError        a setting is missing or out of range; the process does not start
├── InvalidRequest            the caller sent something the contract refuses; names the fields
│   └── IdempotencyMismatch   the same Idempotency-Key with another request
├── Unauthenticated           the caller did not say who it is, or cannot show it
├── Forbidden                 the caller may not do this
├── JobNotFound               no such job, or it is another caller's
├── TitleNotFound             no such title in the catalogue
├── CursorExpired             the list that a cursor goes on with is no longer kept
├── ResultsNotReady           the job has no results yet
├── ResultsExpired            the job's results were kept for their time and are gone
├── ResultsNeverCame          the job ended without results (failed, cancelled or rejected)
├── ShareExceeded             one caller has as many users in open jobs as is its share
├── ModelRejected             a model failed its checks and was not made current
├── NoSuchModel               the version that was asked for is not in the store
├── NothingToTrainOn          there are no positive interactions
├── UnusableFile              a file of interactions or titles cannot be read, or lacks a column
├── TrainingBusy              another training is running, and one at a time is enough
├── NothingToEvaluate         nobody has enough interactions for some to be held out
├── TrainingTooLarge          an estimator would take more memory than it may
├── NotReady                  no titles read, no model trained, or no worker alive: /health/ready says so
└── Unavailable               something the service leans on is down; worth trying again
    ├── DatabaseUnavailable   refused, broken, or slower than its bound
    │   ├── PoolExhausted     every connection stayed busy for the whole checkout time
    │   └── SlowStatement     the server is there, but this query took longer than its bound
    ├── CacheUnavailable      Redis is down or slower than its bound
    ├── StorageUnavailable    the model store is down, slower than its bound, or not ours to write
    ├── BrokerUnavailable     the queue did not take the message in time
    ├── KeysUnavailable       the issuer's keys cannot be had, so tokens cannot be checked
    ├── LimitsUnavailable     requests cannot be counted, and are not to be answered uncounted
    └── QueueFull             the ledger has as many users in open jobs as it takes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FieldProblem:
    """One field the contract refused: where it is, what is wrong, and what would be right."""

    field: str
    message: str
    allowed: str | None = None


class ServiceError(Exception):
    """The root: anything this service raises on purpose."""


class ConfigurationError(ServiceError):
    """A setting is missing or out of range; the process does not start."""


class InvalidRequest(ServiceError):
    """The caller sent something the contract refuses."""

    def __init__(self, message: str, problems: Sequence[FieldProblem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class IdempotencyMismatch(InvalidRequest):
    """The same Idempotency-Key (or job_id) came with another request."""


class Unauthenticated(ServiceError):
    """The caller did not say who it is, or cannot show it."""

    def __init__(self, message: str, *, given: bool = True) -> None:
        """given: whether there was a credential at all."""
        super().__init__(message)
        self.given = given


class Forbidden(ServiceError):
    """The caller is known, and may not do this."""

    def __init__(self, message: str, *, scope: str) -> None:
        """scope: one of these would be needed, separated by spaces."""
        super().__init__(message)
        self.scope = scope


class JobNotFound(ServiceError):
    """No such job, or it was cleaned away, or it is another caller's."""


class TitleNotFound(ServiceError):
    """No such title, or it is deleted, or it has been there for less than a refresh of the catalogue."""


class CursorExpired(ServiceError):
    """The list that a cursor goes on with is no longer kept; the first page has to be asked for again."""


class ResultsNotReady(ServiceError):
    """The job has no results yet; ask again later."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ResultsExpired(ServiceError):
    """The job's results were kept for their time and are gone."""


class ResultsNeverCame(ServiceError):
    """The job ended without results: it failed, or was cancelled or rejected."""


class ShareExceeded(ServiceError):
    """One caller has more users in open jobs than is its share; others are still served."""

    retry_after = 30  # seconds, for the Retry-After header


class ModelRejected(ServiceError):
    """A model failed its checks; the current one stays."""


class NoSuchModel(ServiceError):
    """The version that was asked for is not in the store, or there is none to go back to."""


class NothingToTrainOn(ServiceError):
    """There are no positive interactions to learn from."""


class UnusableFile(ServiceError):
    """A file of interactions or titles cannot be read, or lacks a column."""


class TrainingBusy(ServiceError):
    """Another training is running, and one at a time is enough."""


class NothingToEvaluate(ServiceError):
    """Nobody has enough interactions for some of them to be held out and guessed."""


class TrainingTooLarge(ServiceError):
    """An estimator would take more memory than it may; it was not begun."""

    def __init__(self, estimator: str, titles: int, needed: int, allowed: int) -> None:
        reason = "is more than its arithmetic can count, with any memory"
        if needed > allowed:
            reason = (
                f"needs about {-(-needed // 1_000_000)} MB, and TRAINING_MEMORY_MB allows {allowed // 1_000_000}: "
                "with more it can be used"
            )
        super().__init__(f"{estimator} on {titles} titles {reason}")


class NotReady(ServiceError):
    """A part of the service is missing: no titles read yet, no model trained yet, or no worker alive."""


class Unavailable(ServiceError):
    """Something the service leans on is down; worth trying again."""

    retry_after = 5  # seconds, for the Retry-After header


class DatabaseUnavailable(Unavailable):
    """A database refused, broke off, or took longer than its bound."""

    def __init__(self, database: str, reason: str) -> None:
        super().__init__(f"{database} is unavailable: {reason}")
        self.database = database


class PoolExhausted(DatabaseUnavailable):
    """Every connection stayed busy for the whole checkout time."""

    retry_after = 1


class SlowStatement(DatabaseUnavailable):
    """The server is there, but this query took longer than its bound."""


class CacheUnavailable(Unavailable):
    """Redis is down or slower than its bound."""


class StorageUnavailable(Unavailable):
    """The model store, or the folder of its copies, is down, slower than its bound, or not ours to write."""


class BrokerUnavailable(Unavailable):
    """The queue did not take the message in time."""


class KeysUnavailable(Unavailable):
    """The issuer's keys cannot be had, and those there were are too old: tokens cannot be checked."""


class LimitsUnavailable(Unavailable):
    """Requests cannot be counted, and it is set that they are not answered uncounted."""


class QueueFull(Unavailable):
    """The ledger has as many users in open jobs as it takes; they are being worked on."""

    retry_after = 30
