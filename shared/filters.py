"""Which titles of a catalogue pass a filter. Pure numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.catalogue import Catalogue
from shared.ids import pack_ids
from shared.options import Filters


def passing(filters: Filters, catalogue: Catalogue) -> NDArray[np.bool_]:
    """Whether each title may be in a list, shape (n,). A genre or media type that the catalogue does not know is that
    of no title."""
    kept = np.ones(len(catalogue), dtype=np.bool_)
    if filters.genres_any:
        kept &= (catalogue.genres & catalogue.mask(filters.genres_any)).any(axis=1)
    if filters.genres_all:
        mask = catalogue.mask(filters.genres_all)
        known = catalogue.genre_bits.keys() >= set(filters.genres_all)
        kept &= known and ((catalogue.genres & mask) == mask).all(axis=1)
    if filters.genres_none:
        kept &= ~(catalogue.genres & catalogue.mask(filters.genres_none)).any(axis=1)
    if filters.media_type:
        codes = [catalogue.media_type_codes[key] for key in filters.media_type if key in catalogue.media_type_codes]
        kept &= np.isin(catalogue.media_types, codes)
    if filters.year_from is not None or filters.year_to is not None:
        kept &= catalogue.years != 0
    if filters.year_from is not None:
        kept &= catalogue.years >= filters.year_from
    if filters.year_to is not None:
        kept &= catalogue.years <= filters.year_to
    if filters.exclude:
        found = catalogue.index.find(pack_ids(filters.exclude))
        kept[found[found >= 0]] = False
    return kept
