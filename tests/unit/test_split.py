"""What is held out, to be guessed from the rest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.media import Kind
from tests.interactions import Row, interactions, likes, numbers
from worker.training.interactions import Interactions
from worker.training.split import FRACTION, LEAST, Protocol, split

LIKE, WATCH, DISLIKE, OTHER = Kind.LIKE, Kind.WATCH, Kind.DISLIKE, Kind.OTHER
TABLES = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.integers(0, 15),
        st.sampled_from(list(Kind)),
        st.sampled_from([None, 0, 1, 2, 3, 4]),
    ),
    min_size=1,
    max_size=120,
)


def pairs(part: Interactions) -> list[tuple[int, int]]:
    """Users and titles by their numbers."""
    users, titles = numbers(part.user_ids), numbers(part.title_ids)
    return [(users[u], titles[t]) for u, t in zip(part.users, part.titles, strict=True)]


def by_user(part: Interactions) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for user, title in pairs(part):
        found.setdefault(user, []).append(title)
    return found


@pytest.mark.parametrize("protocol", Protocol)
@settings(max_examples=40, deadline=None)
@given(TABLES, st.integers(1, 6), st.integers(0, 99))
def test_the_parts_are_disjoint_and_complete_and_only_who_has_enough_is_tested(
    protocol: Protocol, found: list[Row], least: int, seed: int
) -> None:
    whole = interactions(*found)
    parts = split(whole, protocol, seed=seed, least=least)
    known = pairs(parts.fit) + (pairs(parts.history) if protocol is Protocol.USERS else [])
    assert sorted(known + pairs(parts.held)) == pairs(whole)
    count = {user: len(titles) for user, titles in by_user(whole).items()}
    held = {user: len(titles) for user, titles in by_user(parts.held).items()}
    assert all(held[user] == max(1, int(FRACTION * count[user])) for user in held)
    able = {user for user, n in count.items() if n >= least}
    if protocol is Protocol.USERS:
        assert set(held) <= able
        assert len(held) == np.ceil(FRACTION * len(able))
        assert not set(held) & set(by_user(parts.fit))
        assert set(by_user(parts.history)) <= set(held)
    else:
        assert set(held) == able
        assert parts.fit is parts.history


@settings(max_examples=40, deadline=None)
@given(TABLES, st.integers(1, 6))
def test_by_time_nothing_that_is_known_of_a_user_is_newer_than_what_is_held_out(found: list[Row], least: int) -> None:
    parts = split(interactions(*found), Protocol.TEMPORAL, seed=0, least=least)
    for user in set(parts.held.users.tolist()):
        known = [(t, r) for u, t, r in zip(parts.fit.users, parts.fit.times, parts.fit.rows, strict=True) if u == user]
        held = [
            (t, r) for u, t, r in zip(parts.held.users, parts.held.times, parts.held.rows, strict=True) if u == user
        ]
        assert max(known, default=min(held)) <= min(held)


def test_by_time_a_users_last_fifth_is_held_out() -> None:
    assert by_user(split(likes(list(range(10)), [9, 8, 7, 6, 5]), Protocol.TEMPORAL, seed=0).held) == {
        0: [8, 9],
        1: [5],
    }


def test_of_two_at_the_same_time_the_larger_id_of_the_table_is_newer() -> None:
    at_once = interactions(*((1, title, LIKE, 7) for title in (3, 1, 4, 0, 5, 9, 2, 6, 8, 7)))
    assert by_user(split(at_once, Protocol.TEMPORAL, seed=0).held) == {1: [7, 8]}


def test_what_has_no_time_is_older_than_what_has_one() -> None:
    found = [(1, 9, LIKE, 5), *((1, title, LIKE, None) for title in range(4))]
    assert by_user(split(interactions(*found), Protocol.TEMPORAL, seed=0).held) == {1: [9]}


def test_by_default_a_user_with_fewer_than_five_is_learnt_from_and_not_tested() -> None:
    assert LEAST == 5
    parts = split(likes([1, 2, 3, 4], [1, 2, 3, 4, 5]), Protocol.TEMPORAL, seed=0)
    assert by_user(parts.fit) == {0: [1, 2, 3, 4], 1: [1, 2, 3, 4]}
    assert by_user(parts.held) == {1: [5]}


@pytest.mark.parametrize("protocol", [Protocol.RANDOM, Protocol.USERS])
def test_what_is_drawn_is_the_same_for_a_seed_and_another_for_another(protocol: Protocol) -> None:
    whole = likes(*([list(range(20))] * 20))
    first, again, other = (pairs(split(whole, protocol, seed=seed).held) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_at_random_any_of_a_users_interactions_may_be_held_out() -> None:
    whole = likes(list(range(10)))
    found = {title for seed in range(60) for title in by_user(split(whole, Protocol.RANDOM, seed=seed).held)[0]}
    assert found == set(range(10))


@pytest.mark.parametrize("protocol", Protocol)
def test_nobody_with_enough_leaves_nothing_held_out(protocol: Protocol) -> None:
    parts = split(likes([1, 2], [3, 4]), protocol, seed=0)
    assert not len(parts.held)
    assert len(parts.fit) == 4


def test_all_parts_speak_of_the_same_users_and_titles() -> None:
    whole = likes(list(range(10)), list(range(5, 15)))
    for protocol in Protocol:
        parts = split(whole, protocol, seed=0)
        for part in (parts.fit, parts.history, parts.held, parts.relevant):
            assert part.user_ids is whole.user_ids
            assert part.title_ids is whole.title_ids


class TestRelevant:
    def held(self, *kinds: Kind) -> list[int]:
        """One user's history, then titles 10, 11 ... of these kinds, which are held out."""
        before = [(1, 100 + i, WATCH, i) for i in range(4 * len(kinds))]
        found = [*before, *((1, 10 + i, kind, 1000 + i) for i, kind in enumerate(kinds))]
        return [title for _, title in pairs(split(interactions(*found), Protocol.TEMPORAL, seed=0).relevant)]

    def test_it_is_what_was_liked(self) -> None:
        assert self.held(LIKE, WATCH, DISLIKE, OTHER, LIKE) == [10, 14]

    def test_it_is_what_was_watched_where_nobody_likes(self) -> None:
        assert self.held(WATCH, DISLIKE, OTHER, WATCH) == [10, 13]

    def test_it_is_nothing_where_nobody_likes_or_watches(self) -> None:
        assert self.held(DISLIKE, OTHER) == []
