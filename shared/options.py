"""What may be asked of a list, whosever it is: which titles may be in it, how varied it is, whether it says why."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter


@dataclass(frozen=True)
class Filters:
    """Which titles may be in a list. Names are keys (shared.media.name_key); an empty tuple asks for nothing."""

    genres_any: tuple[str, ...] = ()
    genres_all: tuple[str, ...] = ()
    genres_none: tuple[str, ...] = ()
    media_type: tuple[str, ...] = ()  # one of these
    year_from: int | None = None  # a title whose year is not known is in no range
    year_to: int | None = None  # inclusive
    exclude: tuple[UUID, ...] = ()
    include_seen: bool = False  # also what the user has seen, unless disliked


@dataclass(frozen=True)
class Variety:
    """How varied a list is; see shared/variety.py."""

    diversity: float = 0.0  # 0: the best first; 1: each as unlike those before it as can be
    max_per_genre: int | None = None  # titles of one genre in the whole list
    explore: float = 0.0  # share of places for titles that nobody has liked yet
    seed: int = 0  # of exploration


@dataclass(frozen=True)
class ListOptions:
    """What is asked of a list. The default asks for nothing."""

    filters: Filters = Filters()
    variety: Variety = Variety()

    @cached_property
    def digest(self) -> bytes:
        """What tells these options from any others in a key: 16 bytes, none for the default."""
        return b"" if self == PLAIN else hashlib.blake2b(_LIST.dump_json(self), digest_size=16).digest()


@dataclass(frozen=True)
class View:
    """What is shown of a list."""

    explain: bool = True  # each title's reason
    fields: tuple[str, ...] = ()  # of a recommendation; none named: all

    @property
    def reasons(self) -> bool:
        """Whether reasons are shown at all."""
        return self.explain and (not self.fields or "reason" in self.fields)


@dataclass(frozen=True)
class Asked:
    """Everything that may be asked of the lists of a job."""

    options: ListOptions = ListOptions()
    view: View = View()

    def to_json(self) -> str:
        """As the ledger keeps it."""
        return _ASKED.dump_json(self).decode()

    @classmethod
    def from_ledger(cls, document: object | None) -> Asked:
        """What `to_json` wrote, as read from the ledger; the default for None. Raises ValueError for anything else."""
        return cls() if document is None else _ASKED.validate_python(document)


@dataclass(frozen=True)
class Part:
    """Which part of a list."""

    limit: int
    offset: int = 0
    cursor: str | None = None  # where an earlier page ended; "*" asks for one


START: Final = "*"  # the cursor that asks for a first one
PLAIN: Final = ListOptions()
NOTHING: Final = Asked()
_LIST: Final = TypeAdapter(ListOptions)
_ASKED: Final = TypeAdapter(Asked)
