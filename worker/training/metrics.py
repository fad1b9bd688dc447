"""How good ranked lists are: per user, then as means with bootstrap intervals.

For a user with n relevant titles and a list whose i-th title (from 1) is a hit or not:

    recall@k         hits in the first k / n
    capped_recall@k  hits in the first k / min(k, n)
    ndcg@k           sum over hits of 1 / log2(i + 1), over its largest possible value, with min(k, n) hits in front
    mrr@k            1 / i of the first hit, 0 without one
    novelty@k        mean of -log2(share of users who like the title), in bits (Vargas and Castells, 2011)
    popularity_bias@k  mean popularity of the list / mean popularity of the user's history - 1 (Abdollahpouri et al.,
                     2019: popularity lift); 0 means as popular as what the user watches anyway; not for users
                     whose history nobody else likes
    ild@k            intra-list diversity: mean over pairs of titles of 1 - common genres / genres of either (Ziegler et
                     al., 2005, with Jaccard's similarity); of titles with genres
    disliked@k       share of the user's disliked titles that were held out and are in the first k; lower is better
    coverage@k       share of the catalogue that is in anybody's first k; one figure for all users

A title nobody likes counts as liked by half a user in `novelty`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from shared.catalogue import GenreMask
from shared.model import Interval
from shared.variety import genre_similarity

KS = (10, 20, 50, 100)
RESAMPLES = 1000
_BLOCK = 50  # resamples drawn at once, of which
_COVERAGE_PER_BLOCK = 5  # have their coverage counted: 100 in all
_LISTS = 64  # whose pairs are compared at once
_CONFIDENCE = (2.5, 97.5)  # percentiles

Floats = NDArray[np.float64]
Lists = NDArray[np.int64]  # (users, depth), titles, best first; -1 where a list has ended


@dataclass(frozen=True)
class Truth:
    """What lists are held against. n users, t titles of a catalogue."""

    relevant: sparse.csr_array  # (n, t), 1 where the user did like the title; at least one each
    disliked: sparse.csr_array  # (n, t), 1 where the user did dislike it
    genres: GenreMask  # (t, w): one bit per genre
    popularity: Floats  # (t,), users who like each title, in what was learnt from
    users: int  # users learnt from
    history_popularity: Floats  # (n,), mean popularity of each user's history; NaN without one

    def __len__(self) -> int:
        return self.relevant.shape[0]


def per_user(lists: Lists, truth: Truth, ks: Sequence[int] = KS) -> dict[str, Floats]:
    """Every metric but coverage, shape (n,) each; NaN where it does not apply to a user."""
    depth = max(ks)
    hits = _hits(lists[:, :depth], truth.relevant)
    unwanted = _hits(lists[:, :depth], truth.disliked)
    count, dislikes = np.diff(truth.relevant.indptr), np.diff(truth.disliked.indptr)
    discount = 1 / np.log2(np.arange(2, depth + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    there = lists[:, :depth] >= 0
    popularity = np.where(there, truth.popularity[lists[:, :depth]], 0.0)
    surprise = np.where(there, -np.log2(np.maximum(popularity, 0.5) / max(1, truth.users)), 0.0)
    usual = np.where(truth.history_popularity > 0, truth.history_popularity, np.nan)
    first = np.where(hits.any(axis=1), hits.argmax(axis=1), depth)
    unlike, pairs = _unlike(lists[:, :depth], truth.genres)
    found: dict[str, Floats] = {}
    for k in ks:
        hit, length = hits[:, :k].sum(axis=1), there[:, :k].sum(axis=1)
        found[f"recall@{k}"] = hit / count
        found[f"capped_recall@{k}"] = hit / np.minimum(count, k)
        found[f"ndcg@{k}"] = (hits[:, :k] * discount[:k]).sum(axis=1) / ideal[np.minimum(count, k)]
        found[f"mrr@{k}"] = np.where(first < k, 1 / (first + 1), 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):  # NaN: an empty list, no history, no dislikes, no genres
            found[f"disliked@{k}"] = unwanted[:, :k].sum(axis=1) / dislikes
            found[f"ild@{k}"] = unlike[:, k - 1] / pairs[:, k - 1]
            found[f"novelty@{k}"] = surprise[:, :k].sum(axis=1) / length
            found[f"popularity_bias@{k}"] = popularity[:, :k].sum(axis=1) / length / usual - 1
    return found


def interval(values: Floats, *, seed: int) -> Interval:
    """The mean of one metric, shape (n,), with its interval."""
    low, high = np.percentile(_resampled(values[:, None], seed=seed)[0], _CONFIDENCE)
    return _around(values.mean(), low, high)


def ratio(values: Floats, others: Floats, *, seed: int) -> Interval:
    """The mean of one metric over that of another, of the same users, shape (n,) each, with its interval."""
    means, _ = _resampled(np.column_stack([values, others]), seed=seed)
    low, high = np.percentile(means[:, 0] / means[:, 1], _CONFIDENCE)
    return _around(values.mean() / others.mean(), low, high)


def intervals(lists: Lists, truth: Truth, *, seed: int, ks: Sequence[int] = KS) -> dict[str, Interval]:
    """Every metric's mean over users with its 95 % percentile bootstrap interval, users being resampled.

    Coverage is no mean: a resample holds fewer distinct users and so covers less; its interval is the spread of the
    resamples, set around the figure itself.
    """
    found = per_user(lists, truth, ks)
    names = [name for name, value in found.items() if not np.isnan(value).all()]
    values = np.column_stack([found[name] for name in names])
    means, samples = _resampled(values, seed=seed)
    low, high = np.nanpercentile(means, _CONFIDENCE, axis=0)
    mean = np.nanmean(values, axis=0)
    result = {name: _around(mean[i], low[i], high[i]) for i, name in enumerate(names)}
    spread = np.array([[coverage(lists[users], truth, k) for k in ks] for users in samples])
    for i, k in enumerate(ks):
        value = coverage(lists, truth, k)
        low, high = np.percentile(spread[:, i], _CONFIDENCE) - spread[:, i].mean()
        result[f"coverage@{k}"] = _around(value, max(0.0, value + low), min(1.0, value + high))
    return result


def _around(value: float, low: float, high: float) -> Interval:
    """An interval that holds its value, which a rounding in the last digit might leave outside."""
    return Interval(value=float(value), low=float(min(low, value)), high=float(max(high, value)))


def _resampled(values: Floats, *, seed: int) -> tuple[Floats, list[NDArray[np.bool_]]]:
    """Means of resampled users, (RESAMPLES, metrics), and who is in some of the samples, (n,).

    NaN is left out of a mean, and is the mean of a sample that holds nothing else.
    """
    applies = ~np.isnan(values)
    values = np.where(applies, values, 0.0)
    draw = np.random.default_rng(seed)
    users = len(values)
    means: list[Floats] = []
    samples: list[NDArray[np.bool_]] = []
    for _ in range(0, RESAMPLES, _BLOCK):
        times = draw.multinomial(users, np.full(users, 1 / users), size=_BLOCK).astype(np.float64)
        with np.errstate(invalid="ignore"):
            means.append((times @ values) / (times @ applies))
        samples.extend(row > 0 for row in times[:_COVERAGE_PER_BLOCK])
    return np.concatenate(means), samples


def _hits(lists: Lists, titles_of: sparse.csr_array) -> NDArray[np.bool_]:
    """Where a list's title is one of its user's. Shape (n, depth)."""
    titles = titles_of.shape[1]
    wanted = np.repeat(np.arange(titles_of.shape[0]), np.diff(titles_of.indptr)) * titles + titles_of.indices
    pairs = np.arange(len(lists))[:, None] * titles + lists
    return np.isin(pairs, wanted) & (lists >= 0)


def _unlike(lists: Lists, genres: GenreMask) -> tuple[Floats, Floats]:
    """How unlike the titles of each beginning of a list are, summed over its pairs, and how many pairs there are: those
    of titles with genres. Shape (n, depth) both."""
    unlike, pairs = np.zeros(lists.shape), np.zeros(lists.shape)
    if not genres.any():
        return unlike, pairs
    for start in range(0, len(lists), _LISTS):
        block = lists[start : start + _LISTS]
        masks = np.where((block >= 0)[:, :, None], genres[block], 0)
        has_genres = np.bitwise_or.reduce(masks, axis=2) > 0
        counts = np.triu(has_genres[:, :, None] & has_genres[:, None, :], 1)  # each pair once, at its later title
        pairs[start : start + _LISTS] = counts.sum(axis=1).cumsum(axis=1)
        unlike[start : start + _LISTS] = ((1 - genre_similarity(masks)) * counts).sum(axis=1).cumsum(axis=1)
    return unlike, pairs


def coverage(lists: Lists, truth: Truth, k: int) -> float:
    """Share of the catalogue that is in anybody's first k."""
    shown = lists[:, :k]
    return len(np.unique(shown[shown >= 0])) / max(1, truth.relevant.shape[1])
