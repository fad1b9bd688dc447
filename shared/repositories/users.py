"""user_db: which genres users prefer. Only ever read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from shared.databases import Database
from shared.media import name_key
from shared.repositories import uuid_array
from shared.session import Row


class UserRepository:
    """Reads user_preferences and tb_user_genre."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def genres(self, user_ids: Sequence[UUID], *, bulk: bool = False) -> dict[UUID, frozenset[str]]:
        """Each user's genre keys; users without any are left out. Raises DatabaseUnavailable."""
        with self.asked_genres(user_ids, bulk=bulk) as genres:
            return genres()

    @contextmanager
    def asked_genres(
        self, user_ids: Sequence[UUID], *, bulk: bool = False
    ) -> Iterator[Callable[[], dict[UUID, frozenset[str]]]]:
        """As `genres`, while the block does something else: what it gets waits for them.

        `tb_user_genre.user_id` holds the user's id, or (as JPA's element collections do) the id of the user's row in
        user_preferences: both are read, and ids of the two kinds never meet.
        """
        asked = self._database.asked(
            """
            SELECT genre.user_id, genre.genre_name
              FROM tb_user_genre AS genre
             WHERE genre.user_id = ANY(%(ids)s::uuid[])
             UNION ALL
            SELECT preference.user_id, genre.genre_name
              FROM user_preferences AS preference
              JOIN tb_user_genre AS genre ON genre.user_id = preference.id
             WHERE preference.user_id = ANY(%(ids)s::uuid[])
            """,
            {"ids": uuid_array(user_ids)},
            bulk=bulk,
        )
        with asked as rows:
            yield lambda: _keys(rows())


def _keys(rows: Iterable[Row]) -> dict[UUID, frozenset[str]]:
    found: dict[UUID, set[str]] = {}
    for user_id, name in rows:
        if key := name_key(name):
            found.setdefault(user_id, set()).add(key)
    return {user_id: frozenset(keys) for user_id, keys in found.items()}
