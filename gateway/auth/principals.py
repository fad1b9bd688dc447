"""Callers, and what an address asks of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from shared.errors import Forbidden
from shared.job_states import PUBLISHERS


class Scope(StrEnum):
    """What a service may be allowed. A user's token needs none of them."""

    READ = "recommendations:read"  # anyone's recommendations
    SUBMIT = "jobs:submit"  # jobs, which are then its own
    QUEUE = "jobs:queue"  # jobs that came over the queue: nobody knows whose they are
    ADMIN = "admin"  # train, roll back, and see to every job


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller."""

    name: str  # unique among all kinds of callers
    scopes: frozenset[Scope] = frozenset()
    user_id: str | None = None  # as str(UUID) writes it; of a user
    known: bool = True  # False where nobody has to say who they are
    digest: str = field(init=False)  # of the name, for keys in Redis: short, and it shows nobody

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", hashlib.blake2b(self.name.encode(), digest_size=16).hexdigest())

    @property
    def is_service(self) -> bool:
        """Whether somebody vouches for it: it may do more than a user."""
        return bool(self.scopes)

    def may_see(self, submitter: str | None) -> bool:
        """Whether a job is this caller's to look at and to end. submitter: who has submitted it."""
        if Scope.ADMIN in self.scopes:
            return True
        return submitter == self.name or (submitter == PUBLISHERS and Scope.QUEUE in self.scopes)

    def own_key(self, key: str | None) -> str | None:
        """An Idempotency-Key as nobody else's: others may have thought of the same."""
        return f"{self.digest}:{key}" if key is not None and self.known else key

    def require(self, scope: Scope) -> None:
        """Raises Forbidden without this scope."""
        if scope not in self.scopes:
            raise Forbidden(f"this needs the scope {scope}", scope=scope)


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use an address."""

    scopes: tuple[Scope, ...] = ()  # one of these is needed; none: being known is enough
    own: bool = False  # or to be the user in the path
    public: bool = False  # nobody has to say who they are

    def check(self, principal: Principal, segments: Mapping[str, str]) -> None:
        """Raises Forbidden unless the principal may. segments: the path's."""
        if not self.scopes or any(scope in principal.scopes for scope in self.scopes):
            return
        if self.own and principal.user_id is not None and segments["user_id"].lower() == principal.user_id:
            return
        needed = " or ".join(self.scopes)
        also = ", or to be this user" if self.own else ""
        raise Forbidden(f"this needs the scope {needed}{also}", scope=" ".join(self.scopes))


PUBLIC: Final = Access(public=True)
KNOWN: Final = Access()
OWN_LIST: Final = Access((Scope.READ,), own=True)
MANY_LISTS: Final = Access((Scope.READ, Scope.SUBMIT))  # at once, or as a job
JOBS: Final = Access((Scope.SUBMIT, Scope.QUEUE, Scope.ADMIN))
MODELS: Final = Access((Scope.ADMIN,))
