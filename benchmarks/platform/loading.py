"""A made-up platform into PostgreSQL, by binary COPY, a block at a time."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import numpy as np
import psycopg2
from numpy.typing import NDArray

from benchmarks.platform.synthetic import GENRES, Platform
from demo.databases import SCHEMAS
from shared.ids import IdArray, IndexArray
from shared.media import Kind
from worker.training.configuration import microseconds

Progress: TypeAlias = Callable[[int, int], None]  # rows loaded, of so many

_CONNECT_SECONDS: Final = 10
_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TRAILER: Final = struct.pack(">h", -1)
_ROWS_AT_ONCE: Final = 50_000  # of titles and genres
_DESCRIPTION: Final = "A story of people who want something, and of what stands between them and it. " * 3
_MEDIA_TYPES: Final = (b"MOVIE", b"SERIES", b"MUSIC")


def load(platform: Platform, dsns: Mapping[str, str], *, progress: Progress) -> None:
    """Replace what the three databases hold by the platform, with the tables and indexes of shared/schema.

    dsns: by name: user_db, catalog_db, engagement_db. Raises psycopg2.Error.
    """
    with _emptied(dsns["user_db"], "user_db", "user_preferences", "tb_user_genre") as cursor:
        _copy(cursor, "tb_user_genre (user_id, genre_name)", _of_genres(platform.user_ids, *platform.genres_of_users()))
    with _emptied(dsns["catalog_db"], "catalog_db", "medias", "tb_media_genre") as cursor:
        _copy(cursor, "medias (id, title, description, release_year, media_type, cover_url)", _of_titles(platform))
        rows = _of_genres(platform.title_ids, *platform.genres_of_titles())
        _copy(cursor, "tb_media_genre (media_id, genre_name)", rows)
    load_interactions(platform, dsns["engagement_db"], progress=progress)


def load_interactions(platform: Platform, dsn: str, *, progress: Progress, indexed: bool = True) -> None:
    """Replace what engagement_db holds. Not `indexed`: the table alone, which is all that a training reads."""
    with _emptied(dsn, "engagement_db", "interaction", indexed=indexed) as cursor:
        # Indexes that are made of a full table are dense, and made in a third of the time.
        cursor.execute("ALTER TABLE interaction DROP CONSTRAINT interaction_pkey")
        cursor.execute("DROP INDEX interaction_history")
        columns = 'interaction (user_id, media_id, type, interaction_value, "timestamp")'
        _copy(cursor, columns, _of_interactions(platform, progress))
        if indexed:
            cursor.execute("SET maintenance_work_mem = '1GB'")
            cursor.execute("ALTER TABLE interaction ADD PRIMARY KEY (id)")


@contextlib.contextmanager
def _emptied(dsn: str, database: str, *tables: str, indexed: bool = True) -> Iterator[Any]:
    """A cursor on empty tables; afterwards they have their indexes if `indexed`, and the planner knows them."""
    schema = (SCHEMAS / f"{database}.sql").read_text(encoding="utf-8")
    with contextlib.closing(psycopg2.connect(dsn, connect_timeout=_CONNECT_SECONDS)) as connection:
        connection.autocommit = True  # VACUUM refuses to run in a transaction
        with connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f"DROP TABLE IF EXISTS {table}")
            cursor.execute(schema)
            yield cursor
            if indexed:
                cursor.execute(schema)
            for table in tables:
                cursor.execute(f"VACUUM (ANALYZE) {table}")


def _copy(cursor: Any, columns: str, blocks: Iterator[bytes]) -> None:
    cursor.copy_expert(f"COPY {columns} FROM STDIN (FORMAT BINARY)", _Stream(blocks), size=1 << 20)


class _Stream:
    """Blocks of tuples as the file that COPY reads."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._pending = memoryview(_HEADER)
        self._ended = False

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; none at the end."""
        if not self._pending:
            block = next(self._blocks, None)
            self._pending = memoryview(block if block is not None else b"" if self._ended else _TRAILER)
            self._ended = block is None
        piece, self._pending = self._pending[:size], self._pending[size:]
        return bytes(piece)


def _of_interactions(platform: Platform, progress: Progress) -> Iterator[bytes]:
    names = np.array([kind.name for kind in sorted(Kind)], dtype="S7")
    done = 0
    for block in platform.blocks(until=microseconds(datetime.now(UTC))):
        yield _tuples(
            platform.user_ids[block.users].view("V16"),
            platform.title_ids[block.titles].view("V16"),
            names[block.kinds],
            np.ones(len(block.users), dtype=">f8"),
            block.times.astype(">i8"),
        )
        done += len(block.users)
        progress(done, platform.size.interactions)


def _of_titles(platform: Platform) -> Iterator[bytes]:
    years = platform.years().astype(">i4")
    for start in range(0, platform.size.titles, _ROWS_AT_ONCE):
        part = range(start, min(start + _ROWS_AT_ONCE, platform.size.titles))
        yield _tuples(
            platform.title_ids[part.start : part.stop].view("V16"),
            np.array([f"The {GENRES[i % len(GENRES)]} of number {i}" for i in part], dtype="S"),
            np.array([_DESCRIPTION[: 60 + i % 160].strip() for i in part], dtype="S"),
            years[part.start : part.stop],
            np.array([_MEDIA_TYPES[i % len(_MEDIA_TYPES)] for i in part], dtype="S"),
            np.array([f"https://covers.example.com/{i:08}/large.jpg" for i in part], dtype="S"),
        )


def _of_genres(ids: IdArray, places: IndexArray, genres: IndexArray) -> Iterator[bytes]:
    names = np.array(GENRES, dtype="S")
    for start in range(0, len(places), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        yield _tuples(ids[places[part]].view("V16"), names[genres[part]])


def _tuples(*columns: NDArray[Any]) -> bytes:
    """Rows as binary COPY takes them: the number of fields, then each field's length and bytes.

    columns: (n,) each; ids as V16, numbers in network order, text as S.
    """
    count = len(columns[0])
    parts = [_bytes(np.full(count, len(columns), dtype=">i2"))]
    kept = [np.ones((count, 2), dtype=np.bool_)]
    for column in columns:
        width = column.dtype.itemsize
        lengths = np.char.str_len(column) if column.dtype.kind == "S" else np.full(count, width)
        parts += [_bytes(lengths.astype(">i4")), _bytes(column)]
        kept += [np.ones((count, 4), dtype=np.bool_), np.arange(width) < lengths[:, None]]
    rows: NDArray[np.uint8] = np.hstack(parts)
    return rows[np.hstack(kept)].tobytes()


def _bytes(column: NDArray[Any]) -> NDArray[np.uint8]:
    """Shape (n, bytes of an element)."""
    return np.ascontiguousarray(column).view(np.uint8).reshape(len(column), -1)
