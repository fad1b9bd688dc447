"""From what the databases or a caller say to what the scorer needs: genres, weighed history, and what was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import numpy as np

from shared.ids import IdIndex, pack_ids
from shared.interactions import InteractionRows, settle
from shared.media import Kind
from shared.snapshot import Snapshot
from shared.strengths import Strengths, TimeLine
from shared.taste import Taste


def tastes(
    user_ids: Sequence[UUID],
    genres: Mapping[UUID, frozenset[str]],
    history: InteractionRows | None,
    snapshot: Snapshot,
    *,
    strengths: Strengths,
    most: int,
) -> list[Taste]:
    """What is known of each user, in the terms of the snapshot; titles it does not know are passed over.

    history: interactions of these users in any order; None when it could not be read. most: newest opinions kept.
    """
    if history is None or not len(history):
        return [Taste.of_nobody(genres.get(user_id, frozenset()), user_id.bytes) for user_id in user_ids]
    place = {user_id: i for i, user_id in enumerate(dict.fromkeys(user_ids))}
    users = IdIndex(pack_ids(place)).find(history.users)
    titles, columns = np.unique(history.titles, return_inverse=True)
    pairs = settle(users, columns, history)
    in_catalogue, in_model = (places[pairs.titles] for places in snapshot.places(titles))
    strength = strengths.of(pairs.kinds, pairs.values)

    scored = np.flatnonzero((in_model >= 0) & (strength != 0))
    line = TimeLine.of(pairs.users[scored], pairs.times[scored], pairs.rows[scored])
    days = line.days(pairs.times[scored]) if strengths.half_life_days else np.zeros(len(scored))
    newest = line.ranks < most
    recency = snapshot.model.recency if snapshot.model else 0.0
    scored = scored[line.order[newest]]
    weights = strengths.faded(strength[scored], line.ranks[newest], days[newest], recency=recency)
    by_title = np.lexsort((in_model[scored], pairs.users[scored]))
    scored, weights = scored[by_title], weights[by_title]

    everyone = np.arange(len(place) + 1)
    seen = np.searchsorted(pairs.users, everyone)  # pairs are in order of user
    liked = np.searchsorted(pairs.users[scored], everyone)
    found = []
    for user_id in user_ids:
        i = place[user_id]
        of_user, of_history = slice(seen[i], seen[i + 1]), slice(liked[i], liked[i + 1])
        shown = in_catalogue[of_user]
        found.append(
            Taste(
                genres=genres.get(user_id, frozenset()),
                history=in_model[scored[of_history]],
                weights=weights[of_history],
                kinds=pairs.kinds[scored[of_history]],
                seen=shown[shown >= 0],
                disliked=shown[(shown >= 0) & (pairs.kinds[of_user] == Kind.DISLIKE)],
                user=user_id.bytes,
            )
        )
    return found


def taste_of_profile(
    genres: frozenset[str],
    liked: Sequence[UUID],
    disliked: Sequence[UUID],
    snapshot: Snapshot,
    *,
    strengths: Strengths,
) -> Taste:
    """What somebody says of themselves, all of it now; a title that is in both lists is disliked."""
    kinds = dict.fromkeys(liked, Kind.LIKE) | dict.fromkeys(disliked, Kind.DISLIKE)
    titles = pack_ids(kinds)
    kind = np.array(list(kinds.values()), dtype=np.int8)
    strength = strengths.of(kind, np.full(len(kind), np.nan, dtype=np.float32))
    in_catalogue, in_model = snapshot.places(titles)
    scored = np.flatnonzero((in_model >= 0) & (strength != 0))
    scored = scored[np.argsort(in_model[scored])]
    return Taste(
        genres=genres,
        history=in_model[scored],
        weights=strength[scored],
        kinds=kind[scored],
        seen=in_catalogue[in_catalogue >= 0],
        disliked=in_catalogue[(in_catalogue >= 0) & (kind == Kind.DISLIKE)],
    )


def taste_for_title(title: int, snapshot: Snapshot) -> Taste:
    """Of somebody who likes one title, by its catalogue index, and its genres: what they like is like it."""
    place = snapshot.model_place[[title]]
    known = place >= 0
    return Taste(
        genres=snapshot.catalogue.genres_of(title),
        history=place[known],
        weights=np.ones(int(known.sum()), dtype=np.float32),
        kinds=np.full(int(known.sum()), Kind.LIKE, dtype=np.int8),
        seen=np.array([title], dtype=np.int64),
        disliked=np.empty(0, dtype=np.int64),
    )
