"""The four databases of the demo and the tests: made, given their tables, filled with a sample."""

import contextlib
import io
from collections.abc import Iterator
from uuid import uuid5

import pandas as pd
import psycopg2
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class, though written small

from demo.movielens import Sample
from demo.process import PROJECT
from demo.servers import Postgres

SCHEMAS = PROJECT / "shared" / "schema"
DATABASES = ("user_db", "catalog_db", "engagement_db", "jobs_db")

_CONNECT = 10  # seconds
_ROWS_PER_COPY = 200_000  # keeps the text of a large sample from being in memory all at once


def create_schemas(postgres: Postgres) -> dict[str, str]:
    """Create the databases and their tables where missing; return each database's DSN by its name.

    jobs_db stays empty: the service makes its own tables. Raises psycopg2.Error.
    """
    dsns = {}
    for name in DATABASES:
        postgres.create_database(name)
        dsns[name] = postgres.dsn(name)
        schema = SCHEMAS / f"{name}.sql"
        if name != "jobs_db":
            with _transaction(dsns[name]) as cursor:
                cursor.execute(schema.read_text(encoding="utf-8"))
    return dsns


def is_loaded(user_dsn: str, catalog_dsn: str, engagement_dsn: str) -> bool:
    """Whether each of the three databases holds data. Raises psycopg2.Error."""
    tables = ((user_dsn, "user_preferences"), (catalog_dsn, "medias"), (engagement_dsn, "interaction"))
    for dsn, table in tables:
        with _transaction(dsn) as cursor:
            if _is_empty(cursor, table):
                return False
    return True


def load_sample(sample: Sample, user_dsn: str, catalog_dsn: str, engagement_dsn: str) -> None:
    """Fill the databases, each in one transaction; one that holds data already is left as it is.

    Interactions are moved by whole days, so that the newest are of today: an old sample, too, has something that is
    popular lately. Afterwards the planner knows the tables and index-only scans work. Raises psycopg2.Error.
    """
    _fill(user_dsn, _user_tables(sample))
    _fill(catalog_dsn, _catalog_tables(sample))
    _fill(engagement_dsn, {"interaction": _until_today(sample.interactions)})


def _until_today(interactions: pd.DataFrame) -> pd.DataFrame:
    age = pd.Timestamp.now("UTC").tz_localize(None) - interactions.timestamp.max()
    return interactions.assign(timestamp=interactions.timestamp + pd.Timedelta(days=age.days))


def _user_tables(sample: Sample) -> dict[str, pd.DataFrame]:
    # Genres hang on the row in user_preferences here, as the owner of the tables writes them.
    preferences = [(uuid5(user.id, "preferences"), user.id) for user in sample.users]
    genres = [
        (preference, genre)
        for (preference, _), user in zip(preferences, sample.users, strict=True)
        for genre in user.favourite_genres
    ]
    return {
        "user_preferences": pd.DataFrame(preferences, columns=["id", "user_id"]),
        "tb_user_genre": pd.DataFrame(genres, columns=["user_id", "genre_name"]),
    }


def _catalog_tables(sample: Sample) -> dict[str, pd.DataFrame]:
    medias = [(title.id, title.title, title.release_year, "MOVIE") for title in sample.titles]
    genres = [(title.id, genre) for title in sample.titles for genre in title.genres]
    columns = ["id", "title", "release_year", "media_type"]
    return {
        "medias": pd.DataFrame(medias, columns=columns, dtype=object),  # else a missing year makes 1995.0
        "tb_media_genre": pd.DataFrame(genres, columns=["media_id", "genre_name"]),
    }


def _fill(dsn: str, tables: dict[str, pd.DataFrame]) -> None:
    """Fill a database's tables unless the first of them holds rows."""
    with _transaction(dsn) as cursor:
        if not _is_empty(cursor, next(iter(tables))):
            return
        for name, rows in tables.items():
            _copy(cursor, name, rows)
    with contextlib.closing(psycopg2.connect(dsn, connect_timeout=_CONNECT)) as connection:
        connection.autocommit = True  # VACUUM refuses to run in a transaction
        with connection.cursor() as cursor:
            for name in tables:
                cursor.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(name)))


def _copy(cursor: Cursor, table: str, rows: pd.DataFrame) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT csv)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, rows.columns))
    )
    for start in range(0, len(rows), _ROWS_PER_COPY):
        text = rows.iloc[start : start + _ROWS_PER_COPY].to_csv(index=False, header=False)
        cursor.copy_expert(statement, io.StringIO(text))


def _is_empty(cursor: Cursor, table: str) -> bool:
    cursor.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(table)))
    return cursor.fetchone() is None


@contextlib.contextmanager
def _transaction(dsn: str) -> Iterator[Cursor]:
    with (
        contextlib.closing(psycopg2.connect(dsn, connect_timeout=_CONNECT)) as connection,
        connection,  # commits, or rolls back on an error
        connection.cursor() as cursor,
    ):
        yield cursor
