"""From names of lists to their pages, the same way for every kind of list.

cursor? -> the list it was cut from ─┐
cache? ─> or made, and cached        ─┴─> page, and a cursor where one is wanted

A list that was made goes into the cache while catalog_db looks its titles up: neither waits for the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from shared.cache import ListCache
from shared.errors import CacheUnavailable
from shared.list_name import ListName
from shared.media import Page
from shared.options import START, Part
from shared.pages import Pages, Ranking
from shared.pins import Pinned, Pins, read_cursor, write_cursor
from shared.ranked_list import RankedList
from shared.snapshot import Snapshot

# Lists of these names, and whether they had to be made without something.
Make: TypeAlias = Callable[[Sequence[ListName]], tuple[Mapping[ListName, RankedList], bool]]


class Lists:
    """Finds or makes lists, and cuts pages from them. Safe to share between threads."""

    def __init__(self, cache: ListCache, pins: Pins, pages: Pages) -> None:
        self._cache = cache
        self._pins = pins
        self._pages = pages

    def pages(
        self, names: Sequence[ListName], make: Make, snapshot: Snapshot, *, limit: int, explain: bool
    ) -> dict[ListName, Page]:
        """The first page of each list. Raises DatabaseUnavailable, and what `make` does."""
        rankings, keep = self._rankings(names, make, snapshot, fresh=False)
        with self._pages.asked(rankings, limit=limit, explain=explain) as pages:
            keep()
            return pages()

    def page(
        self, name: ListName, make: Make, snapshot: Snapshot, part: Part, *, explain: bool, fresh: bool = False
    ) -> Page:
        """A part of one list; with a cursor, of the list that the cursor's page was cut from. fresh: pass the cache
        over, but fill it.

        Raises DatabaseUnavailable, what `make` does and, with a cursor, InvalidRequest, CursorExpired and
        CacheUnavailable.
        """
        if part.cursor is not None and part.cursor != START:
            return self._page_by_cursor(name, part.cursor, part.limit, explain=explain)
        rankings, keep = self._rankings([name], make, snapshot, fresh=fresh)
        ranking = rankings[name]
        page, after = self._cut(name, ranking, part.offset, part.limit, explain=explain, meanwhile=keep)
        if part.cursor is None or after is None:
            return page
        try:
            digest = self._pins.put(name, Pinned(ranking.ranked, ranking.model_version, ranking.degraded))
        except CacheUnavailable:
            return replace(page, degraded=True)
        return replace(page, next_cursor=write_cursor(digest, after))

    def _page_by_cursor(self, name: ListName, cursor: str, limit: int, *, explain: bool) -> Page:
        digest, offset = read_cursor(cursor)
        pinned = self._pins.get(name, digest)
        ranking = Ranking(pinned.ranked, pinned.model_version, cached=True, degraded=pinned.degraded)
        page, after = self._cut(name, ranking, offset, limit, explain=explain)
        return page if after is None else replace(page, next_cursor=write_cursor(digest, after))

    def _cut(
        self,
        name: ListName,
        ranking: Ranking,
        offset: int,
        limit: int,
        *,
        explain: bool,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> tuple[Page, int | None]:
        """A page, and where the next one begins, None at the list's end. meanwhile: done while titles are read."""
        with self._pages.asked({name: ranking}, limit=limit, offset=offset, explain=explain) as pages:
            meanwhile()
            page = pages()[name]
        after = offset + limit
        return page, after if after < len(ranking.ranked) else None

    def _rankings(
        self, names: Sequence[ListName], make: Make, snapshot: Snapshot, *, fresh: bool
    ) -> tuple[dict[ListName, Ranking], Callable[[], object]]:
        """The lists, and what puts those that were made into the cache."""
        names = list(dict.fromkeys(names))
        cached = {} if fresh else self._cache.get_many(names, snapshot)
        missing = [name for name in names if name not in cached]
        made, degraded = make(missing) if missing else ({}, False)
        rankings = {
            name: Ranking(
                ranked=_still_there(cached[name], snapshot) if name in cached else made[name],
                model_version=snapshot.model_version,
                cached=name in cached,
                degraded=degraded and name not in cached,
            )
            for name in names
        }
        return rankings, partial(self._cache.put_many, {} if degraded else made, snapshot)


def _still_there(ranked: RankedList, snapshot: Snapshot) -> RankedList:
    """A cached list without the titles that have left the catalogue since."""
    return ranked.part(snapshot.catalogue.index.find(ranked.titles) >= 0)
