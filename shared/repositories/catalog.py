"""catalog_db: titles and their genres. Only ever read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

import numpy as np

from shared.catalogue import Listed
from shared.databases import Database
from shared.ids import IdArray, id_array
from shared.media import Title, name_key
from shared.repositories import uuid_array
from shared.session import Row

_LISTED: Final = np.dtype([("id", "S16"), ("year", ">i4")])  # a title as `listed` gets it


class CatalogRepository:
    """Reads medias and tb_media_genre."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self) -> Listed:
        """Every title that is not deleted. Raises DatabaseUnavailable."""
        rows = self._database.fetch(
            """
            SELECT media_type, string_agg(uuid_send(id) || int4send(coalesce(release_year, 0)::int), ''::bytea)
              FROM medias
             WHERE deleted_at IS NULL
             GROUP BY media_type
            """,
            bulk=True,
        )
        found = [(media_type, np.frombuffer(packed, dtype=_LISTED)) for media_type, packed in rows]
        return Listed.by_media_type(
            [(media_type, np.ascontiguousarray(t["id"]), t["year"].astype(np.int32)) for media_type, t in found]
        )

    def titles_by_genre(self) -> dict[str, IdArray]:
        """Genre name as stored -> the titles filed under it, known or not. Raises DatabaseUnavailable."""
        rows = self._database.fetch(
            """
            SELECT genre_name, string_agg(uuid_send(media_id), ''::bytea)
              FROM tb_media_genre
             WHERE genre_name IS NOT NULL AND media_id IS NOT NULL
             GROUP BY genre_name
            """,
            bulk=True,
        )
        return {name: id_array(ids) for name, ids in rows}

    @contextmanager
    def asked_titles(self, ids: Collection[UUID], *, bulk: bool = False) -> Iterator[Callable[[], dict[UUID, Title]]]:
        """What is known of these titles now, read while the block does something else; deleted and unknown ones are
        left out. What the block gets waits for them, and raises DatabaseUnavailable."""
        if not ids:
            yield dict
            return
        asked = self._database.asked(
            """
            SELECT media.id, media.title, media.description, media.release_year::int, media.media_type, media.cover_url,
                   genre.names
              FROM medias AS media
              LEFT JOIN (SELECT media_id, array_agg(genre_name) AS names
                           FROM tb_media_genre
                          WHERE media_id = ANY(%(ids)s::uuid[])
                          GROUP BY media_id) AS genre ON genre.media_id = media.id
             WHERE media.id = ANY(%(ids)s::uuid[]) AND media.deleted_at IS NULL
            """,
            {"ids": uuid_array(ids)},
            bulk=bulk,
        )
        with asked as rows:
            yield lambda: {row[0]: _title(row) for row in rows()}


def _title(row: Row) -> Title:
    return Title(row[0], row[1], row[2], row[3], row[4], row[5], _tidy(row[6]))


def _tidy(names: list[str | None] | None) -> tuple[str, ...]:
    """Genre names without blanks around them, each once whatever its case, in alphabetical order."""
    tidy = {name_key(name): " ".join(name.split()) for name in sorted(filter(None, names or ()))}
    return tuple(sorted(name for key, name in tidy.items() if key))
