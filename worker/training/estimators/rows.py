"""S row by row: for estimators of which a row needs no other row, so that anybody may make any block of rows."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import sparse

from worker.training.estimators.counting import Counts, Floats


@dataclass(frozen=True)
class Rows:
    """What every row of S is made from: S = diag(of_row) . C . diag(of_column), each row cut to its `most` largest."""

    counts: Counts  # C, of n titles
    of_row: Floats  # (n,), above zero
    of_column: Floats  # (n,), above zero
    most: int  # K

    def __len__(self) -> int:
        return len(self.of_row)

    def block(self, rows: slice, *, threads: int) -> sparse.csr_array:
        """Rows of S, (rows, n), float32, above zero, in order of column; the same to the bit whoever makes them."""
        return self.counts.strongest(
            rows, of_row=self.of_row, of_column=self.of_column, most=self.most, threads=threads
        )
