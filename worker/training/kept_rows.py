"""The interactions a training has read, kept on its host, so that a refresh reads only newer ones.

One file of columns, written beside and renamed; whatever is wrong with it, everything is read again.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import fields
from pathlib import Path
from typing import Final
from uuid import uuid4
from zipfile import BadZipFile

import numpy as np

from shared.errors import StorageUnavailable
from shared.model_copies import make_closed
from shared.repositories.engagement import EngagementRepository
from worker.training.coded_rows import CodedRows, Parts
from worker.training.reading import read_interactions

# Ids are given out before they are committed: a transaction that was open when we read may add smaller ones later. So
# many ids below the highest are read again.
OVERLAP: Final = 100_000
_STILL_THERE = 0.5  # of the rows read again; with fewer, this is another table, or one that was tidied up

_FORM: Final = {
    "user_ids": "S16", "title_ids": "S16", "users": "<i4", "titles": "<i4", "kinds": "i1", "times": "<i8",
    "rows": "<i8", "values": "<f4",
}  # fmt: skip

_log = logging.getLogger(__name__)


class KeptRows:
    """Reads interactions, all or the newer ones, and keeps what it read."""

    def __init__(self, engagement: EngagementRepository, folder: Path) -> None:
        self._engagement = engagement
        self._file = folder / "interactions.npz"

    def read_all(self) -> CodedRows:
        """Every interaction there is. Raises DatabaseUnavailable."""
        rows = read_interactions(self._engagement)
        self._keep(rows)
        return rows

    def read_newer(self) -> CodedRows | None:
        """What was kept with what is newer; None when nothing usable was kept. Raises DatabaseUnavailable.

        A row that was deleted or changed since is still there as it was, unless it is among the newest.
        """
        kept = self._kept()
        if kept is None or not len(kept):
            return None
        after = int(kept.rows.max()) - OVERLAP
        newer = read_interactions(self._engagement, after=after)
        again = kept.rows > after
        if np.isin(kept.rows[again], newer.rows).mean() < _STILL_THERE:
            _log.warning("what was read before is no longer in engagement_db: everything is read again")
            return None
        parts = Parts()
        parts.add(kept, ~again)
        parts.add(newer)
        del kept
        rows = parts.joined()
        self._keep(rows)
        return rows

    def _kept(self) -> CodedRows | None:
        try:
            make_closed(self._file.parent)  # who watched what is nobody else's affair; nor does another say it
            with np.load(self._file, allow_pickle=False) as columns:
                return CodedRows(**{name: columns[name].astype(form, copy=False) for name, form in _FORM.items()})
        except FileNotFoundError:
            return None
        except (OSError, StorageUnavailable, EOFError, ValueError, KeyError, BadZipFile) as error:
            _log.warning("%s is not used: %s", self._file, error)
            return None

    def _keep(self, rows: CodedRows) -> None:
        """A disk that is full costs the next refresh its speed, and this training nothing."""
        beside = self._file.with_name(f".{self._file.name}-{uuid4().hex}")
        try:
            make_closed(self._file.parent)
            with beside.open("wb") as file:
                np.savez(file, **{field.name: getattr(rows, field.name) for field in fields(rows)})
            beside.replace(self._file)
        except (OSError, StorageUnavailable) as error:
            _log.warning("what was read cannot be kept for the next refresh: %s", error)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink()
