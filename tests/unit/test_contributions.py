"""What a collaborative score is owed to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.media import Kind
from shared.ranked_list import CAUSES, RankedList
from shared.scorer import Weights, rank
from shared.snapshot import Snapshot
from shared.taste import Taste
from tests.unit.test_scorer import catalogue, numbers, signed, taste, title


def a_snapshot(titles: int, seed: int) -> Snapshot:
    """Each title has a positive weight for about half of the others, with all its digits, and a few negative ones."""
    draw = np.random.default_rng(seed)
    weights = draw.random((titles, titles)) * draw.choice([0, 0, 1, 1, 1, -0.2], (titles, titles))
    np.fill_diagonal(weights, 0)
    return Snapshot.join(catalogue({}, draw.random(titles).tolist()), signed(weights.astype(np.float32)))


def shares_by_hand(mine: Taste, ranked: RankedList, snapshot: Snapshot) -> list[dict[int, float]]:
    """The slow and obvious way: model title -> its share in steps, for each title listed."""
    neighbours = snapshot.model.neighbours.toarray().astype(float)
    found = []
    for j, score in zip(numbers(ranked), ranked.collaborative.tolist(), strict=True):
        parts = {int(i): float(w) * neighbours[i, j] for i, w in zip(mine.history, mine.weights, strict=True)}
        whole = sum(part for part in parts.values() if part > 0)
        found.append({i: score * part / whole for i, part in parts.items() if part > 0} if score else {})
    return found


def named(ranked: RankedList, place: int) -> dict[int, int]:
    """Number of a title of the history -> its share in steps."""
    causes = ranked.causes
    history = [int.from_bytes(i.ljust(16, b"\0"), "big") - 1 for i in causes.history.tolist()]
    return {
        history[cause - 1]: share
        for cause, share in zip(causes.places[place].tolist(), causes.shares[place].tolist(), strict=True)
        if cause
    }


@settings(max_examples=200, deadline=None)
@given(st.integers(4, 14), st.integers(1, 8), st.integers(0, 2**20))
def test_the_largest_shares_are_named_with_what_is_owed_to_them(titles: int, likes: int, seed: int) -> None:
    snapshot = a_snapshot(titles, seed)
    mine = taste(snapshot, likes=list(range(min(likes, titles - 1))))
    mine = replace(mine, weights=np.random.default_rng(seed).random(len(mine.history)).astype(np.float32) + 0.1)
    [ranked] = rank([mine], snapshot, Weights(), explained=200)
    for place, expected in enumerate(shares_by_hand(mine, ranked, snapshot)):
        largest = sorted((share for share in expected.values() if share > 1), reverse=True)[:CAUSES]
        found = list(named(ranked, place).values())
        assert abs(sum(expected.values()) - ranked.collaborative[place]) < 1e-6
        for share, by_hand in zip(found, largest, strict=False):
            assert abs(share - by_hand) <= 1
        assert sum(found) <= ranked.collaborative[place]


@settings(max_examples=200, deadline=None)
@given(st.integers(4, 14), st.integers(1, CAUSES), st.integers(0, 2**20))
def test_of_a_short_history_the_shares_add_up_to_the_collaborative_score(titles: int, likes: int, seed: int) -> None:
    """Exactly, whatever is rounded: nothing is owed to anything else."""
    snapshot = Snapshot.join(
        a_snapshot(titles, seed).catalogue, signed(np.abs(a_snapshot(titles, seed).model.neighbours.toarray()))
    )
    mine = taste(snapshot, likes=list(range(min(likes, titles - 1))))
    [ranked] = rank([mine], snapshot, Weights(), explained=200)
    assert ranked.causes.shares.sum(axis=1).tolist() == ranked.collaborative.tolist()


def test_a_dislike_is_never_named_and_the_score_it_has_lowered_is_owed_to_what_is_liked() -> None:
    # Titles 0 and 1 both speak for 2 and 3; 1 is disliked, and takes half of what 0 gives.
    neighbours = np.zeros((5, 5), dtype=np.float32)
    neighbours[0, [2, 3]], neighbours[1, [2, 3]] = (4, 2), (2, 1)
    snapshot = Snapshot.join(catalogue({}, [0] * 5), signed(neighbours))
    mine = taste(snapshot, likes=[0, 1])
    mine = replace(
        mine, weights=np.array([1, -1], dtype=np.float32), kinds=np.array([Kind.LIKE, Kind.DISLIKE], dtype=np.int8)
    )
    [ranked] = rank([mine], snapshot, Weights(), explained=200)
    assert numbers(ranked)[0] == 2
    assert ranked.collaborative[0] == 10_000
    assert named(ranked, 0) == {0: 10_000}


def test_only_so_many_titles_are_explained_as_asked_for() -> None:
    snapshot = a_snapshot(12, seed=1)
    mine = taste(snapshot, likes=[0, 1, 2])
    [ranked] = rank([mine], snapshot, Weights(), explained=2)
    [whole] = rank([mine], snapshot, Weights(), explained=200)
    [nothing] = rank([mine], snapshot, Weights())
    assert (whole.causes.places[:3, 0] > 0).all()
    assert (ranked.causes.places[2:] == 0).all()
    assert ranked.causes.places[:2].tolist() == whole.causes.places[:2].tolist()
    assert (nothing.causes.places == 0).all()


def test_a_title_without_a_collaborative_score_is_owed_to_nothing() -> None:
    snapshot = Snapshot.join(catalogue({"Drama": [1, 2]}, [0] * 3), signed(np.zeros((3, 3))))
    [ranked] = rank([taste(snapshot, likes=[0], genres={"drama"})], snapshot, Weights(), explained=200)
    assert sorted(numbers(ranked)) == [1, 2]
    assert (ranked.causes.places == 0).all()
    assert title(0).bytes not in ranked.causes.history.tolist()
