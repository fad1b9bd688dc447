"""The flow for users: ids in, pages of recommendations out. Both doors end here.

    cache? -> preferences and histories, both at once -> scorer -> cache and titles

When something is down, the answer is made without it and marked `degraded`: without user_db from history alone,
without engagement_db from genres and popularity (such lists are never cached), without catalog_db from what was last
seen of the titles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from shared.errors import DatabaseUnavailable
from shared.interactions import InteractionRows
from shared.list_name import ListName
from shared.lists import Lists, Make
from shared.media import Page
from shared.options import PLAIN, ListOptions, Part
from shared.ranked_list import RankedList
from shared.repositories.engagement import EngagementRepository
from shared.repositories.users import UserRepository
from shared.scorer import Weights, rank
from shared.snapshot import Snapshot
from shared.strengths import Strengths
from shared.tastes import tastes


class Recommender:
    """Recommends titles to users. Safe to share between threads."""

    def __init__(
        self,
        *,
        users: UserRepository,
        engagement: EngagementRepository,
        lists: Lists,
        snapshot: Callable[[], Snapshot],
        weights: Weights,
        strengths: Strengths,
        history_length: int,
    ) -> None:
        self._users = users
        self._engagement = engagement
        self._lists = lists
        self._snapshot = snapshot
        self._weights = weights
        self._strengths = strengths
        self._history_length = history_length

    def page(
        self, user_id: UUID, part: Part, options: ListOptions = PLAIN, *, explain: bool = True, fresh: bool = False
    ) -> Page:
        """A part of one user's list. fresh: pass the cache over, but fill it.

        Raises DatabaseUnavailable when the catalogue can't be read and, with a cursor, InvalidRequest, CursorExpired,
        CacheUnavailable.
        """
        snapshot, name = self._snapshot(), ListName.of_user(user_id, options)
        make = self._make({name: user_id}, snapshot, options)
        return self._lists.page(name, make, snapshot, part, explain=explain, fresh=fresh)

    def pages(
        self, user_ids: Sequence[UUID], *, limit: int, options: ListOptions = PLAIN, explain: bool = True
    ) -> dict[UUID, Page]:
        """The first page per distinct user, in the order given. Raises DatabaseUnavailable when the catalogue can't be
        read."""
        snapshot = self._snapshot()
        names = {ListName.of_user(user_id, options): user_id for user_id in user_ids}
        make = self._make(names, snapshot, options)
        pages = self._lists.pages(list(names), make, snapshot, limit=limit, explain=explain)
        return {user_id: pages[name] for name, user_id in names.items()}

    def rank_chunk(
        self, user_ids: Sequence[UUID], *, limit: int, options: ListOptions = PLAIN, explain: bool = True
    ) -> tuple[list[RankedList], str | None]:
        """Lists for a job's chunk, in the order given, `limit` titles each, and the model's version. The cache is left
        to single users.

        A job waits rather than be degraded: raises DatabaseUnavailable when anything can't be read.
        """
        snapshot = self._snapshot()
        ranked, _ = self._rank(user_ids, snapshot, options, explained=limit if explain else 0, bulk=True)
        return [ranked[user_id].first(limit) for user_id in user_ids], snapshot.model_version

    def _make(self, names: Mapping[ListName, UUID], snapshot: Snapshot, options: ListOptions) -> Make:
        def make(missing: Sequence[ListName]) -> tuple[dict[ListName, RankedList], bool]:
            users = [names[name] for name in missing]
            ranked, degraded = self._rank(users, snapshot, options, explained=self._weights.depth, bulk=False)
            return {name: ranked[names[name]] for name in missing}, degraded

        return make

    def _rank(
        self, user_ids: Sequence[UUID], snapshot: Snapshot, options: ListOptions, *, explained: int, bulk: bool
    ) -> tuple[dict[UUID, RankedList], bool]:
        """Whole lists, and whether they had to be made without a database. bulk: raise DatabaseUnavailable instead."""
        degraded = False
        genres: Mapping[UUID, frozenset[str]] = {}
        history: InteractionRows | None = None
        with self._users.asked_genres(user_ids, bulk=bulk) as genres_of_users:  # both databases are at it at once
            try:
                history = self._engagement.histories(user_ids, bulk=bulk)
            except DatabaseUnavailable:
                if bulk:
                    raise
                degraded = True
            try:
                genres = genres_of_users()
            except DatabaseUnavailable:
                if bulk:
                    raise
                degraded = True
        known = tastes(user_ids, genres, history, snapshot, strengths=self._strengths, most=self._history_length)
        lists = rank(known, snapshot, self._weights, options, explained=explained)
        return dict(zip(user_ids, lists, strict=True)), degraded
