"""EASE on the most liked titles and the co-occurrence family for the rest: for catalogues that EASE does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from shared.errors import TrainingTooLarge
from shared.ids import IndexArray
from shared.strengths import TimeLine
from worker.training.estimators.cooccurrence import CoOccurrence
from worker.training.estimators.cut import BYTES, strongest
from worker.training.estimators.ease import Ease
from worker.training.estimators.estimator import Limits
from worker.training.interactions import Histories


@dataclass(frozen=True)
class EaseOnHead:
    """S is EASE's where both titles are among the `head` most liked, and the family's elsewhere, on EASE's scale.

    The family's weights are multiplied so that, where both are known, their magnitudes have the same mean.
    """

    head: int  # titles
    ease: Ease
    rest: CoOccurrence

    name: ClassVar[str] = "ease-on-head"

    @property
    def neighbours(self) -> int:
        """K."""
        return self.ease.neighbours

    @property
    def parameters(self) -> Mapping[str, float | int]:
        """For the manifest; the family's are marked as the rest's."""
        rest = {f"rest_{name}": value for name, value in self.rest.parameters.items() if name != "k"}
        return {"head": self.head, **self.ease.parameters, **rest}

    def needs_bytes(self, histories: Histories) -> int:
        """EASE's on the head, the family's on all, or what both found; one after the other."""
        head, titles = self._head(histories), histories.matrix.shape[1]
        return max(
            self.ease.needs_bytes(self._part(histories, head)),
            self.rest.needs_bytes(histories),
            BYTES * (len(head) * min(self.neighbours, len(head)) + titles * min(self.neighbours, titles)),
        )

    def fit(self, histories: Histories, limits: Limits) -> sparse.csr_array:
        """S (titles, titles), float32, signed, rows in order of column. Raises TrainingTooLarge before it starts."""
        needed = self.needs_bytes(histories)
        if needed > limits.memory_bytes:
            raise TrainingTooLarge(self.name, histories.matrix.shape[1], needed, limits.memory_bytes)
        head = self._head(histories)
        regressed = self.ease.fit(self._part(histories, head), limits).tocoo()
        counted = self.rest.fit(histories, limits).tocoo()
        in_head = np.zeros(histories.matrix.shape[1], dtype=np.bool_)
        in_head[head] = True
        in_both = in_head[counted.row] & in_head[counted.col]
        scale = _mean(regressed.data) / _mean(counted.data[in_both])
        rows = np.concatenate([head[regressed.row], counted.row[~in_both]])
        columns = np.concatenate([head[regressed.col], counted.col[~in_both]])
        weights = np.concatenate([regressed.data, np.float32(scale) * counted.data[~in_both]])
        together = sparse.csr_matrix((weights, (rows, columns)), shape=counted.shape)
        return strongest(together, self.neighbours)

    def _head(self, histories: Histories) -> IndexArray:
        """The columns of the most liked titles (ties: the smaller), rising."""
        return np.sort(np.argsort(-histories.title_degree, kind="stable")[: self.head])

    @staticmethod
    def _part(histories: Histories, titles: IndexArray) -> Histories:
        """The histories as if there were these titles (columns, rising) only."""
        matrix = histories.matrix
        kept = np.isin(matrix.indices, titles)
        user = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))[kept]
        line = TimeLine.of(user, histories.places[kept], np.zeros_like(user))
        places = np.empty(len(user), dtype=np.int32)
        places[line.order] = line.places
        return Histories(histories.title_ids[titles], matrix[:, titles].tocsr(), places)


def _mean(weights: np.ndarray) -> float:
    return float(np.abs(weights).mean()) if len(weights) else 1.0
