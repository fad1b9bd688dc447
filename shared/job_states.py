"""What a job and a chunk are, and the states they go through.

    job     accepted ──first claim──> running ──last chunk──┬─> completed               every chunk done
               │                         │                  ├─> completed_with_errors   some done, some dead
               │                         │                  └─> failed                  every chunk dead
               ├───────── cancel ────────┼─> cancelled
               └──── deadline passed ────┴─> expired
            rejected   a message whose arguments the contract refuses; it never was accepted

    chunk   waiting ──published──> queued ──claim──> running ──close──> done
               ^                     │ ^                │
               │                     └─┘ taken for lost, published again
               └──── given back, lease over, worker gone ──┴── too often ──> dead

A chunk has one time at which somebody must look at it again, `due_at`: waiting, it may be published from then on;
queued, its message is taken for lost; running, its lease is over. The states on the right never change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from shared.errors import FieldProblem
from shared.options import NOTHING, Asked


class JobState(StrEnum):
    """Where a job is; see the drawing."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"


OPEN: Final = frozenset({JobState.ACCEPTED, JobState.RUNNING})
WITH_RESULTS: Final = frozenset({JobState.COMPLETED, JobState.COMPLETED_WITH_ERRORS, JobState.EXPIRED})


class ChunkState(StrEnum):
    """Where a chunk is; see the drawing."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"


class JobProblemKind(StrEnum):
    """Why a job did not end well; also the name in /problems/<name>."""

    FAILED = "job-failed"
    EXPIRED = "job-expired"
    INVALID = "invalid-request"


@dataclass(frozen=True, slots=True)
class JobProblem:
    """Why a job did not end well: a sentence and, for a job that was rejected, the fields that were wrong."""

    kind: JobProblemKind
    detail: str
    fields: tuple[FieldProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class Announce:
    """Who wants to hear of a job's end."""

    reply_to: str | None = None  # a queue
    callback_url: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What a job was asked to do."""

    user_ids: Sequence[UUID]
    limit: int  # titles per user
    deadline: datetime | None = None  # aware; later it need not be done any more
    announce: Announce = Announce()
    asked: Asked = NOTHING


PUBLISHERS: Final = "publishers"  # who submits over the queue: all of them together, nobody knows which of them it was


@dataclass(frozen=True, slots=True)
class Job:
    """A row of `jobs` and what its chunks add up to. Times are in UTC."""

    job_id: UUID
    caller: str | None  # who has submitted it
    state: JobState
    limit: int  # titles per user; 0 of a rejected job
    total: int  # users
    done: int  # users of done chunks
    failed: int  # users of dead chunks
    fingerprint: bytes
    asked: Asked  # of each user's list
    problem: JobProblem | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime
    expires_at: datetime | None  # results are kept until then
    expired: bool  # expires_at has passed, by the database's clock

    @property
    def is_open(self) -> bool:
        """True until a terminal state is reached."""
        return self.state in OPEN


@dataclass(frozen=True, slots=True)
class ChunkRef:
    """A chunk's name; all that a message carries."""

    job_id: UUID
    chunk_no: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some of a job's users."""

    user_ids: Sequence[UUID]
    attempt: int  # the latest; of a chunk that is done: the one whose result counts
    problem: str | None  # why the latest failure


@dataclass(frozen=True, slots=True)
class Claim:
    """A chunk that this worker may work on until its lease is over."""

    ref: ChunkRef
    attempt: int
    user_ids: tuple[UUID, ...]
    limit: int
    asked: Asked
