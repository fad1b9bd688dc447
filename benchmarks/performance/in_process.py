"""The service's inside, without its doors: what a scorer needs, read from the stage's databases."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from scipy import sparse

from benchmarks.stage import Stage
from shared.catalogue import Catalogue
from shared.model import Model
from shared.model_store import ModelStore
from shared.parts import Databases, weights_of
from shared.repositories.catalog import CatalogRepository
from shared.repositories.engagement import EngagementRepository
from shared.repositories.users import UserRepository
from shared.scorer import Weights
from shared.settings import Settings
from shared.snapshot import Snapshot
from shared.strengths import Strengths
from shared.taste import Taste
from shared.tastes import tastes

_AT_ONCE = 500  # users read at once, as by a job


@dataclass(frozen=True)
class Inside:
    """A snapshot, and the way to users' tastes in its terms."""

    settings: Settings
    snapshot: Snapshot
    databases: Databases

    @property
    def weights(self) -> Weights:
        """How lists are made."""
        return weights_of(self.settings)

    @property
    def model(self) -> Model:
        """The snapshot's."""
        assert self.snapshot.model is not None, "the stage has trained a model"
        return self.snapshot.model

    def histories(self, tastes: Sequence[Taste]) -> sparse.csr_matrix:
        """What the scorer sums over: weights, (users, titles of the model), float32."""
        starts = np.cumsum([0, *(len(taste.history) for taste in tastes)])
        weights, titles = (np.concatenate([getattr(one, name) for one in tastes]) for name in ("weights", "history"))
        return sparse.csr_matrix((weights, titles, starts), shape=(len(tastes), len(self.model.titles)))

    def tastes(self, users: Sequence[UUID]) -> list[Taste]:
        """Of each user, in order, as a request reads them. Raises DatabaseUnavailable."""
        preferences, engagement = UserRepository(self.databases.user), EngagementRepository(self.databases.engagement)
        found: list[Taste] = []
        for start in range(0, len(users), _AT_ONCE):
            part = users[start : start + _AT_ONCE]
            found += tastes(
                part,
                preferences.genres(part, bulk=True),
                engagement.histories(part, bulk=True),
                self.snapshot,
                strengths=Strengths.from_settings(self.settings),
                most=self.settings.history_length,
            )
        return found


@contextlib.contextmanager
def inside(stage: Stage) -> Iterator[Inside]:
    """Raises DatabaseUnavailable, StorageUnavailable, ModelRejected."""
    settings = stage.settings()
    with databases(settings) as connected:
        store = ModelStore.at(settings.model_store, cache=settings.model_cache)
        version = store.current_version()
        assert version is not None, "the stage has trained a model"
        model, catalog = store.load(version), CatalogRepository(connected.catalog)
        catalogue = Catalogue.build(catalog.listed(), catalog.titles_by_genre(), model.popular())
        yield Inside(settings, Snapshot.join(catalogue, model), connected)


@contextlib.contextmanager
def databases(settings: Settings) -> Iterator[Databases]:
    """Connected, and closed in the end."""
    connected = Databases.connect(settings, processes=1)
    try:
        yield connected
    finally:
        for database in connected.all():
            database.close()
