"""The service's own scorer on a split: what it would have shown, against what users then liked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from scipy import sparse

from shared.catalogue import Catalogue, Listed, Popularity
from shared.errors import NothingToEvaluate
from shared.ids import IdArray, Places, to_uuids
from shared.media import Kind
from shared.model import Model
from shared.options import PLAIN, ListOptions
from shared.ranked_list import RankedList
from shared.scorer import Weights, rank
from shared.snapshot import Snapshot
from shared.strengths import Strengths
from shared.tastes import tastes
from worker.training.interactions import Interactions
from worker.training.metrics import Lists, Truth
from worker.training.split import Split

_CHUNK = 500  # users ranked between two reports of progress; bounds memory, too

Preferences = Callable[[Sequence[UUID]], Mapping[UUID, frozenset[str]]]  # users -> genre keys of those who have any
Progress = Callable[[int, int], None]  # users ranked so far, of so many


@dataclass(frozen=True)
class Platform:
    """What the service knows besides interactions, and how it is set."""

    titles: Listed  # that may be recommended
    genres: Mapping[str, IdArray]  # name -> its titles
    preferences: Preferences | None  # None where nothing is known of any user
    strengths: Strengths
    history_length: int
    popularity_half_life_days: float
    now: int  # microseconds since 2000-01-01


class Evaluator:
    """Makes lists for the users of a split who liked something that was held out."""

    def __init__(self, split: Split, platform: Platform, *, most_users: int | None, seed: int) -> None:
        """most_users: how many of them, drawn at random; None for all. Raises NothingToEvaluate."""
        self._platform = platform
        fit = split.fit
        popularity = fit.popularity(half_life_days=platform.popularity_half_life_days, now=platform.now)
        self._catalogue = Catalogue.build(platform.titles, platform.genres, Popularity(fit.title_ids, popularity))
        self._place = self._catalogue.index.find(fit.title_ids)  # of the interactions' titles in the catalogue, or -1

        relevant = split.relevant
        relevant = relevant.part(self._place[relevant.titles] >= 0)  # what has left the catalogue cannot be shown
        users = np.unique(relevant.users)
        if not len(users):
            raise NothingToEvaluate("nobody has enough interactions for some of them to be held out and guessed")
        if most_users is not None and len(users) > most_users:
            users = np.sort(np.random.default_rng(seed).choice(users, most_users, replace=False))
        self.users: Places = users
        self._known = split.history.part(np.isin(split.history.users, users))
        self.truth = self._truth(split, relevant)

    @property
    def catalogue(self) -> Catalogue:
        """Titles in order of popularity in what is learnt from; lists speak of their places in it."""
        return self._catalogue

    def lists(
        self,
        model: Model | None,
        weights: Weights,
        *,
        content: bool,
        options: ListOptions = PLAIN,
        progress: Progress = lambda _done, _all: None,
    ) -> Lists:
        """What the service would show with this model, (users, depth). content: whether preferences are known; options:
        what is asked for."""
        snapshot = Snapshot.join(self._catalogue, model)
        lists = np.full((len(self.users), weights.depth), -1, dtype=np.int64)
        for start in range(0, len(self.users), _CHUNK):
            users = self.users[start : start + _CHUNK]
            for row, ranked in enumerate(self._rank(users, snapshot, weights, options, content=content), start):
                lists[row, : len(ranked)] = self._catalogue.index.find(ranked.titles)
            progress(min(start + _CHUNK, len(self.users)), len(self.users))
        return lists

    def _rank(
        self, users: Places, snapshot: Snapshot, weights: Weights, options: ListOptions, *, content: bool
    ) -> list[RankedList]:
        kept = (self._known.users >= users[0]) & (self._known.users <= users[-1])
        found = self._known.part(kept).found()
        ids = to_uuids(self._known.user_ids[users])
        known = tastes(
            ids,
            self._platform.preferences(ids) if content and self._platform.preferences else {},
            found,
            snapshot,
            strengths=self._platform.strengths,
            most=self._platform.history_length,
        )
        return rank(known, snapshot, weights, options)

    def _truth(self, split: Split, relevant: Interactions) -> Truth:
        liked = self._of_all(split.fit.part(split.fit.positive))
        popularity = np.bincount(liked.indices, minlength=liked.shape[1]).astype(np.float64)
        liked = self._of_tested(self._known.part(self._known.positive))
        with np.errstate(invalid="ignore", divide="ignore"):
            history_popularity = (liked @ popularity) / np.diff(liked.indptr)
        disliked = split.held.part(split.held.kinds == Kind.DISLIKE)
        return Truth(
            relevant=self._of_tested(relevant),
            disliked=self._of_tested(disliked),
            genres=self._catalogue.genres,
            popularity=popularity,
            users=len(np.unique(split.fit.users)),
            history_popularity=history_popularity,
        )

    def _of_tested(self, pairs: Interactions) -> sparse.csr_array:
        """The tested users' pairs, (users, titles of the catalogue), ones."""
        part: sparse.csr_array = self._of_all(pairs)[self.users]
        return part

    def _of_all(self, pairs: Interactions) -> sparse.csr_array:
        kept = self._place[pairs.titles] >= 0
        users, titles = pairs.users[kept], self._place[pairs.titles[kept]]
        shape = (len(pairs.user_ids), len(self._catalogue))
        return sparse.csr_array((np.ones(len(users)), (users, titles)), shape=shape)
