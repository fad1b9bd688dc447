"""What makes a list varied: titles unlike each other, few of a genre, places for new titles. Pure numpy: no I/O,
no clock, no logging.

Each takes arrays of titles and gives back an order, or places; what a title's scores are stays with the caller.
To hold a cap in a list with exploration, draw first, cap the drawn, and cap the ordinary titles beside them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.ids import IdArray, IndexArray
from shared.model import Model
from shared.snapshot import Snapshot

_BLOCK = 128  # candidates whose genres are counted at once
_NINTH_DECIMAL = 1e-9  # 0.29 * 100 is a little less than 29

Floats = NDArray[np.float64]


def similarity(titles: IndexArray, snapshot: Snapshot, content_weight: float) -> Floats:
    """How alike listed titles are: content_weight * genres + (1 - content_weight) * neighbours, in [0, 1].

    titles: (n,), catalogue indices. Shape (n, n). Genres: common genres / genres of either (Jaccard). Neighbours: S_ij
    of the model / the strongest neighbour of i, the larger of both directions; 0 for titles that are no neighbours.
    What has nothing to say gives its weight to the other: genres where one of two titles has none, neighbours where
    the model does not know one of them. Of itself a title is 1.
    """
    masks = snapshot.catalogue.genres[titles]
    alike = genre_similarity(masks)
    if snapshot.model is not None:
        places = snapshot.model.titles.find(snapshot.catalogue.index.ids[titles])
        known, has_genres = places >= 0, masks.any(axis=1)
        weight = np.where(np.logical_and.outer(has_genres, has_genres), content_weight, 0.0)
        weight[~np.logical_and.outer(known, known)] = 1.0
        alike = weight * alike + (1 - weight) * _neighbour_similarity(places, snapshot.model)
    np.fill_diagonal(alike, 1.0)
    return alike


def genre_similarity(masks: NDArray[np.uint64]) -> Floats:
    """Common genres / genres of either (Jaccard), shape (..., n, n); 0 where neither has any. masks: (..., n, w)."""
    common = np.zeros((*masks.shape[:-1], masks.shape[-2]), dtype=np.int64)
    for word in np.moveaxis(masks, -1, 0):
        common += np.bitwise_count(word[..., :, None] & word[..., None, :])
    own = np.diagonal(common, axis1=-2, axis2=-1)
    alike: Floats = common / np.maximum(own[..., :, None] + own[..., None, :] - common, 1)
    return alike


def _neighbour_similarity(places: IndexArray, model: Model) -> Floats:
    """places: (n,), model indices, -1 for a title it does not know; such a row is 0."""
    known = np.flatnonzero(places >= 0)
    of, columns, weights = model.rows(places[known])
    row = known[of]
    strongest = np.zeros(len(places), dtype=np.float32)
    np.maximum.at(strongest, row, weights)
    column_of = np.full(len(model.titles), -1, dtype=np.int64)
    column_of[places[known]] = known
    column = column_of[columns]
    kept = (column >= 0) & (weights > 0)
    alike = np.zeros((len(places), len(places)))
    alike[row[kept], column[kept]] = weights[kept] / strongest[row[kept]]
    return np.maximum(alike, alike.T)


def diversify(scores: Floats, similarity: Floats, diversity: float) -> IndexArray:
    """The order by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998), shape (n,): next is always
    the title with the largest (1 - d) * score - d * its similarity to the nearest of the titles before. Ties: as given.

    scores: (n,), in [0, 1]; similarity: (n, n), in [0, 1]; diversity: d, in [0, 1], at 0 the order is the one given.
    """
    order = np.arange(len(scores))
    if diversity == 0:
        return order
    relevance = (1 - diversity) * np.asarray(scores, dtype=np.float64)
    distance = diversity * similarity
    nearest, value = np.zeros(len(scores)), np.empty(len(scores))
    for place in range(len(order)):
        np.subtract(relevance, nearest, out=value)
        chosen = int(value.argmax())
        order[place] = chosen
        relevance[chosen] = -np.inf
        np.maximum(nearest, distance[chosen], out=nearest)
    return order


def capped(
    masks: NDArray[np.uint64], most_per_genre: int, depth: int, *, beside: NDArray[np.uint64] | None = None
) -> IndexArray:
    """Places of the titles kept, in order, at most `depth`: all but those of which a genre already has `most_per_genre`
    kept titles. A title without genres is always kept.

    masks: (n, w), genres of the candidates, best first. beside: (k, w), genres of titles that are in the list anyway,
    and count.
    """
    taken = np.zeros(masks.shape[1] * 64, dtype=np.int64)  # kept titles of each genre
    if beside is not None:
        taken += _bits(beside).sum(axis=0, dtype=np.int64)
    kept: list[IndexArray] = []
    space = depth
    for start in range(0, len(masks), _BLOCK):
        block = masks[start : start + _BLOCK]
        waiting = np.flatnonzero(_free(block, taken, most_per_genre))
        while len(waiting) and space > 0:
            counts = taken + _bits(block[waiting]).cumsum(axis=0, dtype=np.int64)
            over = (counts > most_per_genre) & (counts > taken)
            fit = int(over.any(axis=1).argmax()) if over[-1].any() else len(waiting)
            fit = min(fit, space)
            kept.append(start + waiting[:fit])
            space -= fit
            taken = counts[fit - 1]
            # Should any be left, a genre is full now, or the list.
            waiting = waiting[fit:]
            waiting = waiting[_free(block[waiting], taken, most_per_genre)]
        if space <= 0:
            break
    return np.concatenate([*kept, np.empty(0, dtype=np.int64)])


def _bits(masks: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Shape (n, 64 w): a column per genre, in an order of its own."""
    return np.unpackbits(np.ascontiguousarray(masks).view(np.uint8), axis=1)


def _free(masks: NDArray[np.uint64], taken: NDArray[np.int64], most_per_genre: int) -> NDArray[np.bool_]:
    """Which titles have no genre that is full. Shape (n,)."""
    full = np.packbits(taken >= most_per_genre).view(np.uint64)
    free: NDArray[np.bool_] = np.bitwise_or.reduce(masks & full, axis=1) == 0
    return free


def drawn(ids: IdArray, most: int, *, seed: int, user: bytes) -> IndexArray:
    """Places in `ids`, shape (n,), of the `most` titles that the lot falls on, in its order; shape (min(most, n),).

    The lot is a hash of seed, user and title: the same again in every process, another for each user; and a title that
    comes or goes leaves the others in their order.
    """
    salts = np.random.SeedSequence((seed, int.from_bytes(user, "big"))).generate_state(2, np.uint64)
    words = np.ascontiguousarray(ids).view("<u8").reshape(-1, 2)
    lots = _mixed(_mixed(words[:, 0] ^ salts[0]) ^ words[:, 1] ^ salts[1])
    some: IndexArray = np.argpartition(lots, most)[:most] if most < len(lots) else np.arange(len(lots))
    places: IndexArray = some[np.argsort(lots[some])]
    return places


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The last step of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): each bit changes half of the result's."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def explored(listed: IndexArray, drawn: IndexArray, share: float, depth: int) -> tuple[IndexArray, IndexArray]:
    """A list with new titles in it: its titles, shape (k,), k <= depth, and where in `listed` each was, -1 for a title
    of exploration.

    listed, drawn: titles (any kind of index) in order, each distinct; a title in both is shown once, where it comes
    first. Of the first L places floor(share * L) are of exploration, so the first one is only when share is 1. A place
    that one of the two cannot fill goes to the other.
    """
    reserved = np.diff(np.floor(share * np.arange(depth + 1) + _NINTH_DECIMAL)) > 0
    sources = (enumerate(listed.tolist()), ((-1, title) for title in drawn.tolist()))
    found: dict[int, int] = {}  # title -> its place in `listed`
    for of_exploration in reserved.tolist():
        for source in sources[::-1] if of_exploration else sources:
            place, title = next((entry for entry in source if entry[1] not in found), (-1, None))
            if title is not None:
                found[title] = place
                break
        else:
            break
    return np.array(list(found), dtype=np.int64), np.array(list(found.values()), dtype=np.int64)
