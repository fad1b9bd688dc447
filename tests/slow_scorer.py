"""The scorer as numpy and scipy say it, user by user: slow, obvious, and what the compiled one is held to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from shared.arranging import Floats, Scored, arrange, candidates, draw
from shared.filters import passing
from shared.ids import IndexArray
from shared.media import Source, Strategy
from shared.options import PLAIN, ListOptions, Variety
from shared.ranked_list import CAUSES, SOURCE_CODE, STEPS, Causes, RankedList
from shared.scorer import Weights
from shared.snapshot import Snapshot
from shared.taste import Taste

_BLOCK = 64  # users whose raw scores are held at once; bounds memory to about 64 x titles entries


def collaborative_scores(tastes: Sequence[Taste], snapshot: Snapshot) -> sparse.csr_array:
    """Raw collaborative scores X @ S, shape (users, model titles), X being users x weighed history.

    Each sum runs in the order of the history's indices, so one user scored alone and in a batch gets the same bits.
    """
    if snapshot.model is None:
        return sparse.csr_array(np.empty((len(tastes), 0), dtype=np.float32))
    starts = np.cumsum([0, *(len(taste.history) for taste in tastes)])
    columns = np.concatenate([*(taste.history for taste in tastes), np.empty(0, dtype=np.int64)])
    weights = np.concatenate([*(taste.weights for taste in tastes), np.empty(0, dtype=np.float32)])
    x = sparse.csr_array(
        (weights, columns.astype(np.int32), starts.astype(np.int32)),
        shape=(len(tastes), len(snapshot.model.titles)),
    )
    scores: sparse.csr_array = x @ snapshot.model.neighbours
    return scores


def rank(
    tastes: Sequence[Taste],
    snapshot: Snapshot,
    weights: Weights,
    options: ListOptions = PLAIN,
    *,
    explained: int = 0,
) -> list[RankedList]:
    """As shared.scorer.rank."""
    return list(_rank(tastes, snapshot, weights, options, explained))


@dataclass(frozen=True)
class _Task:
    """What the lists of one call have in common."""

    snapshot: Snapshot
    weights: Weights
    variety: Variety
    explained: int

    def arrange(self, listed: Scored, exploring: Scored, last: int) -> Scored:
        return arrange(listed, exploring, last, self.variety, self.weights.depth, self.snapshot, self.weights.content)

    def ranked_list(self, scored: Scored, strategy: Strategy, taste: Taste) -> RankedList:
        collaborative = _steps(scored.collaborative)
        return RankedList(
            strategy=strategy,
            titles=self.snapshot.catalogue.index.ids[scored.titles],
            scores=_steps(scored.scores),
            content=_steps(scored.content),
            collaborative=collaborative,
            sources=scored.sources,
            causes=causes(taste, scored.titles, collaborative, self.snapshot, self.explained),
            genres=taste.genres & self.snapshot.catalogue.genre_bits.keys(),
            exhausted=len(scored) < self.weights.depth,
        )


def _rank(
    tastes: Sequence[Taste], snapshot: Snapshot, weights: Weights, options: ListOptions, explained: int
) -> Iterator[RankedList]:
    task = _Task(snapshot, weights, options.variety, explained)
    closed = ~passing(options.filters, snapshot.catalogue)
    taken = closed.copy()  # filtered out, seen, or already in the list; like `closed` between users
    for start in range(0, len(tastes), _BLOCK):
        block = tastes[start : start + _BLOCK]
        raw = collaborative_scores(block, snapshot)
        for row, taste in enumerate(block):
            entries = slice(raw.indptr[row], raw.indptr[row + 1])
            places = snapshot.catalogue_place[raw.indices[entries]] if snapshot.model else _NONE
            hidden = taste.disliked if options.filters.include_seen else taste.seen
            taken[hidden] = True
            ranked, noted = _rank_one(taste, places, raw.data[entries], task, taken)
            yield ranked
            for titles in (hidden, *noted):
                taken[titles] = closed[titles]


def _rank_one(
    taste: Taste, places: IndexArray, raw: NDArray[np.float32], task: _Task, taken: NDArray[np.bool_]
) -> tuple[RankedList, list[IndexArray]]:
    """One user's list, and the titles that were noted as taken. places: (k,) catalogue index (or -1) of the titles
    scored, raw: (k,) their scores."""
    snapshot, weights, catalogue = task.snapshot, task.weights, task.snapshot.catalogue
    mask = catalogue.mask(taste.genres)
    has_content = bool(mask.any())
    depth = candidates(task.variety, weights.depth)

    known = places >= 0
    known[known] = ~taken[places[known]]
    places, raw = places[known], raw[known]
    exploring = draw(snapshot.new[~taken[snapshot.new]], snapshot, task.variety, weights.depth, taste.user)
    against = places[raw < 0]
    neighbours, best = _best(places[raw > 0], raw[raw > 0], depth)
    new = _new(snapshot, mask, taken, weights.new) if has_content and len(neighbours) else _NONE
    neighbours, best = neighbours[: depth - len(new)], best[: depth - len(new)]
    taken[neighbours] = taken[new] = taken[against] = True
    space = depth - len(neighbours) - len(new)
    matching = _matching(snapshot, mask, taken, space) if has_content else _NONE
    taken[matching] = True
    popular = _untaken(taken, space - len(matching))
    last, _ = _best(against, raw[raw < 0], space - len(matching) - len(popular))

    head, tail = neighbours[: weights.pool], neighbours[weights.pool :]
    parts = [
        (Source.HYBRID, head),
        (Source.CONTENT, new),
        (Source.HYBRID, tail),
        (Source.CONTENT, matching),
        (Source.POPULAR, popular),
        (Source.POPULAR, last),
        (Source.EXPLORATION, exploring),
    ]
    titles = np.concatenate([part for _, part in parts])
    scaled = _scale(best, in_pool=weights.pool, short=len(neighbours) < weights.pool)
    collaborative = np.zeros(len(titles))
    collaborative[: len(head)] = scaled[: len(head)]
    collaborative[len(head) + len(new) :][: len(tail)] = scaled[len(head) :]
    content = catalogue.matches(mask, titles) / max(1, len(taste.genres))
    strategy = _strategy(has_content=has_content, has_collaborative=len(neighbours) > 0)
    scores = _hybrid(strategy, content, collaborative, catalogue.popularity[titles], weights)
    scored = Scored(titles, scores, content, collaborative, _sources(parts))

    order = np.arange(len(titles) - len(exploring))
    # Neither genres nor popularity mend what the history speaks against.
    pool = min(weights.pool + len(new), len(order) - len(last))
    order[:pool] = np.argsort(-scores[:pool], kind="stable")
    # Behind the pool the order is not the hybrid's: a score there is held down to the one before it.
    listed = replace(scored.part(order), scores=np.minimum.accumulate(scores[order]))
    arranged = task.arrange(listed, scored.part(slice(len(order), None)), len(last))
    return task.ranked_list(arranged, strategy, taste), [neighbours, new, against, matching]


def _sources(parts: Sequence[tuple[Source, IndexArray]]) -> NDArray[np.uint8]:
    """Where each title of these parts, end to end, came from."""
    return np.repeat(np.array([SOURCE_CODE[source] for source, _ in parts], np.uint8), [len(part) for _, part in parts])


_NONE: IndexArray = np.empty(0, dtype=np.int64)


def _best(titles: IndexArray, raw: NDArray[np.float32], most: int) -> tuple[IndexArray, NDArray[np.float32]]:
    """The titles with the highest scores, best first, ties by index."""
    if most <= 0:
        return _NONE, raw[:0]
    if len(titles) > most:
        least = np.partition(raw, len(raw) - most)[len(raw) - most]
        kept = raw >= least  # ties with the last one stay until the sort has judged them
        titles, raw = titles[kept], raw[kept]
    order = np.lexsort((titles, -raw))[:most]
    return titles[order], raw[order]


def _new(snapshot: Snapshot, mask: NDArray[np.uint64], taken: NDArray[np.bool_], most: int) -> IndexArray:
    """Untaken titles that the model does not know and that share genres with the mask: most matches first, then the
    newest."""
    matches: IndexArray = np.bitwise_count(snapshot.new_genres & mask).sum(axis=1, dtype=np.int64)
    matches[taken[snapshot.new]] = 0
    order = np.argsort(-matches, kind="stable")[:most]
    found: IndexArray = snapshot.new[order[matches[order] > 0]]
    return found


def _matching(snapshot: Snapshot, mask: NDArray[np.uint64], taken: NDArray[np.bool_], most: int) -> IndexArray:
    """Untaken titles that share genres with the mask: most matches first, then most popular."""
    if most <= 0:
        return _NONE
    matches = snapshot.catalogue.matches(mask, slice(None))
    matches[taken] = 0
    found: list[IndexArray] = []
    for count in range(int(matches.max(initial=0)), 0, -1):
        found.append(np.flatnonzero(matches == count)[:most])
        most -= len(found[-1])
        if most == 0:
            break
    return np.concatenate(found) if found else _NONE


def _untaken(taken: NDArray[np.bool_], most: int) -> IndexArray:
    """The most popular untaken titles (the catalogue is in that order)."""
    return np.flatnonzero(~taken)[:most] if most > 0 else _NONE


def _scale(raw: NDArray[np.float32], *, in_pool: int, short: bool) -> Floats:
    """Collaborative scores scaled over the pool: best 1, last 0. In a pool that is topped up, the last have raw 0."""
    if not len(raw):
        return np.empty(0)
    exact = raw.astype(np.float64)
    best, last = exact[0], 0.0 if short else exact[:in_pool][-1]
    if best == last:  # all alike: none is better, and none is worthless
        return np.where(np.arange(len(exact)) < in_pool, 1.0, 0.0)
    scaled: Floats = np.clip((exact - last) / (best - last), 0.0, 1.0)
    return scaled


def _strategy(*, has_content: bool, has_collaborative: bool) -> Strategy:
    if has_collaborative:
        return Strategy.HYBRID if has_content else Strategy.COLLABORATIVE
    return Strategy.CONTENT if has_content else Strategy.POPULAR


def _hybrid(
    strategy: Strategy, content: Floats, collaborative: Floats, popularity: NDArray[np.float32], weights: Weights
) -> Floats:
    """The score of each title, in [0, 1]. With nothing known of the user it is popularity over the most popular's."""
    if strategy is Strategy.HYBRID:
        mixed: Floats = weights.content * content + (1 - weights.content) * collaborative
        return mixed
    if strategy is Strategy.COLLABORATIVE:
        return collaborative
    if strategy is Strategy.CONTENT:
        return content
    most = popularity.max(initial=0) or 1.0
    return np.asarray(popularity / most, dtype=np.float64)


def _steps(score: Floats) -> NDArray[np.uint16]:
    return np.rint(score * STEPS).astype(np.uint16)


def causes(
    taste: Taste, titles: IndexArray, collaborative: NDArray[np.uint16], snapshot: Snapshot, most: int
) -> Causes:
    """The largest shares, above zero, in the score of each of the first `most` titles.

    titles: (n,), catalogue indices. collaborative: (n,), their scores in steps.
    """
    found = Causes.none(len(titles))
    owed = np.flatnonzero(collaborative[:most] > 0)
    if snapshot.model is None or not len(owed) or not len(taste.history):
        return found
    columns = snapshot.model_place[titles[owed]]
    shared = sparse.csr_array(snapshot.model.neighbours[taste.history][:, columns]).toarray().T.astype(np.float64)
    shared *= taste.weights  # (k, h)
    shared = np.maximum(shared, 0)
    raw = shared.sum(axis=1, keepdims=True)  # above zero, or there were no collaborative score
    count = min(CAUSES, len(taste.history))
    largest = np.argsort(-shared, axis=1, kind="stable")[:, :count]
    parts = np.take_along_axis(shared, largest, axis=1)
    # Sums are rounded, not shares: so the shares of a whole history add up exactly.
    sums = np.rint(np.cumsum(parts, axis=1) / raw * collaborative[owed, None])
    places, shares = found.places.copy(), found.shares.copy()
    shares[owed, :count] = np.diff(sums, axis=1, prepend=0)
    places[owed, :count] = np.where(shares[owed, :count] > 0, largest + 1, 0)
    return Causes(snapshot.model.titles.ids[taste.history], taste.kinds.astype(np.uint8), places, shares)
