"""What every estimator is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from scipy import sparse

from worker.training.interactions import Histories


@dataclass(frozen=True)
class Limits:
    """What a fit may take of the machine."""

    threads: int
    memory_bytes: int  # for arrays, on top of the histories


class Estimator(Protocol):
    """Learns S: how strongly a title in the history (row) speaks for a title recommended (column)."""

    name: ClassVar[str]

    @property
    def neighbours(self) -> int:
        """K: how many weights, the strongest by magnitude, are kept of each row (of each column by local-ridge)."""

    @property
    def parameters(self) -> Mapping[str, float | int]:
        """The settings, for the manifest."""

    def needs_bytes(self, histories: Histories) -> int:
        """About how much memory a fit takes."""

    def fit(self, histories: Histories, limits: Limits) -> sparse.csr_array:
        """S (titles, titles), float32, signed, without its diagonal, rows in order of column.

        Raises TrainingTooLarge when it would take more memory than it may.
        """


def not_invertible(titles: int) -> ArithmeticError:
    """What a regression ends in when float32 is not enough for its matrix."""
    return ArithmeticError(f"the matrix of {titles} titles cannot be inverted; a larger lambda would mend that")
