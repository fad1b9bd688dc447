"""From what the databases say of users to what the scorer needs: genres, weighed history, and what was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import numpy as np

from shared.ids import to_uuids
from shared.interactions import InteractionRows, settle
from shared.scorer import Taste
from shared.snapshot import Snapshot
from shared.strengths import Strengths, TimeLine

_NONE = np.empty(0, dtype=np.int64)
_WEIGHTLESS = np.empty(0, dtype=np.float32)


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

    history: the users' interactions in any order; None when it could not be read. most: newest opinions kept.
    """
    if history is None or not len(history):
        return [Taste(genres.get(user_id, frozenset()), _NONE, _WEIGHTLESS, _NONE) for user_id in user_ids]
    ids, users = np.unique(history.users, return_inverse=True)
    titles, columns = np.unique(history.titles, return_inverse=True)
    pairs = settle(users, columns, history)
    in_catalogue = snapshot.catalogue.index.find(titles)[pairs.titles]
    in_model = snapshot.model.titles.find(titles)[pairs.titles] if snapshot.model else np.full_like(in_catalogue, -1)
    strength = strengths.of(pairs.kinds, pairs.values)

    scored = np.flatnonzero((in_model >= 0) & (strength != 0))
    line = TimeLine.of(pairs.users[scored], pairs.times[scored], pairs.rows[scored])
    days = line.days(pairs.times[scored])
    newest = line.ranks < most
    recency = snapshot.model.recency if snapshot.model else 0.0
    scored = scored[line.order[newest]]
    weights = strengths.faded(strength[scored], line.ranks[newest], days[newest], recency=recency)
    by_title = np.lexsort((in_model[scored], pairs.users[scored]))
    scored, weights = scored[by_title], weights[by_title]

    everyone = np.arange(len(ids) + 1)
    seen = np.searchsorted(pairs.users, everyone)  # pairs are in order of user
    liked = np.searchsorted(pairs.users[scored], everyone)
    place = {user_id: i for i, user_id in enumerate(to_uuids(ids))}
    found = []
    for user_id in user_ids:
        i = place.get(user_id)
        if i is None:
            found.append(Taste(genres.get(user_id, frozenset()), _NONE, _WEIGHTLESS, _NONE))
            continue
        of_user, of_history = in_catalogue[seen[i] : seen[i + 1]], slice(liked[i], liked[i + 1])
        found.append(
            Taste(
                genres.get(user_id, frozenset()),
                in_model[scored[of_history]],
                weights[of_history],
                of_user[of_user >= 0],
            )
        )
    return found
