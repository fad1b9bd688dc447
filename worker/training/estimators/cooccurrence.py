"""The co-occurrence family of neighbour models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from worker.training.estimators.counting import Counts
from worker.training.estimators.estimator import Limits
from worker.training.estimators.rows import Rows
from worker.training.interactions import Histories


@dataclass(frozen=True)
class CoOccurrence:
    """S = Di^-a . (w . R^T . Du^-b . R + (1 - w) . F) . Di^-c without its diagonal, each row cut to its K largest.

    R is users x titles; Du and Di hold the number of titles per user and of users per title. F counts as
    R^T . Du^-b . R does, but only where the title of the row was liked before the title of the column. w = 1
    forgets the order: then a = b = c = 0 is the plain count of shared users, the seed's own definition, and
    a = c = 0.5, b = 0 the cosine. With w below 1 what came later counts more, and what came earlier less: a first film
    speaks for its sequel.
    """

    history_exponent: float  # a
    user_exponent: float  # b
    title_exponent: float  # c
    order: float  # w
    neighbours: int  # K

    name: ClassVar[str] = "co-occurrence"

    @property
    def parameters(self) -> Mapping[str, float | int]:
        """For the manifest."""
        return {
            "a": self.history_exponent,
            "b": self.user_exponent,
            "c": self.title_exponent,
            "w": self.order,
            "k": self.neighbours,
        }

    def needs_bytes(self, histories: Histories) -> int:
        """S, and while it is made the histories title by title."""
        entries, titles = histories.matrix.nnz, histories.matrix.shape[1]
        return 32 * entries + 24 * titles * min(self.neighbours, titles)

    def fit(self, histories: Histories, limits: Limits) -> sparse.csr_array:
        """S (titles, titles), float32, above zero, rows in order of column; however much it takes: nothing takes
        less."""
        rows = self.rows(histories)
        return rows.block(slice(0, len(rows)), threads=limits.threads)

    def rows(self, histories: Histories) -> Rows:
        """What every row of S is made from."""
        degree = histories.title_degree
        return Rows(
            counts=Counts.of(histories, user_exponent=self.user_exponent, before=self.order, after=1.0),
            of_row=(degree**-self.history_exponent).astype(np.float32),
            of_column=(degree**-self.title_exponent).astype(np.float32),
            most=self.neighbours,
        )
