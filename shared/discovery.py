"""Lists that are no user's own: what is like a title, what is popular, and what somebody unknown may like.

cache? -> what the caller or the catalogue says -> scorer -> cache -> titles
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from shared.errors import DatabaseUnavailable, TitleNotFound
from shared.ids import pack_ids
from shared.list_name import ListName
from shared.lists import Lists, Make
from shared.media import Page
from shared.options import ListOptions, Part
from shared.ranked_list import RankedList
from shared.scorer import Weights, rank, rank_popular
from shared.snapshot import Snapshot
from shared.strengths import Strengths
from shared.taste import Taste
from shared.tastes import taste_for_title, taste_of_profile
from shared.trends import Trends

_YEAR = 365  # days; a count over all time would be a query over the whole table


@dataclass(frozen=True)
class Profile:
    """What somebody says of themselves."""

    genres: frozenset[str]  # keys
    liked: Sequence[UUID]
    disliked: Sequence[UUID]


class Discovery:
    """Makes such lists. Safe to share between threads."""

    def __init__(
        self,
        *,
        lists: Lists,
        trends: Trends,
        snapshot: Callable[[], Snapshot],
        weights: Weights,
        strengths: Strengths,
    ) -> None:
        self._lists = lists
        self._trends = trends
        self._snapshot = snapshot
        self._weights = weights
        self._strengths = strengths

    def similar(self, media_id: UUID, part: Part, options: ListOptions, *, explain: bool, fresh: bool = False) -> Page:
        """Titles like this one: the list of somebody who likes nothing but it and its genres.

        Raises TitleNotFound and, as every list here, DatabaseUnavailable when the catalogue can't be read and, with a
        cursor, InvalidRequest, CursorExpired, CacheUnavailable.
        """
        snapshot = self._snapshot()
        [title] = snapshot.catalogue.index.find(pack_ids([media_id]))
        if title < 0:
            raise TitleNotFound(f"there is no title {media_id}, or it is too new to be known here")
        make = self._make(taste_for_title(int(title), snapshot), snapshot, options)
        name = ListName.like(media_id, options)
        return self._lists.page(name, make, snapshot, part, explain=explain, fresh=fresh)

    def preview(
        self, profile: Profile, part: Part, options: ListOptions, *, explain: bool, fresh: bool = False
    ) -> Page:
        """What somebody with this profile would get. Raises as `similar`, but for TitleNotFound."""
        snapshot = self._snapshot()
        taste = taste_of_profile(profile.genres, profile.liked, profile.disliked, snapshot, strengths=self._strengths)
        name = ListName.of_profile(profile.genres, profile.liked, profile.disliked, options)
        make = self._make(taste, snapshot, options)
        return self._lists.page(name, make, snapshot, part, explain=explain, fresh=fresh)

    def popular(
        self,
        window_days: int | None,
        half_life_days: int | None,
        part: Part,
        options: ListOptions,
        *,
        explain: bool,
        fresh: bool = False,
    ) -> Page:
        """What is liked most: within so many days, by default a year, an interaction counting half after so many; with
        neither as the catalogue has it. Where engagement_db can't be read, that is what there is, marked `degraded`.

        Raises as `preview`.
        """
        snapshot = self._snapshot()
        name = ListName.popular(window_days, half_life_days, options)
        always = self._make(Taste.of_nobody(), snapshot, options)

        def trending(_missing: Sequence[ListName]) -> tuple[dict[ListName, RankedList], bool]:
            try:
                found = self._trends.get(window_days or _YEAR, half_life_days)
            except DatabaseUnavailable:
                return dict(always([name])[0]), True
            popularity = np.zeros(len(snapshot.catalogue), dtype=np.float32)
            places = snapshot.catalogue.index.find(found.titles)
            popularity[places[places >= 0]] = found.weights[places >= 0]
            return {name: rank_popular(popularity, snapshot, self._weights, options)}, False

        make = always if window_days is None and half_life_days is None else trending
        return self._lists.page(name, make, snapshot, part, explain=explain, fresh=fresh)

    def _make(self, taste: Taste, snapshot: Snapshot, options: ListOptions) -> Make:
        def make(names: Sequence[ListName]) -> tuple[dict[ListName, RankedList], bool]:
            [ranked] = rank([taste], snapshot, self._weights, options, explained=self._weights.depth)
            return dict.fromkeys(names, ranked), False

        return make
