"""The scorer's loops, compiled: which titles a user gets, how they score, and what of the history they are owed to.

What they come to is said in shared/scorer.py. Each sum runs in the order of the history, in float32 as the model's
weights are, so one user alone and in a batch gets the same bits. All is in one file: whether what numba has kept is
still good, it tells by the time of the file that holds the outermost function.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.compiled import compiled, fetch, inlined
from shared.ids import Places

_LARGEST = 0x7FFF_FFFF
_LINE = 16  # weights in a line of the processor's cache; of narrow columns it holds twice as many
_AHEAD = 2  # rows of S that are on their way while one is summed up
_DIGIT = 8  # bits that a pass of the sort looks at
_place = np.uint64  # an index that is surely not negative: half the time of one that may be, and count from the end

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Scores = NDArray[np.float32]


class Shelf(NamedTuple):
    """The arrays of a snapshot that the loops read: a catalogue of n titles, a model of m."""

    starts: NDArray[np.int32]  # (m + 1,), of S
    columns: Places  # (nnz,), in two bytes or in four
    weights: Scores  # (nnz,)
    catalogue_place: Ints  # (m,), -1 for a title that may not be shown
    model_place: Ints  # (n,), -1 for a title that the model does not know
    genres: NDArray[np.uint64]  # (n, w)
    popularity: Scores  # (n,)
    new: Ints  # (k,)
    new_genres: NDArray[np.uint64]  # (k, w)


class Asked(NamedTuple):
    """What is known of u users, end to end."""

    starts: Ints  # (u + 1,), of each user's history
    history: Ints  # model places, rising
    weights: Scores
    hidden_starts: Ints  # (u + 1,)
    hidden: Ints  # catalogue places of what is not to be shown
    masks: NDArray[np.uint64]  # (u, w), genres
    genres: Ints  # (u,), how many the user prefers, known to the catalogue or not


class Rule(NamedTuple):
    """How lists are made: see shared.scorer.Weights."""

    content: float
    pool: int
    new: int
    sources: tuple[int, int, int]  # codes of hybrid, content, popular


class Found(NamedTuple):
    """u lists of at most d titles, before variety."""

    titles: Ints  # (u, d), catalogue places
    scores: Floats  # (u, d)
    content: Floats  # (u, d)
    collaborative: Floats  # (u, d)
    sources: NDArray[np.uint8]  # (u, d)
    lengths: Ints  # (u,)
    last: Ints  # (u,), how many at the end are there for want of others
    has_neighbours: NDArray[np.bool_]  # (u,), whether the history has anything to say

    @classmethod
    def empty(cls, users: int, depth: int) -> Found:
        """Room for as many."""
        shape = (users, depth)
        return cls(
            np.zeros(shape, np.int64),
            np.zeros(shape),
            np.zeros(shape),
            np.zeros(shape),
            np.zeros(shape, np.uint8),
            np.zeros(users, np.int64),
            np.zeros(users, np.int64),
            np.zeros(users, np.bool_),
        )

    @classmethod
    def of(cls, columns: tuple[NDArray[Any], ...]) -> Found:
        """One list, as it is."""
        found = cls.empty(1, len(columns[0]))
        arrays: tuple[NDArray[Any], ...] = found
        for mine, column in zip(arrays, columns, strict=False):
            mine[0] = column
        found.lengths[0] = len(columns[0])
        return found


@compiled
def retrieve(shelf: Shelf, closed: NDArray[np.bool_], asked: Asked, rule: Rule, found: Found) -> None:
    """Fill `found`. closed: (n,), titles that the filters leave out."""
    depth = found.titles.shape[1]
    hybrid, matching_genres, popularity = rule.sources
    taken = closed.copy()  # filtered out, hidden, or already in the list; as `closed` between users
    models = len(shelf.catalogue_place)
    tops = np.empty(2 * max(1, depth), dtype=np.int32)
    sums = np.empty(-(-models // len(tops)) * len(tops), dtype=np.float32)
    keys, spare = np.empty(models, dtype=np.int64), np.empty(models, dtype=np.int64)
    nothing = np.empty(0, dtype=np.int64)
    for user in range(len(asked.masks)):
        mask = asked.masks[user]
        hidden = asked.hidden[asked.hidden_starts[user] : asked.hidden_starts[user + 1]]
        _mark(hidden, taken)
        of_user = slice(asked.starts[user], asked.starts[user + 1])
        _sum_up(shelf, asked.history[of_user], asked.weights[of_user], sums)
        count = _spoken_for(shelf, sums, taken, tops, keys)
        neighbours, best = _in_order(keys[:count], spare[:count], depth)
        against = nothing
        if len(neighbours) < depth:
            count = _spoken_against(shelf, sums, taken, keys)
            against, _ = _in_order(keys[:count], spare[:count], models)  # all: none is popular

        has_content = mask.any()
        new = _new(shelf, mask, taken, rule.new) if has_content and len(neighbours) else nothing
        neighbours, best = neighbours[: depth - len(new)], best[: depth - len(new)]
        _mark(neighbours, taken)
        _mark(against, taken)
        space = depth - len(neighbours) - len(new)
        matching = _matching(shelf, mask, taken, space) if has_content else nothing
        popular = _untaken(taken, space - len(matching))
        last = against[: space - len(matching) - len(popular)]

        head = min(rule.pool, len(neighbours))
        length = _append(found, user, 0, neighbours[:head], hybrid)
        length = _append(found, user, length, new, matching_genres)
        length = _append(found, user, length, neighbours[head:], hybrid)
        length = _append(found, user, length, matching, matching_genres)
        length = _append(found, user, length, popular, popularity)
        length = _append(found, user, length, last, popularity)
        found.lengths[user], found.last[user] = length, len(last)
        found.has_neighbours[user] = len(neighbours) > 0
        _scale(best, rule.pool, len(new), found.collaborative[user])
        _score(shelf, asked, rule, found, user)
        # Neither genres nor popularity mend what the history speaks against.
        _put_in_order(found, user, min(rule.pool + len(new), length - len(last)))

        for some in (hidden, neighbours, new, against, matching):
            for title in some:
                taken[title] = closed[title]


@compiled
def owe(
    shelf: Shelf,
    asked: Asked,
    titles: Ints,
    collaborative: NDArray[np.uint16],
    owed_to: tuple[NDArray[np.uint16], NDArray[np.uint16]],
) -> None:
    """Fill `owed_to`, (u, d, c): places in the history, from 1 on, and shares in steps, the largest first.

    titles: (u, d), catalogue places; collaborative: (u, k), k <= d, in steps, of the titles to be explained.
    """
    places, shares = owed_to
    depth, most = collaborative.shape[1], places.shape[2]
    slots = np.zeros(len(shelf.catalogue_place), dtype=np.uint16)  # 1 + a title's place in the list
    sums, parts = np.empty(depth), np.empty((depth, most))
    entries = np.empty((depth, most), dtype=np.int64)
    for user in range(len(titles)):
        anything = False
        for i in range(depth):
            if collaborative[user, i] > 0:
                slots[shelf.model_place[titles[user, i]]] = i + 1
                anything = True
        if not anything:
            continue
        of_user = slice(asked.starts[user], asked.starts[user + 1])
        _part(shelf, asked.history[of_user], asked.weights[of_user], slots, sums, parts, entries)
        for i in range(depth):
            if collaborative[user, i] > 0:
                slots[shelf.model_place[titles[user, i]]] = 0
                # Sums are rounded, not shares: so the shares of a whole history add up exactly.
                total, before = 0.0, 0.0
                for k in range(most):
                    total += parts[i, k]
                    rounded = np.rint(total / sums[i] * collaborative[user, i])
                    if rounded > before:
                        shares[user, i, k], places[user, i, k] = rounded - before, entries[i, k] + 1
                    before = rounded


@inlined
def _part(
    shelf: Shelf,
    history: Ints,
    history_weights: Scores,
    slots: NDArray[np.uint16],
    sums: Floats,
    parts: Floats,
    entries: Ints,
) -> None:
    """For each title with a slot: the sum of what the history gives it, the largest parts of it, and whose they are.

    slots: (m,), 1 + the place in the others, (d,), (d, c) and (d, c).
    """
    starts, columns, weights = shelf.starts, shelf.columns, shelf.weights
    sums[:], parts[:], entries[:] = 0, 0, 0
    last = parts.shape[1] - 1
    for entry in range(len(history)):
        _fetch_ahead(starts, columns, weights, history, entry)
        row, weight = history[entry], np.float64(history_weights[entry])
        for place in range(_place(starts[row]), _place(starts[row + 1])):
            slot = slots[_place(columns[place])]
            if slot > 0:
                part = np.float64(weights[place]) * weight
                if part > 0:
                    sums[slot - 1] += part
                    if part > parts[slot - 1, last]:
                        _keep_largest(parts[slot - 1], entries[slot - 1], part, entry)


@inlined
def _mark(titles: Ints, taken: NDArray[np.bool_]) -> None:
    for title in titles:
        taken[title] = True


@inlined
def _sum_up(shelf: Shelf, history: Ints, history_weights: Scores, sums: Scores) -> None:
    """Write the sum of the history's rows of S to `sums`."""
    starts, columns, weights = shelf.starts, shelf.columns, shelf.weights
    sums[:] = 0
    for entry in range(len(history)):
        _fetch_ahead(starts, columns, weights, history, entry)
        row, weight = history[entry], history_weights[entry]
        for place in range(_place(starts[row]), _place(starts[row + 1])):
            sums[_place(columns[place])] += weight * weights[place]


@inlined
def _fetch_ahead(starts: NDArray[np.int32], columns: Places, weights: Scores, history: Ints, entry: int) -> None:
    """Have the processor fetch a row that comes soon: rows lie anywhere in S, and waiting for them is most of a sum."""
    if entry + _AHEAD < len(history):
        row = history[entry + _AHEAD]
        for place in range(_place(starts[row]), _place(starts[row + 1]), _place(_LINE)):
            fetch(columns, place)
            fetch(weights, place)


@inlined
def _spoken_for(shelf: Shelf, sums: Scores, taken: NDArray[np.bool_], tops: NDArray[np.int32], keys: Ints) -> int:
    """Write the keys of the best untaken titles with sums above zero, at least half as many as there are `tops` or all;
    how many.

    The titles are dealt out to twice as many hands as titles are wanted. What half of the hands have at best bounds the
    sum of the last one wanted, unless some of these titles may not be shown: few have to be looked at one by one.
    """
    bits = sums.view(np.int32)  # in the order of the sums where these are above zero, and below zero where they are not
    most = len(tops) // 2
    tops[:] = 0
    for start in range(_place(0), _place(len(bits)), _place(len(tops))):
        for hand in range(_place(len(tops))):
            tops[hand] = max(tops[hand], bits[start + hand])
    least = _largest(tops, most)
    count = _above(least, shelf, bits, taken, keys)
    return count if count >= most or least == 1 else _above(np.int32(1), shelf, bits, taken, keys)


@inlined
def _largest(numbers: NDArray[np.int32], count: int) -> np.int32:
    """The largest number from 1 on that `count` of them are not below; 1 where there are not as many."""
    low, high = np.int64(1), np.int64(_LARGEST)
    while low < high:
        middle = np.int32((low + high + 1) >> 1)
        at_least = 0
        for number in numbers:
            at_least += number >= middle
        if at_least >= count:
            low = np.int64(middle)
        else:
            high = np.int64(middle) - 1
    return np.int32(low)


@inlined
def _above(least: np.int32, shelf: Shelf, bits: NDArray[np.int32], taken: NDArray[np.bool_], keys: Ints) -> int:
    """Write the keys of the untaken titles with such sums: they sort by sum, falling, then by title; how many."""
    titles, above = shelf.catalogue_place, 0
    for column in range(_place(len(titles))):
        keys[above] = column
        above += bits[column] >= least  # without a branch, which would be guessed wrong too often
    count = 0
    for column in keys[:above]:
        title = titles[column]
        if title >= 0 and not taken[_place(title)]:
            keys[count] = (np.int64(_LARGEST - bits[column]) << 32) + title
            count += 1
    return count


@inlined
def _spoken_against(shelf: Shelf, sums: Scores, taken: NDArray[np.bool_], keys: Ints) -> int:
    """Write the keys of the untaken titles with sums below zero: they sort by sum, falling, then by title; how many."""
    bits = sums.view(np.int32)  # beside the sign, rising where these sums fall
    titles, count = shelf.catalogue_place, 0
    for column in range(_place(len(titles))):
        title = titles[column]
        if sums[column] < 0 and title >= 0 and not taken[_place(title)]:
            keys[count] = (np.int64(bits[column] & _LARGEST) << 32) + title
            count += 1
    return count


@inlined
def _in_order(keys: Ints, spare: Ints, most: int) -> tuple[Ints, Scores]:
    """The first `most` titles and their sums, if these are above zero. spare: room for as many keys."""
    best = _sorted(keys, spare)[:most]
    titles, scores = np.empty(len(best), dtype=np.int64), np.empty(len(best), dtype=np.float32)
    for place in range(len(best)):
        titles[place] = best[place] & 0xFFFF_FFFF
        scores[place] = np.int32(_LARGEST - (best[place] >> 32)).view(np.float32)
    return titles, scores


@inlined
def _sorted(keys: Ints, spare: Ints) -> Ints:
    """The same keys, rising, in one of the two arrays; none is negative. Digit by digit from the lowest, each pass
    keeping the order of the one before (radix sort: Knuth, The Art of Computer Programming 3, 5.2.5)."""
    differing = np.int64(0)
    for key in keys:
        differing |= key ^ keys[0]
    starts = np.empty(1 << _DIGIT, dtype=np.int64)
    for shift in range(0, 64, _DIGIT):
        if differing >> shift & len(starts) - 1 == 0:
            continue
        starts[:] = 0
        for key in keys:
            starts[key >> shift & len(starts) - 1] += 1
        start = 0
        for digit in range(len(starts)):
            starts[digit], start = start, start + starts[digit]
        for key in keys:
            digit = key >> shift & len(starts) - 1
            spare[starts[digit]] = key
            starts[digit] += 1
        keys, spare = spare, keys
    return keys


@inlined
def _append(found: Found, user: int, length: int, titles: Ints, source: int) -> int:
    """Add titles to a user's list; how long it is then."""
    end = length + len(titles)
    found.titles[user, length:end] = titles
    found.sources[user, length:end] = source
    return end


@inlined
def _matches(genres: NDArray[np.uint64], mask: NDArray[np.uint64]) -> int:
    """How many bits both have."""
    count = 0
    for i in range(len(mask)):
        word = genres[i] & mask[i]
        while word:
            word &= word - np.uint64(1)
            count += 1
    return count


@inlined
def _new(shelf: Shelf, mask: NDArray[np.uint64], taken: NDArray[np.bool_], most: int) -> Ints:
    """Untaken titles that the model does not know and that share genres with the mask: most matches first, then the
    newest; they are taken now."""
    found = np.empty(min(most, len(shelf.new)), dtype=np.int64)
    count = 0
    while count < len(found):
        best, chosen = 0, -1
        for i in range(len(shelf.new)):
            if not taken[shelf.new[i]]:
                matches = _matches(shelf.new_genres[i], mask)
                if matches > best:
                    best, chosen = matches, shelf.new[i]
        if chosen < 0:
            break
        found[count] = chosen
        taken[chosen] = True
        count += 1
    return found[:count]


@inlined
def _matching(shelf: Shelf, mask: NDArray[np.uint64], taken: NDArray[np.bool_], most: int) -> Ints:
    """Untaken titles that share genres with the mask: most matches first, then most popular; they are taken now."""
    if most <= 0:
        return np.empty(0, dtype=np.int64)
    matches = np.zeros(len(taken), dtype=np.int64)
    for title in range(len(taken)):
        if not taken[title]:
            matches[title] = _matches(shelf.genres[title], mask)
    found = np.empty(min(most, len(taken)), dtype=np.int64)
    count = 0
    for wanted in range(matches.max() if len(matches) else 0, 0, -1):
        for title in range(len(matches)):
            if count == len(found):
                return found
            if matches[title] == wanted:
                found[count] = title
                taken[title] = True
                count += 1
    return found[:count]


@inlined
def _untaken(taken: NDArray[np.bool_], most: int) -> Ints:
    """The most popular untaken titles (the catalogue is in that order)."""
    found = np.empty(max(0, min(most, len(taken))), dtype=np.int64)
    count = 0
    for title in range(len(taken)):
        if count == len(found):
            break
        if not taken[title]:
            found[count] = title
            count += 1
    return found[:count]


@inlined
def _scale(best: Scores, pool: int, new: int, collaborative: Floats) -> None:
    """Scores of neighbours, best first, scaled over the pool: best 1, last 0; behind it stand `new` other titles. In a
    pool that is topped up, the last have raw 0."""
    if len(best) == 0:
        return
    most = np.float64(best[0])
    least = 0.0 if len(best) < pool else np.float64(best[pool - 1])
    for place in range(len(best)):
        if most == least:  # all alike: none is better, and none is worthless
            scaled = 1.0 if place < pool else 0.0
        else:
            scaled = min(1.0, max(0.0, (np.float64(best[place]) - least) / (most - least)))
        collaborative[place if place < pool else place + new] = scaled


@inlined
def _score(shelf: Shelf, asked: Asked, rule: Rule, found: Found, user: int) -> None:
    """The content score, and the hybrid: with nothing known of the user it is popularity over the most popular's."""
    mask, wanted, length = asked.masks[user], max(1, asked.genres[user]), found.lengths[user]
    titles, content = found.titles[user, :length], found.content[user]
    collaborative, scores = found.collaborative[user], found.scores[user]
    for i in range(length):
        content[i] = _matches(shelf.genres[titles[i]], mask) / wanted
    if not found.has_neighbours[user] and not mask.any():
        most = np.float32(0)
        for title in titles:
            most = max(most, shelf.popularity[title])
        for i in range(length):
            scores[i] = np.float64(shelf.popularity[titles[i]] / most) if most > 0 else 0.0
        return
    own = 0.0 if not mask.any() else rule.content if found.has_neighbours[user] else 1.0
    for i in range(length):
        scores[i] = own * content[i] + (1 - own) * collaborative[i]


@inlined
def _put_in_order(found: Found, user: int, pool: int) -> None:
    """The first `pool` titles by score, equals as they came. Behind them the order is not the hybrid's: a score is held
    down to the one before it."""
    scores = found.scores[user]
    order = np.arange(pool)
    for i in range(1, pool):
        k, moved = i, order[i]
        while k > 0 and scores[order[k - 1]] < scores[moved]:
            order[k] = order[k - 1]
            k -= 1
        order[k] = moved
    _rearrange(found.titles[user], order)
    _rearrange(scores, order)
    _rearrange(found.content[user], order)
    _rearrange(found.collaborative[user], order)
    _rearrange(found.sources[user], order)
    for i in range(1, found.lengths[user]):
        scores[i] = min(scores[i], scores[i - 1])


@inlined
def _rearrange(column: NDArray[Any], order: Ints) -> None:
    column[: len(order)] = column[order]


@inlined
def _keep_largest(parts: Floats, entries: Ints, part: float, entry: int) -> None:
    """Put a part among the largest so far, falling, in the place of the last; of equals the first stays ahead."""
    k = len(parts) - 1
    while k > 0 and part > parts[k - 1]:
        parts[k], entries[k] = parts[k - 1], entries[k - 1]
        k -= 1
    parts[k], entries[k] = part, entry


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The same array, not to be written to, as mapped ones are: for the loops another type, compiled once for all."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
