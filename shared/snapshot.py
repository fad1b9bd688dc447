"""What a process ranks with at one moment: the catalogue and the model, brought together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.catalogue import Catalogue
from shared.model import Model


@dataclass(frozen=True)
class Snapshot:
    """A catalogue of n titles with a model of m, or none. Never changed: a newer one replaces it whole."""

    catalogue: Catalogue
    model: Model | None
    catalogue_place: NDArray[np.int64]  # (m,): a model title's index in the catalogue, -1 when it may not be shown

    @classmethod
    def join(cls, catalogue: Catalogue, model: Model | None) -> Snapshot:
        """Bring a catalogue and a model together."""
        place = catalogue.index.find(model.titles.ids) if model else np.empty(0, dtype=np.int64)
        return cls(catalogue, model, place)

    @property
    def model_version(self) -> str | None:
        """The model's version, None without one."""
        return self.model.version if self.model else None
