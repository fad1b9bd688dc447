"""The compiled scorer, held to the slow and obvious one (tests/slow_scorer.py): list for list, to the last bit."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.media import Kind
from shared.model import NARROW, WIDE
from shared.options import Filters, ListOptions, Variety
from shared.ranked_list import RankedList
from shared.scorer import Weights, rank
from shared.snapshot import Snapshot
from shared.taste import Taste
from tests import slow_scorer
from tests.unit.test_scorer import catalogue, signed, title

GENRES = [f"genre {number}" for number in range(70)]  # more than a word of a mask holds
OPTIONS = {
    "nothing": ListOptions(),
    "seen titles": ListOptions(Filters(include_seen=True)),
    "a genre": ListOptions(Filters(genres_any=("genre 1", "genre 68"))),
    "what nothing is": ListOptions(Filters(genres_all=("genre 1", "no such genre"))),
    "titles excluded": ListOptions(Filters(exclude=tuple(map(title, range(0, 30, 2))))),
    "diversity": ListOptions(variety=Variety(diversity=0.5)),
    "few of a genre": ListOptions(variety=Variety(max_per_genre=2)),
    "exploration": ListOptions(variety=Variety(explore=0.3, seed=4)),
    "everything": ListOptions(
        Filters(genres_none=("genre 2",)), Variety(diversity=0.2, max_per_genre=5, explore=0.2, seed=1)
    ),
}
WEIGHTS = {
    "as usual": Weights(),
    "no deeper than the pool": Weights(pool=30, depth=10),
    "content alone": Weights(content=1.0),
    "no content": Weights(content=0.0, new=0),
    "many new titles": Weights(new=7, pool=3, depth=20),
    "one title": Weights(pool=1, depth=1),
}


def a_snapshot(draw: np.random.Generator, titles: int, *, of_model: int, ties: bool) -> Snapshot:
    """A catalogue, a model that knows a part of it and titles besides, with weights of either sign."""
    genres = {name: np.flatnonzero(draw.random(titles) < 0.1).tolist() for name in GENRES}
    known = catalogue({name: found for name, found in genres.items() if found}, draw.integers(0, 9, titles).tolist())
    if not of_model:
        return Snapshot.join(known, None)
    shape = (of_model, of_model)
    weights = draw.integers(-1, 4, shape) if ties else draw.normal(0.5, 1, shape)
    weights = np.where(draw.random(shape) < draw.choice([0.02, 0.3, 1.0]), weights, 0)
    np.fill_diagonal(weights, 0)
    return Snapshot.join(known, signed(weights.astype(np.float32)))


def users(draw: np.random.Generator, snapshot: Snapshot, count: int) -> list[Taste]:
    """With long, short and no histories; with preferences and without."""
    titles, found = len(snapshot.model.titles) if snapshot.model else 0, []
    for number in range(count):
        history = np.flatnonzero(draw.random(titles) < draw.choice([0, 0.05, 0.5]))
        seen = np.flatnonzero(draw.random(len(snapshot.catalogue)) < draw.choice([0, 0.2, 0.9]))
        found.append(
            Taste(
                genres=frozenset(draw.choice([*GENRES, "unknown"], draw.integers(0, 4)).tolist()),
                history=history,
                weights=draw.choice([-0.2, 0.5, 1.0], len(history)).astype(np.float32),
                kinds=draw.choice([Kind.LIKE, Kind.WATCH], len(history)).astype(np.int8),
                seen=seen,
                disliked=seen[: len(seen) // 3],
                user=number.to_bytes(16, "big"),
            )
        )
    return found


def assert_same(found: list[RankedList], expected: list[RankedList]) -> None:
    assert len(found) == len(expected)
    for mine, other in zip(found, expected, strict=True):
        for column in fields(RankedList):
            one, two = getattr(mine, column.name), getattr(other, column.name)
            if column.name == "causes":
                assert all(np.array_equal(getattr(one, f.name), getattr(two, f.name)) for f in fields(one))
            elif isinstance(one, np.ndarray):
                assert one.dtype == two.dtype
                assert one.tolist() == two.tolist(), column.name
            else:
                assert one == two, column.name


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS.keys())
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_whatever_is_asked_for_the_lists_are_those_of_the_slow_one(options: ListOptions, weights: Weights) -> None:
    draw = np.random.default_rng(7)
    snapshot = a_snapshot(draw, 300, of_model=280, ties=False)
    tastes = users(draw, snapshot, 80)  # more than a block
    found = rank(tastes, snapshot, weights, options, explained=25)
    assert_same(found, slow_scorer.rank(tastes, snapshot, weights, options, explained=25))


@pytest.mark.parametrize("columns", [NARROW, WIDE])
def test_however_wide_the_models_columns_are_the_lists_are_those_of_the_slow_one(columns: np.dtype) -> None:
    draw = np.random.default_rng(3)
    snapshot = a_snapshot(draw, 60, of_model=50, ties=False)
    snapshot = replace(snapshot, model=replace(snapshot.model, columns=snapshot.model.columns.astype(columns)))
    assert snapshot.shelf.columns.dtype == columns
    tastes = users(draw, snapshot, 20)
    assert_same(
        rank(tastes, snapshot, Weights(), explained=10), slow_scorer.rank(tastes, snapshot, Weights(), explained=10)
    )


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 60), st.integers(0, 70), st.booleans(), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**20)
)
@example(titles=36, of_model=36, ties=False, pool=1, depth=1, seed=57)  # more is spoken against than is wanted at all
def test_whatever_the_platform_the_lists_are_those_of_the_slow_one(
    titles: int, of_model: int, ties: bool, pool: int, depth: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    snapshot = a_snapshot(draw, titles, of_model=of_model, ties=ties)
    tastes, weights = users(draw, snapshot, 5), Weights(pool=pool, depth=depth)
    assert_same(
        rank(tastes, snapshot, weights, explained=depth),
        slow_scorer.rank(tastes, snapshot, weights, explained=depth),
    )
