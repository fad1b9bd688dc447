"""What a job and a chunk are, and the states they go through.

    job     accepted ──first claim──> running ──last chunk──┬─> completed               every chunk done
               │                         │                  ├─> completed_with_errors   some done, some dead
               └────────cancel───────────┴─> cancelled      └─> failed                  every chunk dead

    chunk   ready ──claim──> running ──close──> done
              ^                 │  ^│
              └──── give back ──┘  └┘ lease over: claimed by another worker (the first may no longer close it)
                                └── given back or left too often ──> dead

The states on the right never change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID


class JobState(StrEnum):
    """Where a job is; see the drawing."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN: Final = frozenset({JobState.ACCEPTED, JobState.RUNNING})
WITH_RESULTS: Final = frozenset({JobState.COMPLETED, JobState.COMPLETED_WITH_ERRORS})


@dataclass(frozen=True, slots=True)
class Job:
    """A row of `jobs` and what its chunks add up to."""

    job_id: UUID
    state: JobState
    limit: int
    total: int  # users
    done: int  # users of done chunks
    failed: int  # users of dead chunks
    fingerprint: bytes
    problem: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    expired: bool  # by the database's clock

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
class Claim:
    """A chunk that this worker may work on until its lease is over."""

    ref: ChunkRef
    attempt: int
    user_ids: tuple[UUID, ...]
    limit: int
