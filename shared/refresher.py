"""Keeps a process's snapshot fresh in the background: titles from catalog_db, the model from its store.

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
from shared.catalogue import Catalogue, Listed, Popularity
from shared.errors import DatabaseUnavailable, ModelRejected, StorageUnavailable
from shared.ids import IdArray
from shared.model import Model
from shared.model_store import ModelStore
from shared.repositories.catalog import CatalogRepository
from shared.repositories.engagement import EngagementRepository
from shared.snapshot import Snapshot

_STORE_PAUSE_SECONDS = 10.0  # after a failure of the model store: what failed may have been a download of a gigabyte
_START_SECONDS = 30.0  # for the first round; gunicorn and Celery give up on a process that takes twice as long to start
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
        self._titles: tuple[Listed, Mapping[str, IdArray]] | None = None  # as last read
        self._popularity = Popularity.unknown()  # as last read, for while there is no model
        self._popularity_due = self._catalogue_due = 0.0
        self._refused: str | None = None
        self._refreshing = threading.Lock()
        self._begun, self._stopped = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._reading = Availability("the reading of titles", 0)
        self._fetching = Availability("the model store", _STORE_PAUSE_SECONDS)

    def current(self) -> Snapshot:
        """The latest snapshot. Raises DatabaseUnavailable while titles could not be read even once."""
        if self._snapshot is None:
            raise DatabaseUnavailable("catalog_db", "titles have not been read yet")
        return self._snapshot

    def start(self) -> None:
        """Make snapshots in a thread, and wait for the first; not for as long as fetching a large model may take."""
        self._thread = threading.Thread(target=self._run, name="refresher", daemon=True)
        self._thread.start()
        self._begun.wait(_START_SECONDS)

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
        jitter = random.Random()  # noqa: S311 # nosec B311 # spreads the load of many processes; a secret it is not
        while True:
            try:
                self.refresh()
            except Exception:  # a defect here must not end refreshing for good; the next round tries again
                _log.exception("a refresh failed")
            self._begun.set()
            if self._stopped.wait(self._intervals.model * jitter.uniform(0.9, 1.1)):
                return

    def _latest_model(self) -> Model | None:
        """The current version, or the one in use when that is it, or it is refused or out of reach."""
        in_use = self._snapshot.model if self._snapshot else None
        if not self._fetching.worth_trying():
            return in_use
        version: str | None = None
        try:
            version = self._models.current_version()
            if version is None or (in_use and version == in_use.version) or version == self._refused:
                model = in_use
            else:
                model = self._models.load(version)
                self._refused = None
                _log.info("model %s is in use", version)
        except StorageUnavailable as error:
            self._fetching.failed(error)
            return in_use
        except ModelRejected as error:
            if version is None or version != self._refused:
                _log.error("the new model is not used: %s", error)
            self._refused = version
            model = in_use
        self._fetching.answered()
        return model

    def _read_catalogue(self) -> bool:
        try:
            self._titles = self._catalog.listed(), self._catalog.titles_by_genre()
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
