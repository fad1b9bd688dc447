"""Lists that somebody pages through, kept in Redis as they were when the first page was cut.

A cursor names the list by a digest of its content, and the place of the next page. It needs no model to be read: a list
outlives the model that made it.
"""

from __future__ import annotations

import hashlib
import struct
from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Final

import orjson

from shared.errors import CursorExpired, FieldProblem, InvalidRequest
from shared.list_name import ListName
from shared.ranked_list import RankedList, decode, encode
from shared.redis_store import RedisStore

_PREFIX: Final = b"pin:1:"  # 1: the format of the value
_CURSOR: Final = struct.Struct(">16sI")  # digest, place


@dataclass(frozen=True)
class Pinned:
    """A list as it was when it was pinned."""

    ranked: RankedList
    model_version: str | None
    degraded: bool


class Pins:
    """Keeps lists for those who page through them."""

    def __init__(self, store: RedisStore, *, life_seconds: int) -> None:
        self._store = store
        self._life = life_seconds

    def put(self, name: ListName, pinned: Pinned) -> bytes:
        """Keep a list; the digest that finds it. Raises CacheUnavailable."""
        head = {
            "name": name.key.hex(),
            "place": _place(name),
            "model_version": pinned.model_version,
            "degraded": pinned.degraded,
        }
        value = orjson.dumps(head) + b"\n" + encode(pinned.ranked, None)
        digest = hashlib.blake2b(value, digest_size=16).digest()
        self._store.set_many({_PREFIX + digest: value}, seconds=self._life)
        return digest

    def get(self, name: ListName, digest: bytes) -> Pinned:
        """The list a cursor was cut from. name: of what is asked for with the cursor.

        Raises CursorExpired when it is no longer kept, InvalidRequest when it is another list's, CacheUnavailable.
        """
        [value] = self._store.get_many([_PREFIX + digest])
        head, _, body = (value or b"").partition(b"\n")
        try:
            about = orjson.loads(head)
            place, key = about["place"], about["name"]
            pinned = Pinned(decode(body, None), about["model_version"], about["degraded"])
        except (ValueError, KeyError, TypeError):
            raise CursorExpired(
                "the list this cursor goes on with is no longer kept; ask for the first page again"
            ) from None
        if place != _place(name) or not (name.bare or key == name.key.hex()):
            raise _foreign("another request's; send it alone, or with the parameters that it was given for")
        return pinned


def write_cursor(digest: bytes, place: int) -> str:
    """Where to go on, for the caller."""
    return urlsafe_b64encode(_CURSOR.pack(digest, place)).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[bytes, int]:
    """What `write_cursor` wrote. Raises InvalidRequest for anything else."""
    try:
        digest, place = _CURSOR.unpack(b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, struct.error):
        raise _foreign("not one that the service gave") from None
    return digest, place


def _place(name: ListName) -> str:
    return f"{name.kind}:{name.of or ''}"


def _foreign(message: str) -> InvalidRequest:
    return InvalidRequest(
        f"cursor: {message}", [FieldProblem("cursor", message, "the `next_cursor` of the page before")]
    )
