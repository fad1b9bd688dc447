"""A job that a caller was promised, and what the caller saw of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from shared.job_states import OPEN


@dataclass
class Accepted:
    """One job, as polled."""

    job_id: str
    users: Sequence[UUID]
    done: list[int] = field(default_factory=list)  # in order
    states: list[str] = field(default_factory=list)  # without repeats
    document: dict[str, Any] = field(default_factory=dict)  # the last
    turn: threading.Lock = field(default_factory=threading.Lock)  # of two looks, the later one must have asked later

    def saw(self, document: dict[str, Any]) -> None:
        """Note a job document."""
        self.document = document
        self.done.append(document["done"])
        if self.states[-1:] != [document["state"]]:
            self.states.append(document["state"])

    @property
    def ended(self) -> bool:
        """Whether a terminal state was seen."""
        return bool(self.states) and self.states[-1] not in OPEN

    def broken(self) -> Iterator[str]:
        """What was seen of it and should never be: I4 and I5 of docs/RELIABILITY.md."""
        if self.ended and [state for state in self.states if state not in OPEN] != self.states[-1:]:
            yield f"I5: states {self.states}: job {self.job_id}"
        if self.done != sorted(self.done) or self.done[-1] > len(set(self.users)):
            yield f"I4: progress {self.done} of {len(set(self.users))}: job {self.job_id}"
