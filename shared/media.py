"""The nouns inside: what a title, an interaction and a recommendation are. Only the standard library."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import lru_cache
from uuid import UUID


class Kind(IntEnum):
    """What an interaction says. A larger number settles over a smaller one for the same user and title."""

    OTHER = 0  # a type we do not know: the title was seen, and no more
    WATCH = 1
    LIKE = 2
    DISLIKE = 3


class Strategy(StrEnum):
    """How a user's list was made."""

    HYBRID = "hybrid"  # preferences and history
    COLLABORATIVE = "collaborative"  # history only
    CONTENT = "content"  # preferences only
    POPULAR = "popular"  # nothing known


class Source(StrEnum):
    """Where one title of a list came from."""

    HYBRID = "hybrid"  # a neighbour of the history, ranked with the genres
    CONTENT = "content"  # matching genres
    POPULAR = "popular"  # liked by many
    EXPLORATION = "exploration"  # nobody has liked it yet
    TRENDING = "trending"  # liked by many in the time asked for


@dataclass(frozen=True, slots=True)
class Title:
    """A row of ``medias`` with its genres."""

    media_id: UUID
    title: str | None
    description: str | None
    release_year: int | None
    media_type: str | None
    cover_url: str | None
    genres: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cause:
    """A title of the user's history, and what another title's collaborative score owes to it."""

    media_id: UUID
    title: str | None
    kind: Kind
    share: float


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a title is in a list. The shares of `history` and `rest` add up to the collaborative score."""

    text: str  # one plain sentence
    genres: tuple[str, ...]  # that matched, as the title has them
    history: tuple[Cause, ...]  # the largest share first
    rest: float  # what is owed to the rest of the history


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A title and why it is here. Scores are in [0, 1]."""

    title: Title
    score: float
    content_score: float
    collaborative_score: float
    source: Source
    reason: Reason | None  # None where none was asked for


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, with how it came about."""

    recommendations: tuple[Recommendation, ...]
    limit: int
    offset: int
    next_cursor: str | None
    exhausted: bool  # the catalogue has no more titles for this list
    strategy: Strategy
    model_version: str | None
    cached: bool
    degraded: bool


@lru_cache(maxsize=10_000)  # the same genres come with every title
def name_key(name: str | None) -> str | None:
    """The name of a genre or a media type as it is compared: case and surplus blanks do not count. None for a name that
    says nothing."""
    return " ".join(name.split()).casefold() or None if name else None
