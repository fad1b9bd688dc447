"""Favourite genres, told from a history: for evaluation where nobody stated any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import numpy as np

from shared.ids import IdArray, IdIndex, pack_ids
from shared.media import name_key
from worker.training.evaluator import Preferences
from worker.training.interactions import Interactions

FAVOURITES = 3  # genres of a user


def favourites(history: Interactions, genres: Mapping[str, IdArray]) -> Preferences:
    """Each user's most frequent genres among the titles they like or watch, ties by name. Looks at nothing else."""
    names = sorted({key for name in genres if (key := name_key(name))})
    titles = IdIndex(history.title_ids)
    has = np.zeros((len(history.title_ids), len(names)), dtype=np.float32)
    for name, ids in genres.items():
        if key := name_key(name):
            places = titles.find(ids)
            has[places[places >= 0], names.index(key)] = 1
    liked = history.part(history.positive)
    starts = np.searchsorted(liked.users, np.arange(len(history.user_ids) + 1))
    users = IdIndex(history.user_ids)

    def of(user_ids: Sequence[UUID]) -> dict[UUID, frozenset[str]]:
        found = {}
        for user_id, place in zip(user_ids, users.find(pack_ids(user_ids)).tolist(), strict=True):
            counts = has[liked.titles[starts[place] : starts[place + 1]]].sum(axis=0) if place >= 0 else np.zeros(0)
            best = np.argsort(-counts, kind="stable")[:FAVOURITES]
            if chosen := frozenset(names[i] for i in best if counts[i]):
                found[user_id] = chosen
        return found

    return of
