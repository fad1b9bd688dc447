"""Favourite genres, told from a history."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.ids import pack_ids
from shared.media import Kind
from tests.interactions import interactions, uid
from worker.training.preferences import FAVOURITES, favourites

LIKE, WATCH, DISLIKE, OTHER = Kind.LIKE, Kind.WATCH, Kind.DISLIKE, Kind.OTHER


def told(genres: dict[str, list[int]], *found: tuple, users: list[int] = [1]) -> list[set[str]]:  # noqa: B006
    """Each user's favourites."""
    of = favourites(interactions(*found), {name: pack_ids(map(uid, titles)) for name, titles in genres.items()})
    known = of([uid(user) for user in users])
    return [set(known.get(uid(user), ())) for user in users]


def test_they_are_the_most_frequent_among_what_a_user_likes_or_watches() -> None:
    genres = {"Drama": [0, 1, 2], "Comedy": [1, 2], "War": [3], "Noir": [2, 3]}
    assert told(genres, *((1, title, kind, 0) for title, kind in enumerate([LIKE, WATCH, LIKE, WATCH]))) == [
        {"drama", "comedy", "noir"}
    ]


def test_what_a_user_dislikes_or_only_saw_says_nothing() -> None:
    assert told({"War": [0], "Drama": [1], "Noir": [2]}, (1, 0, DISLIKE, 0), (1, 1, LIKE, 0), (1, 2, OTHER, 0)) == [
        {"drama"}
    ]


def test_of_genres_that_are_as_frequent_the_first_by_name_are_taken() -> None:
    assert told({name: [0] for name in "edcba"}, (1, 0, LIKE, 0)) == [{"a", "b", "c"}]


def test_names_that_differ_by_case_and_blanks_are_one_genre() -> None:
    assert told({"Sci  Fi": [0], "SCI FI": [0, 1], " ": [0]}, (1, 0, LIKE, 0), (1, 1, LIKE, 0)) == [{"sci fi"}]


def test_a_user_of_whom_nothing_is_known_has_none() -> None:
    found = [(1, 0, LIKE, 0), (2, 5, LIKE, 0)]
    assert told({"War": [0]}, *found, users=[9, 2, 1]) == [set(), set(), {"war"}]
    assert told({}, *found) == [set()]


GENRES = st.dictionaries(st.sampled_from("abcdefg"), st.lists(st.integers(0, 6), unique=True))
LIKES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), unique=True, min_size=1)


@settings(max_examples=50, deadline=None)
@given(GENRES, LIKES)
def test_they_agree_with_counting(genres: dict[str, list[int]], likes: list[tuple[int, int]]) -> None:
    users = [0, 1, 2, 3]
    expected = []
    for user in users:
        counts = Counter(name for u, title in likes if u == user for name, titles in genres.items() if title in titles)
        expected.append(set(sorted(counts, key=lambda name: (-counts[name], name))[:FAVOURITES]))
    assert told(genres, *((user, title, LIKE, 0) for user, title in likes), users=users) == expected
