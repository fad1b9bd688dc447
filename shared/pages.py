"""From whole lists to the pages that are shown: cut, with titles looked up and reasons in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from shared.ids import to_known_uuids
from shared.list_name import ListName
from shared.media import Page, Reason, Recommendation, Title
from shared.ranked_list import STEPS, RankedList
from shared.reasons import mentioned, reasons
from shared.titles import Titles


@dataclass(frozen=True)
class Ranking:
    """One whole list, and how it came about."""

    ranked: RankedList
    model_version: str | None
    cached: bool
    degraded: bool


class Pages:
    """Renders pages. Safe to share between threads."""

    def __init__(self, titles: Titles) -> None:
        self._titles = titles

    @contextmanager
    def asked(
        self,
        rankings: Mapping[ListName, Ranking],
        *,
        limit: int,
        offset: int = 0,
        explain: bool,
        bulk: bool = False,
    ) -> Iterator[Callable[[], dict[ListName, Page]]]:
        """Cut a page from each list and look its titles up, all in one query, while the block does something else.
        Titles deleted since are left out.

        What the block gets waits for the titles, and raises DatabaseUnavailable when catalog_db is down and a title of
        a page was not seen lately.
        """
        parts = {name: ranking.ranked.part(slice(offset, offset + limit)) for name, ranking in rankings.items()}
        ids = {i for part in parts.values() for i in to_known_uuids(part.titles)}
        spoken_of = {i for part in parts.values() for i in mentioned(part)} if explain else set()
        with self._titles.asked(ids, besides=spoken_of, bulk=bulk) as read:

            def pages() -> dict[ListName, Page]:
                titles, last_seen = read()
                return {
                    name: Page(
                        recommendations=_recommendations(name, parts[name], titles, explain=explain),
                        limit=limit,
                        offset=offset,
                        next_cursor=None,
                        exhausted=ranking.ranked.exhausted and offset + limit >= len(ranking.ranked),
                        strategy=ranking.ranked.strategy,
                        model_version=ranking.model_version,
                        cached=ranking.cached,
                        degraded=ranking.degraded or last_seen,
                    )
                    for name, ranking in rankings.items()
                }

            yield pages


def _recommendations(
    name: ListName, part: RankedList, titles: Mapping[UUID, Title], *, explain: bool
) -> tuple[Recommendation, ...]:
    why: list[Reason] | list[None] = reasons(name, part, titles) if explain else [None] * len(part)
    return tuple(
        Recommendation(
            title=titles[media_id],
            score=int(part.scores[place]) / STEPS,
            content_score=int(part.content[place]) / STEPS,
            collaborative_score=int(part.collaborative[place]) / STEPS,
            source=part.source(place),
            reason=why[place],
        )
        for place, media_id in enumerate(to_known_uuids(part.titles))
        if media_id in titles
    )
