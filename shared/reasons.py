"""Why a title is in a list, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import numpy as np

from shared.ids import to_known_uuids
from shared.list_name import ListKind, ListName
from shared.media import Cause, Kind, Reason, Source, Title, name_key
from shared.ranked_list import STEPS, RankedList

# Where there is nothing particular to say.
_OF_SOURCE = {
    Source.HYBRID: "Liked by people who share your taste",
    Source.CONTENT: "Like what you like",
    Source.POPULAR: "Liked by many",
    Source.EXPLORATION: "New in the catalogue",
    Source.TRENDING: "Liked by many lately",
}


def mentioned(ranked: RankedList) -> set[UUID]:
    """The titles of the history that these titles are owed to."""
    return set(_mentioned(ranked)[1])


def _mentioned(ranked: RankedList) -> tuple[list[int], list[UUID]]:
    """The places of these in the history, from 1 on, and their ids."""
    places = sorted(set(ranked.causes.places.ravel().tolist()) - {0})
    return places, to_known_uuids(ranked.causes.history[np.array(places, dtype=np.int64) - 1])


def reasons(name: ListName, ranked: RankedList, titles: Mapping[UUID, Title]) -> list[Reason]:
    """A reason for each title of a list. titles: those listed and those mentioned; of one that is missing nothing is
    said, and its share is the rest's."""
    known = {
        place: (titles[media_id], Kind(ranked.causes.kinds[place - 1]))
        for place, media_id in zip(*_mentioned(ranked), strict=True)
        if media_id in titles
    }
    found = []
    places, shares = ranked.causes.places.tolist(), ranked.causes.shares.tolist()
    for place, media_id in enumerate(to_known_uuids(ranked.titles)):
        named = zip(places[place], shares[place], strict=True)
        causes = [(*known[cause], share) for cause, share in named if cause in known]
        genres = titles[media_id].genres if media_id in titles else ()
        matching = tuple(genre for genre in genres if name_key(genre) in ranked.genres)
        rest = int(ranked.collaborative[place]) - sum(share for _, _, share in causes)
        shown = tuple(Cause(title.media_id, title.title, kind, share / STEPS) for title, kind, share in causes)
        text = _text(name, ranked.source(place), shown, matching)
        found.append(Reason(text, matching, shown, rest / STEPS))
    return found


def _text(name: ListName, source: Source, causes: Sequence[Cause], genres: Sequence[str]) -> str:
    named = [(cause.kind, _called(cause.title)) for cause in causes if cause.title]
    if named and name.kind is ListKind.SIMILAR:
        return f"Liked by people who like {named[0][1]}"
    if named:
        liked = [title for kind, title in named if kind is Kind.LIKE]
        watched = [title for kind, title in named if kind is Kind.WATCH]
        parts = (f"{verb} {_listed(titles)}" for verb, titles in (("liked", liked), ("watched", watched)) if titles)
        return f"Because you {' and '.join(parts)}"
    if genres and source is not Source.EXPLORATION:
        return f"Also {_listed(genres)}" if name.kind is ListKind.SIMILAR else f"Because you like {_listed(genres)}"
    return _OF_SOURCE[source]


def _called(title: str) -> str:
    """A title within a sentence: its own commas must not be taken for ours."""
    return f"\u201c{title}\u201d" if "," in title else title


def _listed(words: Sequence[str]) -> str:
    """As people enumerate: A, B and C."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
