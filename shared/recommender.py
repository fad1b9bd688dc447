"""The flow: user ids in, pages of recommendations out. Both doors end here.

    cache? -> preferences and histories -> scorer -> cache -> titles

When something is down, the answer is made without it and marked `degraded`: without user_db from history alone,
without engagement_db from genres and popularity (such lists are never cached), without catalog_db from what was last
seen of the titles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from shared.cache import ListCache
from shared.errors import DatabaseUnavailable
from shared.ids import to_uuids
from shared.interactions import InteractionRows
from shared.media import Page, Recommendation, Title
from shared.ranked_list import STEPS, RankedList
from shared.repositories.engagement import EngagementRepository
from shared.repositories.users import UserRepository
from shared.scorer import Weights, rank
from shared.snapshot import Snapshot
from shared.strengths import Strengths
from shared.tastes import tastes
from shared.titles import Titles


@dataclass(frozen=True)
class Ranking:
    """One user's whole list, and how it came about."""

    ranked: RankedList
    model_version: str | None
    cached: bool
    degraded: bool


class Recommender:
    """Recommends titles to users. Safe to share between threads."""

    def __init__(
        self,
        *,
        users: UserRepository,
        titles: Titles,
        engagement: EngagementRepository,
        cache: ListCache,
        snapshot: Callable[[], Snapshot],
        weights: Weights,
        strengths: Strengths,
        history_length: int,
    ) -> None:
        self._users = users
        self._titles = titles
        self._engagement = engagement
        self._cache = cache
        self._snapshot = snapshot
        self._weights = weights
        self._strengths = strengths
        self._history_length = history_length

    def pages(self, user_ids: Sequence[UUID], *, limit: int, offset: int = 0, fresh: bool = False) -> dict[UUID, Page]:
        """One page per distinct user, in the order given. fresh: pass the cache over, but fill it.

        Raises DatabaseUnavailable when the catalogue can't be read.
        """
        snapshot = self._snapshot()
        user_ids = list(dict.fromkeys(user_ids))
        cached = {} if fresh else self._cache.get_many(user_ids, snapshot)
        missing = [user_id for user_id in user_ids if user_id not in cached]
        ranked, degraded = self._rank(missing, snapshot, bulk=False)
        if not degraded:
            self._cache.put_many(ranked, snapshot)
        rankings = {
            user_id: Ranking(
                ranked=_still_there(cached[user_id], snapshot) if user_id in cached else ranked[user_id],
                model_version=snapshot.model_version,
                cached=user_id in cached,
                degraded=degraded and user_id not in cached,
            )
            for user_id in user_ids
        }
        return self.render(rankings, limit=limit, offset=offset)

    def rank_chunk(self, user_ids: Sequence[UUID]) -> tuple[list[RankedList], str | None]:
        """Lists for a job's chunk, in the order given, and the model's version. The cache is left to single users.

        A job waits rather than be degraded: raises DatabaseUnavailable when anything can't be read.
        """
        snapshot = self._snapshot()
        ranked, _ = self._rank(user_ids, snapshot, bulk=True)
        return [ranked[user_id] for user_id in user_ids], snapshot.model_version

    def render(
        self, rankings: Mapping[UUID, Ranking], *, limit: int, offset: int, bulk: bool = False
    ) -> dict[UUID, Page]:
        """Cut a page from each list and look its titles up, all in one query. Titles deleted since are left out.

        Raises DatabaseUnavailable when catalog_db is down and a title was not seen lately.
        """
        parts = {user_id: ranking.ranked[offset : offset + limit] for user_id, ranking in rankings.items()}
        ids = {user_id: to_uuids(part.titles) for user_id, part in parts.items()}
        titles, last_seen = self._titles.find({i for some in ids.values() for i in some}, bulk=bulk)
        return {
            user_id: Page(
                user_id=user_id,
                recommendations=_recommendations(parts[user_id], ids[user_id], titles),
                limit=limit,
                offset=offset,
                strategy=ranking.ranked.strategy,
                model_version=ranking.model_version,
                cached=ranking.cached,
                degraded=ranking.degraded or last_seen,
            )
            for user_id, ranking in rankings.items()
        }

    def _rank(self, user_ids: Sequence[UUID], snapshot: Snapshot, *, bulk: bool) -> tuple[dict[UUID, RankedList], bool]:
        """Whole lists, and whether they had to be made without a database. bulk: raise DatabaseUnavailable instead."""
        if not user_ids:
            return {}, False
        degraded = False
        genres: Mapping[UUID, frozenset[str]] = {}
        history: InteractionRows | None = None
        try:
            genres = self._users.genres(user_ids, bulk=bulk)
        except DatabaseUnavailable:
            if bulk:
                raise
            degraded = True
        try:
            history = self._engagement.histories(user_ids, bulk=bulk)
        except DatabaseUnavailable:
            if bulk:
                raise
            degraded = True
        known = tastes(user_ids, genres, history, snapshot, strengths=self._strengths, most=self._history_length)
        lists = rank(known, snapshot, self._weights)
        return dict(zip(user_ids, lists, strict=True)), degraded


def _still_there(ranked: RankedList, snapshot: Snapshot) -> RankedList:
    """A cached list without the titles that have left the catalogue since."""
    return ranked[snapshot.catalogue.index.find(ranked.titles) >= 0]


def _recommendations(part: RankedList, ids: list[UUID], titles: Mapping[UUID, Title]) -> tuple[Recommendation, ...]:
    return tuple(
        Recommendation(
            title=titles[media_id],
            score=int(part.scores[place]) / STEPS,
            content_score=int(part.content[place]) / STEPS,
            collaborative_score=int(part.collaborative[place]) / STEPS,
            source=part.source(place),
        )
        for place, media_id in enumerate(ids)
        if media_id in titles
    )
