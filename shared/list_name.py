"""What tells one list from another: whom or what it is made for, and as it was asked for."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from shared.options import ListOptions

_NONE = b""


class ListKind(StrEnum):
    """What a list is made for."""

    USER = "user"
    PROFILE = "profile"  # what somebody says of themselves, unknown to us
    SIMILAR = "similar"  # a title
    POPULAR = "popular"  # everybody


@dataclass(frozen=True)
class ListName:
    """A list's name. Two lists of one name, made by one model in one moment, are equal."""

    kind: ListKind
    of: UUID | None = None  # the user, or the title
    about: bytes = _NONE  # what else it depends on
    options: bytes = _NONE  # a digest

    @classmethod
    def of_user(cls, user_id: UUID, options: ListOptions) -> ListName:
        """A user's own list."""
        return cls(ListKind.USER, user_id, options=options.digest)

    @classmethod
    def like(cls, media_id: UUID, options: ListOptions) -> ListName:
        """Titles like this one."""
        return cls(ListKind.SIMILAR, media_id, options=options.digest)

    @classmethod
    def popular(cls, window_days: int | None, half_life_days: int | None, options: ListOptions) -> ListName:
        """What is popular."""
        plain = window_days is None and half_life_days is None
        about = _NONE if plain else struct.pack("<II", window_days or 0, half_life_days or 0)
        return cls(ListKind.POPULAR, about=about, options=options.digest)

    @classmethod
    def of_profile(
        cls, genres: Collection[str], liked: Collection[UUID], disliked: Collection[UUID], options: ListOptions
    ) -> ListName:
        """For somebody who likes and dislikes these."""
        if not (genres or liked or disliked):
            return cls(ListKind.PROFILE, options=options.digest)
        said = repr((sorted(set(genres)), sorted(set(liked)), sorted(set(disliked))))
        return cls(
            ListKind.PROFILE, about=hashlib.blake2b(said.encode(), digest_size=16).digest(), options=options.digest
        )

    @property
    def key(self) -> bytes:
        """The name in a few bytes."""
        parts = (self.kind.encode(), self.of.bytes if self.of else _NONE, self.about, self.options)
        return b":".join(parts)

    @property
    def bare(self) -> bool:
        """Whether nothing is asked for but the kind of list, and whose."""
        return not self.about and not self.options
