"""From what is known of users to their ranked titles. Pure arithmetic: no I/O, no clock, no logging.

Terms: a *candidate* is a title of the catalogue that passes the filters and that the user has not seen. Content =
matching genres / the user's genres. Collaborative = sum over the user's history of its weight (shared/strengths.py)
times the neighbour's (S, see shared/model.py), scaled over the pool so that the best is 1 and the last 0. Hybrid =
w * content + (1 - w) * collaborative; a component with nothing to say gives its weight to the other.

Retrieve, then rank: candidates come in the order of their collaborative score, topped up by matching genres, then by
popularity. The first `pool` of them are ranked by the hybrid, together with a few titles that nobody has liked yet and
whose genres match; the rest follow as they came. Ties: popularity, then id.
What the history speaks against (a negative score: neighbours of a dislike) comes last of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.arranging import Floats, Scored, arrange, candidates, draw
from shared.catalogue import Catalogue, Listed, Popularity
from shared.filters import passing
from shared.ids import IndexArray, id_array
from shared.media import Source, Strategy
from shared.model import NARROW, WIDE
from shared.options import PLAIN, ListOptions
from shared.ranked_list import CAUSES, SOURCE_CODE, STEPS, Causes, RankedList
from shared.retrieval import Asked, Found, Rule, owe, read_only, retrieve
from shared.snapshot import Snapshot
from shared.taste import Taste

_BLOCK = 256  # users whose lists are made at once
_CODES = (SOURCE_CODE[Source.HYBRID], SOURCE_CODE[Source.CONTENT], SOURCE_CODE[Source.POPULAR])
_COLUMNS = 5  # of Found, which are those of Scored


@dataclass(frozen=True)
class Weights:
    """How lists are made."""

    content: float = 0.4
    pool: int = 30
    depth: int = 200
    new: int = 1  # titles that the model does not know, ranked with the pool


def rank(
    tastes: Sequence[Taste],
    snapshot: Snapshot,
    weights: Weights,
    options: ListOptions = PLAIN,
    *,
    explained: int = 0,
) -> list[RankedList]:
    """Each user's titles, best first, at most `weights.depth` of them; with what the first `explained` of them are
    owed to."""
    task, closed = _Task(snapshot, weights, options, explained), ~passing(options.filters, snapshot.catalogue)
    blocks = (tastes[start : start + _BLOCK] for start in range(0, len(tastes), _BLOCK))
    return [ranked for block in blocks for ranked in task.lists(block, closed)]


def rank_popular(
    popularity: NDArray[np.float32], snapshot: Snapshot, weights: Weights, options: ListOptions = PLAIN
) -> RankedList:
    """The most popular titles, without those that nobody likes, at most `weights.depth` of them.

    popularity: (n,), of the catalogue's titles, not negative.
    """
    eligible = passing(options.filters, snapshot.catalogue)
    exploring = draw(snapshot.new[eligible[snapshot.new]], snapshot, options.variety, weights.depth, b"")
    titles = np.flatnonzero(eligible & (popularity > 0))
    titles = titles[np.argsort(-popularity[titles], kind="stable")]
    titles = titles[: candidates(options.variety, weights.depth)]
    most = popularity[np.concatenate([titles, exploring])].max(initial=0) or 1.0
    task = _Task(snapshot, weights, options, explained=0)
    listed = Scored.of(Source.TRENDING, titles, popularity[titles] / most)
    arranged = task.arrange(listed, Scored.of(Source.EXPLORATION, exploring, popularity[exploring] / most), 0)
    nobody = Taste.of_nobody()
    found = Found.of(arranged.columns)
    [ranked] = task.ranked_lists([nobody], [Strategy.POPULAR], task.asked([nobody]), found)
    return ranked


def warm_up() -> None:
    """Have the loops compiled, which they are at their first call: no request should wait for that."""
    nothing = Catalogue.build(Listed.ids_only(id_array(b"")), {}, Popularity.unknown())
    snapshot, nobody = Snapshot.join(nothing, None), [Taste.of_nobody()]
    task = _Task(snapshot, Weights(), PLAIN, 0)
    asked, closed, found = task.asked(nobody), np.empty(0, dtype=np.bool_), Found.empty(1, 0)
    steps, owed_to = np.empty((1, 0), dtype=np.uint16), np.empty((1, 0, CAUSES), dtype=np.uint16)
    for columns in (NARROW, WIDE):
        shelf = snapshot.shelf._replace(columns=read_only(np.empty(0, dtype=columns)))
        retrieve(shelf, closed, asked, task.rule, found)
        owe(shelf, asked, found.titles, steps, (owed_to, owed_to))


@dataclass(frozen=True)
class _Task:
    """What the lists of one call have in common."""

    snapshot: Snapshot
    weights: Weights
    options: ListOptions
    explained: int

    def lists(self, tastes: Sequence[Taste], closed: NDArray[np.bool_]) -> Iterator[RankedList]:
        """closed: (n,), titles that the filters leave out."""
        asked = self.asked(tastes)
        variety = self.options.variety
        found = Found.empty(len(tastes), self._most(candidates(variety, self.weights.depth)))
        retrieve(self.snapshot.shelf, closed, asked, self.rule, found)
        strategies = [
            _strategy(has_content=bool(wants), has_collaborative=bool(known))
            for wants, known in zip(np.any(asked.masks, axis=1), found.has_neighbours, strict=True)
        ]
        if variety != PLAIN.variety:
            found = self._varied(tastes, strategies, asked, found, closed)
        return self.ranked_lists(tastes, strategies, asked, found)

    @property
    def rule(self) -> Rule:
        return Rule(self.weights.content, self.weights.pool, self.weights.new, _CODES)

    def asked(self, tastes: Sequence[Taste]) -> Asked:
        """What is known of the users, end to end."""
        catalogue = self.snapshot.catalogue
        hidden = [taste.disliked if self.options.filters.include_seen else taste.seen for taste in tastes]
        return Asked(
            starts=np.cumsum([0, *(len(taste.history) for taste in tastes)]),
            history=np.concatenate([taste.history for taste in tastes]),
            weights=np.concatenate([taste.weights for taste in tastes]),
            hidden_starts=np.cumsum([0, *map(len, hidden)]),
            hidden=np.concatenate(hidden),
            masks=np.stack([catalogue.mask(taste.genres) for taste in tastes]),
            genres=np.array([len(taste.genres) for taste in tastes]),
        )

    def _varied(
        self,
        tastes: Sequence[Taste],
        strategies: Sequence[Strategy],
        asked: Asked,
        found: Found,
        closed: NDArray[np.bool_],
    ) -> Found:
        """The lists with variety."""
        varied = Found.empty(len(tastes), self._most(self.weights.depth))
        for row, (taste, strategy) in enumerate(zip(tastes, strategies, strict=True)):
            columns: Any = (column[row, : found.lengths[row]] for column in found[:_COLUMNS])
            listed = Scored(*columns)
            hidden = asked.hidden[asked.hidden_starts[row] : asked.hidden_starts[row + 1]]
            titles = self._drawn(taste, hidden, closed)
            content = self.snapshot.catalogue.matches(asked.masks[row], titles) / max(1, len(taste.genres))
            scores = self._score_of_new(strategy, titles, content, listed)
            exploring = Scored.of(Source.EXPLORATION, titles, scores, content)
            arranged = self.arrange(listed, exploring, int(found.last[row]))
            varied.lengths[row] = len(arranged)
            for column, part in zip(varied[:_COLUMNS], arranged.columns, strict=True):
                column[row, : len(arranged)] = part
        return varied

    def _drawn(self, taste: Taste, hidden: IndexArray, closed: NDArray[np.bool_]) -> IndexArray:
        """The new titles that the lot gives."""
        new, variety = self.snapshot.new, self.options.variety
        free = ~closed[new] & ~np.isin(new, hidden) if variety.explore else slice(0)
        return draw(new[free], self.snapshot, variety, self.weights.depth, taste.user)

    def _score_of_new(self, strategy: Strategy, titles: IndexArray, content: Floats, listed: Scored) -> Floats:
        """The score of titles that no history speaks of, beside those listed."""
        if strategy is Strategy.POPULAR:
            popularity = self.snapshot.catalogue.popularity
            most = popularity[np.concatenate([titles, listed.titles])].max(initial=0) or 1.0
            return np.asarray(popularity[titles] / most, dtype=np.float64)
        return {Strategy.HYBRID: self.weights.content, Strategy.CONTENT: 1.0}.get(strategy, 0.0) * content

    def _most(self, depth: int) -> int:
        """How long a list of this depth can be."""
        return min(depth, len(self.snapshot.catalogue))

    def arrange(self, listed: Scored, exploring: Scored, last: int) -> Scored:
        weights = self.weights
        return arrange(listed, exploring, last, self.options.variety, weights.depth, self.snapshot, weights.content)

    def ranked_lists(
        self, tastes: Sequence[Taste], strategies: Sequence[Strategy], asked: Asked, found: Found
    ) -> Iterator[RankedList]:
        """The lists as they are kept, with what their titles are owed to."""
        catalogue, model = self.snapshot.catalogue, self.snapshot.model
        ids = catalogue.index.ids[found.titles]
        scores, content, collaborative = map(_steps, (found.scores, found.content, found.collaborative))
        explained = np.ascontiguousarray(collaborative[:, : self.explained])
        owed_to = np.zeros((2, *found.titles.shape, CAUSES), dtype=np.uint16)
        if explained.any():
            owe(self.snapshot.shelf, asked, found.titles, explained, (owed_to[0], owed_to[1]))
        history = model.titles.ids[asked.history] if model else id_array(b"")
        is_explained, nothing = np.any(explained, axis=1).tolist(), cache(Causes.none)
        for row, (taste, strategy, length) in enumerate(zip(tastes, strategies, found.lengths.tolist(), strict=True)):
            causes = nothing(length)
            if is_explained[row]:
                of_user = slice(asked.starts[row], asked.starts[row + 1])
                places, shares = owed_to[:, row, :length]
                causes = Causes(history[of_user], taste.kinds.astype(np.uint8), places, shares)
            yield RankedList(
                strategy=strategy,
                titles=ids[row, :length],
                scores=scores[row, :length],
                content=content[row, :length],
                collaborative=collaborative[row, :length],
                sources=found.sources[row, :length],
                causes=causes,
                genres=taste.genres & catalogue.genre_bits.keys(),
                exhausted=length < self.weights.depth,
            )


def _strategy(*, has_content: bool, has_collaborative: bool) -> Strategy:
    if has_collaborative:
        return Strategy.HYBRID if has_content else Strategy.COLLABORATIVE
    return Strategy.CONTENT if has_content else Strategy.POPULAR


def _steps(score: Floats) -> NDArray[np.uint16]:
    return np.rint(score * STEPS).astype(np.uint16)
