"""What a process ranks with at one moment: the catalogue and the model, brought together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from shared.catalogue import Catalogue
from shared.ids import IdArray, IndexArray
from shared.model import NARROW, Model
from shared.retrieval import Shelf, read_only


@dataclass(frozen=True)
class Snapshot:
    """A catalogue of n titles with a model of m, or none. Never changed: a newer one replaces it whole."""

    catalogue: Catalogue
    model: Model | None
    catalogue_place: NDArray[np.int64]  # (m,): a model title's index in the catalogue, -1 when it may not be shown
    model_place: NDArray[np.int64]  # (n,): a catalogue title's index in the model, -1 when the model does not know it
    new: IndexArray  # (k,): catalogue indices of titles that nobody has liked yet, latest release first
    new_genres: NDArray[np.uint64]  # (k, w): their genres

    @classmethod
    def join(cls, catalogue: Catalogue, model: Model | None) -> Snapshot:
        """Bring a catalogue and a model together. Titles that were liked after training are new until the next."""
        place = catalogue.index.find(model.titles.ids) if model else np.empty(0, dtype=np.int64)
        none = np.full(len(catalogue), -1, dtype=np.int64)
        model_place = model.titles.find(catalogue.index.ids) if model else none
        unknown = np.flatnonzero(model_place < 0 if model else catalogue.popularity == 0)
        new = unknown[np.argsort(-catalogue.years[unknown], kind="stable")]
        return cls(catalogue, model, place, model_place, new, catalogue.genres[new])

    @cached_property
    def shelf(self) -> Shelf:
        """What of it the scorer's loops read."""
        catalogue, model = self.catalogue, self.model
        arrays = (
            model.starts if model else np.zeros(1, dtype=np.int32),
            model.columns if model else np.empty(0, dtype=NARROW),
            model.weights if model else np.empty(0, dtype=np.float32),
            self.catalogue_place,
            self.model_place,
            catalogue.genres,
            catalogue.popularity,
            self.new,
            self.new_genres,
        )
        return Shelf(*map(read_only, arrays))

    def places(self, titles: IdArray) -> tuple[IndexArray, IndexArray]:
        """Where titles, (k,), stand in the catalogue and in the model, each (k,): -1 for one that it does not know."""
        in_catalogue = self.catalogue.index.find(titles)
        in_model = np.full(len(titles), -1, dtype=np.int64)
        shown = in_catalogue >= 0
        in_model[shown] = self.model_place[in_catalogue[shown]]
        if self.model and not shown.all():  # of titles that have left the catalogue, it still knows who liked them
            in_model[~shown] = self.model.titles.find(titles[~shown])
        return in_catalogue, in_model

    @property
    def model_version(self) -> str | None:
        """The model's version, None without one."""
        return self.model.version if self.model else None
