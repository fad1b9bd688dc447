"""MovieLens as the demo reads it: ids, titles, genres, interaction types and favourites."""

from collections import Counter
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from demo.errors import SampleError
from demo.movielens import (
    Sample,
    favourite_genres,
    interaction_types,
    read_movielens,
    split_genres,
    split_title,
    title_id,
    user_id,
)

MOVIES = """movieId,title,genres
1,Toy Story (1995),Adventure|Animation|Comedy
2,"American President, The (1995)",Comedy|Drama
3,Babylon 5,Sci-Fi
4,La cravate (1957),(no genres listed)
"""
RATINGS = """userId,movieId,rating,timestamp
7,2,4.0,964982703
7,1,5.0,964981247
7,3,2.0,964981247
9,3,3.5,1445714994
9,4,0.5,0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "movies.csv").write_text(MOVIES, encoding="utf-8")
    (tmp_path / "ratings.csv").write_text(RATINGS, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("stars", "expected"),
    [
        (0.5, "DISLIKE"),
        (2.0, "DISLIKE"),
        (2.5, "WATCH"),
        (3.0, "WATCH"),
        (3.5, "WATCH"),
        (4.0, "LIKE"),
        (5.0, "LIKE"),
    ],
)
def test_stars_become_an_interaction_type(stars: float, expected: str) -> None:
    assert interaction_types(pd.Series([stars])).tolist() == [expected]


@pytest.mark.parametrize(
    ("text", "title", "year"),
    [
        ("Toy Story (1995)", "Toy Story", 1995),
        ("American President, The (1995)", "American President, The", 1995),
        ("Seven (a.k.a. Se7en) (1995) ", "Seven (a.k.a. Se7en)", 1995),
        ("2001: A Space Odyssey (1968)", "2001: A Space Odyssey", 1968),
        ("Death Note: Desu nôto (2006\u20132007)", "Death Note: Desu nôto", 2006),
        ("Fargo (2014-)", "Fargo", 2014),
        ("Babylon 5", "Babylon 5", None),
        ("(500) Days of Summer (2009)", "(500) Days of Summer", 2009),
        ("Blade Runner (Final Cut)", "Blade Runner (Final Cut)", None),
    ],
)
def test_the_year_is_cut_from_the_end_of_a_title(text: str, title: str, year: int | None) -> None:
    assert split_title(text) == (title, year)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("Adventure|Comedy", ("Adventure", "Comedy")),
        ("Drama", ("Drama",)),
        ("Drama|Drama| Film-Noir", ("Drama", "Film-Noir")),
        ("(no genres listed)", ()),
        ("", ()),
    ],
)
def test_genres_are_split_and_no_genres_are_none(names: str, expected: tuple[str, ...]) -> None:
    assert split_genres(names) == expected


@pytest.mark.parametrize(
    ("rated", "expected"),
    [
        ([("LIKE", ("A", "B")), ("LIKE", ("B",))], ("B", "A")),
        ([("LIKE", ("D", "C", "B", "A"))], ("A", "B", "C")),
        ([("LIKE", ("Z",)), ("WATCH", ("A",)), ("WATCH", ("A",))], ("Z",)),
        ([("WATCH", ("B",)), ("WATCH", ("B", "A")), ("DISLIKE", ("C",))], ("B", "A")),
        ([("DISLIKE", ("C",))], ()),
        ([("LIKE", ())], ()),
    ],
    ids=[
        "the most frequent genre comes first",
        "three are kept, ties are alphabetical",
        "watches do not count beside likes",
        "without likes watches count",
        "dislikes never count",
        "a liked title without genres says nothing",
    ],
)
def test_favourite_genres_come_from_what_a_user_liked(
    rated: list[tuple[str, tuple[str, ...]]], expected: tuple[str, ...]
) -> None:
    rows = [{"userId": 7, "movieId": number, "type": kind} for number, (kind, _) in enumerate(rated)]
    genres = {number: names for number, (_, names) in enumerate(rated)}
    assert favourite_genres(pd.DataFrame(rows), genres).get(7, ()) == expected


def test_a_folder_is_read_into_titles_users_and_interactions(folder: Path) -> None:
    sample = read_movielens(folder)
    assert sample.titles == [
        (title_id(1), "Toy Story", 1995, ("Adventure", "Animation", "Comedy")),
        (title_id(2), "American President, The", 1995, ("Comedy", "Drama")),
        (title_id(3), "Babylon 5", None, ("Sci-Fi",)),
        (title_id(4), "La cravate", 1957, ()),
    ]
    assert sample.users == [
        (user_id(7), ("Comedy", "Adventure", "Animation")),
        (user_id(9), ("Sci-Fi",)),
    ]


def test_interactions_are_oldest_first_with_utc_times_and_the_stars_as_value(folder: Path) -> None:
    rows = list(read_movielens(folder).interactions.itertuples(index=False, name=None))
    assert rows == [
        (str(user_id(9)), str(title_id(4)), "DISLIKE", 0.5, datetime(1970, 1, 1)),
        (str(user_id(7)), str(title_id(1)), "LIKE", 5.0, datetime(2000, 7, 30, 18, 20, 47)),
        (str(user_id(7)), str(title_id(3)), "DISLIKE", 2.0, datetime(2000, 7, 30, 18, 20, 47)),
        (str(user_id(7)), str(title_id(2)), "LIKE", 4.0, datetime(2000, 7, 30, 18, 45, 3)),
        (str(user_id(9)), str(title_id(3)), "WATCH", 3.5, datetime(2015, 10, 24, 19, 29, 54)),
    ]


def test_ids_are_the_same_on_every_machine_and_apart_for_users_and_titles() -> None:
    assert str(user_id(1)) == "eb3fd6e6-8382-5c1c-95ae-f59cb2cc28fe"
    assert str(title_id(1)) == "cbf9c400-73e7-5b73-9735-38322f3fceee"


@pytest.mark.parametrize("missing", ["ratings.csv", "movies.csv"])
def test_a_missing_file_is_named_with_the_place_to_get_it(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(SampleError, match=rf"{missing}: No such file.*grouplens\.org"):
        read_movielens(folder)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("ratings.csv", "userId,movieId,stars\n1,1,5\n", "no column rating, timestamp. .* it has userId"),
        ("movies.csv", "movieId,name\n1,Heat\n", "no column title, genres"),
        ("ratings.csv", "", "Cannot read .*ratings.csv: No columns"),
        ("ratings.csv", "userId,movieId,rating,timestamp\n1,1,good,0\n", "Cannot read .*ratings.csv: .*good"),
        ("ratings.csv", "userId,movieId,rating,timestamp\n", "holds no rows"),
    ],
    ids=["columns missing", "other columns missing", "empty", "not a number", "only a header"],
)
def test_a_broken_file_gives_a_clear_error(folder: Path, file: str, text: str, message: str) -> None:
    (folder / file).write_text(text, encoding="utf-8")
    with pytest.raises(SampleError, match=message):
        read_movielens(folder)


def test_the_edition_inside_the_package_is_whole() -> None:
    sample: Sample = read_movielens()
    assert len(sample.interactions) == 100_004
    assert len(sample.users) == 671
    assert len(sample.titles) == 9_066
    assert Counter(sample.interactions.type) == {"LIKE": 51_568, "WATCH": 35_051, "DISLIKE": 13_385}
    assert sum(title.title is None for title in sample.titles) == 5
    assert max(len(user.favourite_genres) for user in sample.users) == 3


def test_the_2018_edition_is_read_too() -> None:
    folder = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "ml-latest-small"
    if not folder.is_dir():
        pytest.skip(f"no MovieLens folder at {folder}")
    sample = read_movielens(folder)
    assert (len(sample.interactions), len(sample.users), len(sample.titles)) == (100_836, 610, 9_742)
