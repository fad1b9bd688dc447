"""From scored titles to the list that is shown: variety, where it is asked for, and the depth. Pure numpy.

The steps, in this order: the first titles are put in an order of maximal marginal relevance, what is over the most of
its genre is left out, and new titles get the places reserved for them. See shared/variety.py.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.ids import IndexArray
from shared.media import Source
from shared.options import Variety
from shared.ranked_list import SOURCE_CODE
from shared.snapshot import Snapshot
from shared.variety import capped, diversify, drawn, explored, similarity

# With a most per genre, so many are looked through for a list; a bound for catalogues of a million.
_MOST_CANDIDATES = 20_000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """n titles with what is known of each. Scores are in [0, 1]."""

    titles: IndexArray  # (n,), catalogue indices
    scores: Floats  # (n,)
    content: Floats  # (n,)
    collaborative: Floats  # (n,)
    sources: NDArray[np.uint8]  # (n,), codes of shared.ranked_list.SOURCE_CODE

    @classmethod
    def of(cls, source: Source, titles: IndexArray, scores: Floats, content: Floats | None = None) -> Scored:
        """Titles of one source, of which no history speaks. scores, content: (n,); without content it is zero."""
        zeros, codes = np.zeros(len(titles)), np.full(len(titles), SOURCE_CODE[source], dtype=np.uint8)
        return cls(titles, scores, zeros if content is None else content, zeros, codes)

    @property
    def columns(self) -> tuple[NDArray[Any], ...]:
        """Titles, scores, content, collaborative and sources."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def part(self, places: IndexArray | slice) -> Scored:
        """The titles in these places."""
        return Scored(*(column[places] for column in self.columns))

    def __len__(self) -> int:
        return len(self.titles)


def candidates(variety: Variety, depth: int) -> int:
    """How many titles to score for a list of this depth."""
    return depth if variety.max_per_genre is None else max(depth, _MOST_CANDIDATES)


def draw(new: IndexArray, snapshot: Snapshot, variety: Variety, depth: int, user: bytes) -> IndexArray:
    """Which of these new titles, (k,) catalogue indices, the lot gives a list of this depth, in its order."""
    places = int(np.floor(variety.explore * depth + 1e-9))
    if not places:
        return new[:0]
    found: IndexArray = new[drawn(snapshot.catalogue.index.ids[new], places, seed=variety.seed, user=user)]
    if variety.max_per_genre is not None:
        found = found[capped(snapshot.catalogue.genres[found], variety.max_per_genre, places)]
    return found


def arrange(
    listed: Scored, new: Scored, last: int, variety: Variety, depth: int, snapshot: Snapshot, content_weight: float
) -> Scored:
    """At most `depth` titles as they are shown.

    listed: best first; the last `last` of them are there for want of others, and stay behind. new: what `draw` gave.
    """
    masks = snapshot.catalogue.genres
    if variety.diversity:
        first = min(depth, len(listed) - last)
        alike = similarity(listed.titles[:first], snapshot, content_weight)
        order = diversify(listed.scores[:first], alike, variety.diversity)
        listed = listed.part(np.concatenate([order, np.arange(first, len(listed))]))
    if variety.max_per_genre is not None:
        kept = capped(masks[listed.titles], variety.max_per_genre, depth, beside=masks[new.titles])
        listed = listed.part(kept)
    listed = listed.part(slice(depth))
    if not len(new):
        return listed
    both = Scored(*map(np.concatenate, zip(listed.columns, new.columns, strict=True)))
    titles, places = explored(listed.titles, new.titles, variety.explore, depth)
    of_new = {title: len(listed) + place for place, title in enumerate(new.titles.tolist())}
    explored_places = [
        of_new[title] if place < 0 else place for title, place in zip(titles.tolist(), places.tolist(), strict=True)
    ]
    return both.part(np.array(explored_places, dtype=np.int64))
