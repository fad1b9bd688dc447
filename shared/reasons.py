"""Why a title is in a list, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from shared.ids import to_uuids
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
    places = sorted({place - 1 for place in ranked.causes.places.ravel().tolist() if place})
    return set(to_uuids(ranked.causes.history[places]))


def reasons(name: ListName, ranked: RankedList, titles: Mapping[UUID, Title]) -> list[Reason]:
    """A reason for each title of a list. titles: those listed and those mentioned; of one that is missing nothing is
    said, and its share is the rest's."""
    history = to_uuids(ranked.causes.history)
    found = []
    for place, media_id in enumerate(to_uuids(ranked.titles)):
        named = zip(ranked.causes.places[place].tolist(), ranked.causes.shares[place].tolist(), strict=True)
        causes = [
            (history[cause - 1], Kind(ranked.causes.kinds[cause - 1]), share)
            for cause, share in named
            if cause and history[cause - 1] in titles
        ]
        genres = titles[media_id].genres if media_id in titles else ()
        matching = tuple(genre for genre in genres if name_key(genre) in ranked.genres)
        rest = int(ranked.collaborative[place]) - sum(share for _, _, share in causes)
        shown = tuple(Cause(cause, titles[cause].title, kind, share / STEPS) for cause, kind, share in causes)
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
