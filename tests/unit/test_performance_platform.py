"""The platform that is made up: always the same, of the size asked for, and shaped as platforms are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from benchmarks.platform import synthetic
from benchmarks.platform.synthetic import GENRES, Interactions, Platform, Size
from shared.media import Kind

SIZE = Size(users=2000, titles=600, interactions=60_000)
COLUMNS = ("users", "titles", "kinds", "times")


def whole(platform: Platform, *, until: int = 10**15) -> Interactions:
    blocks = list(platform.blocks(until=until))
    return Interactions(*(np.concatenate([getattr(block, name) for block in blocks]) for name in COLUMNS))


@pytest.fixture(scope="module")
def rows() -> Interactions:
    return whole(Platform(SIZE))


def test_the_same_seed_is_the_same_platform(rows: Interactions) -> None:
    one, other = Platform(SIZE), Platform(SIZE)
    again = whole(other)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(rows, name), getattr(again, name))
    for name in ("user_ids", "title_ids"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for made in ("genres_of_titles", "genres_of_users", "years"):
        np.testing.assert_array_equal(getattr(one, made)(), getattr(other, made)())


def test_another_seed_is_another_platform(rows: Interactions) -> None:
    other = Platform(SIZE, seed=2)
    assert not np.array_equal(whole(other).users, rows.users)
    assert not np.isin(other.user_ids, Platform(SIZE).user_ids).any()


def test_blocks_come_to_the_rows_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "BLOCK", 7000)
    lengths = [len(block.users) for block in Platform(SIZE).blocks(until=0)]
    assert lengths == [7000] * 8 + [4000]


def test_every_interaction_has_a_user_a_title_a_kind_and_a_time_of_its_own(rows: Interactions) -> None:
    assert (rows.users.min(), rows.titles.min()) == (0, 0)
    assert rows.users.max() < SIZE.users
    assert rows.titles.max() < SIZE.titles
    assert set(np.unique(rows.kinds)) == {Kind.WATCH, Kind.LIKE, Kind.DISLIKE}
    assert (np.bincount(rows.kinds) / len(rows.kinds))[1:] == pytest.approx([0.45, 0.45, 0.10], abs=0.01)
    assert (np.diff(rows.times) > 0).all()
    assert rows.times[-1] < 10**15


def test_ids_are_distinct_uuids_of_version_4() -> None:
    for ids, count in ((Platform(SIZE).user_ids, SIZE.users), (Platform(SIZE).title_ids, SIZE.titles)):
        raw = ids.view(np.uint8).reshape(count, 16)
        assert len(np.unique(ids)) == count
        assert (raw[:, 6] >> 4 == 4).all()
        assert (raw[:, 8] >> 6 == 2).all()


@pytest.mark.parametrize(("column", "exponent", "shift"), [("users", 0.8, 2000 / 70), ("titles", 0.9, 600 / 60)])
def test_activity_falls_with_the_rank_by_the_power_that_is_told(
    rows: Interactions, column: str, exponent: float, shift: float
) -> None:
    counts = np.bincount(getattr(rows, column), minlength=getattr(SIZE, column))
    places = np.linspace(0, len(counts), 9).astype(int)
    expected = (np.arange(len(counts)) + shift) ** -exponent
    shares = np.array([[part[start:end].sum() for start, end in pairwise(places)] for part in (counts, expected)])
    shares /= shares.sum(axis=1, keepdims=True)
    # Clusters favour some titles over others of the same rank.
    np.testing.assert_allclose(shares[0], shares[1], rtol=0.05 if column == "users" else 0.25)


def test_users_prefer_what_others_of_their_cluster_prefer(rows: Interactions) -> None:
    platform = Platform(SIZE)
    own = platform._user_clusters[rows.users] == platform._title_clusters[rows.titles]
    assert own.mean() == pytest.approx(0.5 + 0.5 / 12, abs=0.03)


def test_genres_are_known_ones_and_nobody_has_one_twice() -> None:
    platform = Platform(SIZE)
    for (places, genres), most in (
        (platform.genres_of_titles(), SIZE.titles),
        (platform.genres_of_users(), SIZE.users),
    ):
        assert places.max() < most
        assert genres.max() < len(GENRES)
        assert len(np.unique(places * len(GENRES) + genres)) == len(places)
        assert np.bincount(places).max() <= 3
    assert len(np.unique(platform.genres_of_titles()[0])) == SIZE.titles  # each title has one at least


@pytest.mark.parametrize("size", [Size(1, 1, 1), Size(3, 2, 10), Size(5, 40, 7)])
def test_the_smallest_platforms_can_be_made(size: Size) -> None:
    platform = Platform(size)
    rows = whole(platform)
    assert len(rows.users) == size.interactions
    assert rows.titles.max() < size.titles
    assert len(platform.years()) == size.titles
