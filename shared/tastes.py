"""From what the databases say of users to what the scorer needs: genres, positive history, and what was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import numpy as np

from shared.ids import to_uuids
from shared.interactions import InteractionRows, settle
from shared.scorer import Taste
from shared.snapshot import Snapshot

_NONE = np.empty(0, dtype=np.int64)


def tastes(
    user_ids: Sequence[UUID],
    genres: Mapping[UUID, frozenset[str]],
    history: InteractionRows | None,
    snapshot: Snapshot,
    *,
    most: int,
) -> list[Taste]:
    """What is known of each user, in the terms of the snapshot; titles it does not know are passed over.

    history: the users' interactions in any order; None when it could not be read. most: newest positives kept.
    """
    if history is None or not len(history):
        return [Taste(genres.get(user_id, frozenset()), _NONE, _NONE) for user_id in user_ids]
    ids, users = np.unique(history.users, return_inverse=True)
    titles, columns = np.unique(history.titles, return_inverse=True)
    pairs = settle(users, columns, history.kinds, history.times, history.rows)
    in_catalogue = snapshot.catalogue.index.find(titles)[pairs.titles]
    in_model = snapshot.model.titles.find(titles)[pairs.titles] if snapshot.model else np.full_like(in_catalogue, -1)
    usable = pairs.positive & (in_model >= 0)

    starts = np.searchsorted(pairs.users, np.arange(len(ids) + 1))  # pairs are in order of user
    part = {user_id: slice(*starts[i : i + 2]) for i, user_id in enumerate(to_uuids(ids))}
    found = []
    for user_id in user_ids:
        of_user = part.get(user_id, slice(0, 0))
        positives, seen = in_model[of_user][usable[of_user]], in_catalogue[of_user]
        if len(positives) > most:
            times = pairs.times[of_user][usable[of_user]]
            positives = positives[np.argsort(times, kind="stable")[-most:]]
        found.append(Taste(genres.get(user_id, frozenset()), positives, seen[seen >= 0]))
    return found
