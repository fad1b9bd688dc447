"""Documents that benchmarks write a part of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shared.errors import UnusableFile


class Marked:
    """The part of a document between `<!-- mark -->` and `<!-- end of mark -->`."""

    def __init__(self, path: Path, mark: str) -> None:
        """Raises UnusableFile at once where there is no such part: an hour later would be late."""
        self._path, self._begin, self._end = path, f"<!-- {mark} -->", f"<!-- end of {mark} -->"
        self._parts()

    def fill(self, sections: Sequence[str]) -> None:
        """Replace what stands there. Raises UnusableFile."""
        before, after = self._parts()
        body = "\n\n".join(sections)
        self._path.write_text(f"{before}{self._begin}\n\n{body}\n\n{self._end}{after}", encoding="utf-8")

    def _parts(self) -> tuple[str, str]:
        try:
            text = self._path.read_text(encoding="utf-8")
        except OSError as error:
            raise UnusableFile(f"{self._path} cannot be read: {error}") from error
        before, begin, rest = text.partition(self._begin)
        _, end, after = rest.partition(self._end)
        if not begin or not end:
            raise UnusableFile(f"{self._path} has no marks {self._begin} and {self._end} to write between")
        return before, after
