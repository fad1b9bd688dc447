"""Interactions and titles from CSV files, for evaluation without a database. Files ending in .gz are read as they are.

A file of interactions has a line per interaction: user_id, media_id, and perhaps value and timestamp (seconds or
milliseconds since 1970, or a date). MovieLens' own names for the columns (userId, movieId, rating) are understood. Ids
may be anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from shared.errors import UnusableFile
from shared.ids import IdArray, id_array
from shared.interactions import UNKNOWN_TIME, InteractionRows, meaningful
from shared.media import Kind

_ALIASES: Final = {
    "user_id": ("user_id", "userId", "user"),
    "media_id": ("media_id", "movieId", "item_id", "itemId", "item", "title_id"),
    "value": ("value", "rating", "interaction_value"),
    "timestamp": ("timestamp", "time"),
    "type": ("type",),
    "genres": ("genres", "genre"),
}
_SECONDS_TO_2000: Final = 946_684_800
_TOO_LATE: Final = 1e11  # seconds since 1970: the year 5138
_KINDS: Final = {kind.name: kind for kind in Kind}


@dataclass(frozen=True)
class Thresholds:
    """Which values are opinions. Without `like`, every row counts as a like; with it, what lies between is a watch."""

    like: float | None = None  # this value, and above
    dislike: float | None = None  # this value, and below


class Names:
    """Ids of the service for ids that may be anything: the same text, in whatever file, is the same id."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def ids(self, texts: pa.Array) -> IdArray:
        """16 bytes each, shape (n,)."""
        encoded = texts.dictionary_encode()
        numbers = [self._known.setdefault(text, len(self._known) + 1) for text in encoded.dictionary.to_pylist()]
        ids = id_array(b"".join(number.to_bytes(16, "big") for number in numbers))
        return ids[encoded.indices.to_numpy()] if len(ids) else ids


def read_interactions(
    path: Path, names: Names, thresholds: Thresholds, *, first_row: int = 0, lines_are_in_time: bool = False
) -> InteractionRows:
    """A file's interactions. first_row: the id of its first. lines_are_in_time: for a file without timestamps.

    Raises UnusableFile.
    """
    table = _read(path, needed=("user_id", "media_id"), optional=("value", "timestamp", "type"))
    count = len(table["user_id"])
    if not count:
        raise UnusableFile(f"{path} holds no interactions")
    rows = np.arange(first_row, first_row + count, dtype=np.int64)
    values = _numbers(path, table, "value")
    if "timestamp" in table:
        times = _times(path, table["timestamp"])
    else:
        times = rows.copy() if lines_are_in_time else np.full(count, UNKNOWN_TIME)
    return InteractionRows(
        users=names.ids(table["user_id"]),
        titles=names.ids(table["media_id"]),
        kinds=_kinds(path, table, values, thresholds),
        times=times,
        rows=rows,
        values=meaningful(values),
    )


def read_genres(path: Path, names: Names) -> tuple[IdArray, Mapping[str, IdArray]]:
    """A file's titles, and each genre's: columns media_id and genres, the latter with | between them.

    Raises UnusableFile.
    """
    table = _read(path, needed=("media_id", "genres"), optional=())
    ids = names.ids(table["media_id"])
    found: dict[str, list[int]] = {}
    for row, genres in enumerate(table["genres"].to_pylist()):
        for genre in filter(None, map(str.strip, (genres or "").split("|"))):
            if not genre.startswith("("):  # MovieLens: "(no genres listed)"
                found.setdefault(genre, []).append(row)
    return ids, {genre: ids[rows] for genre, rows in found.items()}


def _read(path: Path, *, needed: Sequence[str], optional: Sequence[str]) -> dict[str, pa.Array]:
    """The columns of a file by our names, as text; ids are in every row."""
    try:
        with csv.open_csv(path) as reader:
            there = reader.schema.names
        chosen = {name: alias for name in (*needed, *optional) for alias in reversed(_ALIASES[name]) if alias in there}
        if missing := [name for name in needed if name not in chosen]:
            raise UnusableFile(f"{path} has no column {' or '.join(missing)}; it has {', '.join(there)}")
        if twice := [alias for alias in chosen.values() if there.count(alias) > 1]:
            raise UnusableFile(f"{path} has more than one column {' and '.join(twice)}")
        options = csv.ConvertOptions(
            include_columns=list(chosen.values()),
            column_types={alias: pa.string() for alias in chosen.values()},
            strings_can_be_null=True,
            null_values=[""],
        )
        table = csv.read_csv(path, convert_options=options).combine_chunks()
    except (OSError, pa.ArrowInvalid) as error:
        raise UnusableFile(f"{path} cannot be read: {error}") from error
    columns = {name: _whole(table[alias]) for name, alias in chosen.items()}
    for name in ("user_id", "media_id"):
        if name in columns and (empty := columns[name].null_count):
            raise UnusableFile(f"{path}: {empty} rows have no {name}")
    return columns


def _whole(column: pa.ChunkedArray) -> pa.Array:
    chunks = column.combine_chunks()
    return chunks if isinstance(chunks, pa.Array) else pa.concat_arrays(column.chunks)


def _numbers(path: Path, table: Mapping[str, pa.Array], name: str) -> NDArray[np.float64]:
    """A column as numbers, NaN where there is none."""
    if name not in table:
        return np.full(len(table["user_id"]), np.nan)
    try:
        return np.asarray(pc.fill_null(table[name].cast(pa.float64()), np.nan), dtype=np.float64)
    except pa.ArrowInvalid as error:
        raise UnusableFile(f"{path}: not a number in the column {name}: {error}") from error


def _times(path: Path, column: pa.Array) -> NDArray[np.int64]:
    """Microseconds since 2000-01-01."""
    try:
        seconds = pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False)
        known = seconds[np.isfinite(seconds)]
        if len(known) and np.median(known) > _TOO_LATE:
            seconds = seconds / 1000  # they were milliseconds
        times = (seconds - _SECONDS_TO_2000) * 1e6
    except pa.ArrowInvalid:
        stamps = _dates(path, column).cast(pa.int64())
        times = pc.fill_null(stamps.cast(pa.float64(), safe=False), np.nan).to_numpy(zero_copy_only=False)
        times = times - _SECONDS_TO_2000 * 1e6
    there = np.isfinite(times) & (np.abs(times) < 2**62)
    return np.where(there, np.where(there, times, 0), UNKNOWN_TIME).astype(np.int64)


def _dates(path: Path, column: pa.Array) -> pa.Array:
    """In UTC, as are dates that do not say where they hold; either all of a file say so, or none."""
    try:
        return column.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:
        try:
            return column.cast(pa.timestamp("us", tz="UTC"))
        except pa.ArrowInvalid as error:
            raise UnusableFile(f"{path}: timestamps are neither seconds nor dates: {error}") from error


def _kinds(
    path: Path, table: Mapping[str, pa.Array], values: NDArray[np.float64], thresholds: Thresholds
) -> NDArray[np.int8]:
    if thresholds.like is not None or thresholds.dislike is not None:
        if "value" not in table:
            raise UnusableFile(f"{path} has no column value, which --like and --dislike compare with")
        kinds = np.full(len(values), Kind.WATCH, dtype=np.int8)
        if thresholds.like is not None:
            kinds[values >= thresholds.like] = Kind.LIKE
        if thresholds.dislike is not None:
            kinds[values <= thresholds.dislike] = Kind.DISLIKE
        return kinds
    if "type" in table:
        return np.array(
            [_KINDS.get((text or "").strip().upper(), Kind.OTHER) for text in table["type"].to_pylist()], dtype=np.int8
        )
    return np.full(len(values), Kind.LIKE, dtype=np.int8)
