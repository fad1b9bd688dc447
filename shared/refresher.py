"""Keeps a process's snapshot fresh in the background: titles from catalog_db, the model from its folder.

A request takes the snapshot there is and keeps it to its end; a new one replaces it whole, so no request ever waits
for a refresh or sees half of one.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from shared.availability import Availability
from shared.catalogue import Catalogue, Popularity
from shared.errors import DatabaseUnavailable, ModelRejected
from shared.ids import IdArray
from shared.model import Model, ModelStore
from shared.repositories.catalog import CatalogRepository
from shared.repositories.engagement import EngagementRepository
from shared.snapshot import Snapshot

_POPULARITY_SECONDS = 600.0  # without a model, popularity is a query over the whole table: not with every refresh

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Intervals:
    """How often to look, in seconds."""

    catalogue: float
    model: float
    after_failure: float


class Refresher:
    """Makes snapshots; `current` gives the latest."""

    def __init__(
        self,
        *,
        catalog: CatalogRepository,
        engagement: EngagementRepository,
        models: ModelStore,
        intervals: Intervals,
        popularity_half_life_days: float,
    ) -> None:
        self._catalog = catalog
        self._engagement = engagement
        self._models = models
        self._intervals = intervals
        self._half_life = popularity_half_life_days
        self._snapshot: Snapshot | None = None
        self._titles: tuple[IdArray, Mapping[str, IdArray]] | None = None  # as last read
        self._popularity = Popularity.unknown()  # as last read, for while there is no model
        self._popularity_due = self._catalogue_due = 0.0
        self._refused: str | None = None
        self._refreshing = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._reading = Availability("the reading of titles", 0)

    def current(self) -> Snapshot:
        """The latest snapshot. Raises DatabaseUnavailable while titles could not be read even once."""
        if self._snapshot is None:
            raise DatabaseUnavailable("catalog_db", "titles have not been read yet")
        return self._snapshot

    def start(self) -> None:
        """Make the first snapshot now, as far as it goes, and the next ones in a thread."""
        self.refresh()
        self._thread = threading.Thread(target=self._run, name="refresher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def refresh(self, *, catalogue_now: bool = False) -> None:
        """One round: read what is due and replace the snapshot if anything changed. Never raises for what is down."""
        with self._refreshing:
            now = time.monotonic()
            model = self._latest_model()
            changed = self._snapshot is None or model is not self._snapshot.model
            if catalogue_now or now >= self._catalogue_due:
                changed |= self._read_catalogue()
            if model is None and (catalogue_now or now >= self._popularity_due):
                changed |= self._read_popularity()
            if changed and self._titles is not None:
                popularity = model.popular() if model else self._popularity
                self._snapshot = Snapshot.join(Catalogue.build(*self._titles, popularity), model)

    def _run(self) -> None:
        jitter = random.Random()  # noqa: S311 - spreads the load of many processes; a secret it is not
        while not self._stopped.wait(self._intervals.model * jitter.uniform(0.9, 1.1)):
            try:
                self.refresh()
            except Exception:  # a defect here must not end refreshing for good; the next round tries again
                _log.exception("a refresh failed")

    def _latest_model(self) -> Model | None:
        """The current version, or the one in use when there is none newer or the newer one is refused."""
        in_use = self._snapshot.model if self._snapshot else None
        version: str | None = None
        try:
            version = self._models.current_version()
            if version is None or (in_use and version == in_use.version) or version == self._refused:
                return in_use
            model = self._models.load(version)
        except (ModelRejected, OSError) as error:
            if version is None or version != self._refused:
                _log.error("the new model is not used: %s", error)
            self._refused = version
            return in_use
        _log.info("model %s is in use", version)
        return model

    def _read_catalogue(self) -> bool:
        try:
            self._titles = self._catalog.active_ids(), self._catalog.titles_by_genre()
        except DatabaseUnavailable as error:
            self._catalogue_due = time.monotonic() + self._intervals.after_failure
            self._reading.failed(error)
            return False
        self._catalogue_due = time.monotonic() + self._intervals.catalogue
        self._reading.answered()
        return True

    def _read_popularity(self) -> bool:
        try:
            self._popularity = self._engagement.popularity(self._half_life)
        except DatabaseUnavailable as error:
            self._popularity_due = time.monotonic() + self._intervals.catalogue
            _log.warning("popularity is not known for now: %s", error)
            return False
        self._popularity_due = time.monotonic() + _POPULARITY_SECONDS
        return True
