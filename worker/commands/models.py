"""`python -m worker models`: which models there are, which one is served, and which ones were refused."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from shared.errors import ModelRejected
from shared.model import Evidence, Manifest, Refusal
from shared.model_store import ModelStore
from shared.settings import Settings

_UNITS = (("days", 86_400), ("hours", 3600), ("minutes", 60), ("seconds", 1))
_ANY_WIDTH = 10_000  # columns of what is no terminal: no line is broken, none cut


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Say what the command takes."""
    command = commands.add_parser("models", help="list the models there are, and those that were refused")
    command.add_argument("--json", action="store_true", help="everything that is known of them, for programs")
    command.set_defaults(run=run)


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Returns the exit code. Raises StorageUnavailable, ModelRejected when CURRENT holds no version's name."""
    models = ModelStore.at(settings.model_store, cache=settings.model_cache)
    current = models.current_version()
    versions = {version: _manifest(models, version) for version in models.versions()}
    refusals = models.refusals()
    if arguments.json:
        print(_as_json(current, versions, refusals))
    else:
        _show(current, versions, refusals)
    return 0


def _manifest(models: ModelStore, version: str) -> Manifest | str:
    """What is known of a version, or why nothing is."""
    try:
        return models.manifest(version)
    except ModelRejected as error:
        return str(error)


def _as_json(current: str | None, versions: dict[str, Manifest | str], refusals: list[Refusal]) -> str:
    described = [
        {"version": version, "current": version == current}
        | (manifest.model_dump(mode="json") if isinstance(manifest, Manifest) else {"problem": manifest})
        for version, manifest in versions.items()
    ]
    whole = {"current": current, "versions": described, "refusals": [r.model_dump(mode="json") for r in refusals]}
    return json.dumps(whole, indent=2)


def _show(current: str | None, versions: dict[str, Manifest | str], refusals: list[Refusal]) -> None:
    width = None if sys.stdout.isatty() else _ANY_WIDTH
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    if versions:
        console.print(_table_of_versions(current, versions))
    if current is None:
        there = "no model is current" if versions else "there is no model yet"
        console.print(f"{there}: `python -m worker train` makes one")
    elif current not in versions:
        console.print(f"the current model, {current}, is gone: `python -m worker rollback VERSION`, or `... train`")
    if refusals:
        table = _table("refused", "accuracy", "why")
        for refusal in refusals:
            table.add_row(_age(refusal.at), _accuracy(refusal.description.evidence), refusal.reason)
        console.print()
        console.print(table)


def _table_of_versions(current: str | None, versions: dict[str, Manifest | str]) -> Table:
    table = _table("version", "", "trained", "estimator", "accuracy", "titles", "neighbours", "size")
    for column in table.columns[5:]:
        column.justify = "right"
    for version, manifest in versions.items():
        mark = "current" if version == current else ""
        if isinstance(manifest, str):
            table.add_row(version, mark, "", manifest)
            continue
        table.add_row(
            version,
            mark,
            _age(manifest.created_at),
            manifest.estimator,
            _accuracy(manifest.evidence),
            f"{manifest.titles:,}",
            f"{manifest.neighbours:,}",
            "" if manifest.bytes is None else f"{manifest.bytes / 1e6:,.1f} MB",
        )
    return table


def _table(first: str, *others: str) -> Table:
    """The first column is never broken, since people copy from it."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, no_wrap=True, overflow="ignore")
    for name in others:
        table.add_column(name, overflow="fold")
    table.columns[0].min_width = len("20261122T184900Z-1f2e3d4c") if first == "version" else 0
    return table


def _accuracy(evidence: Evidence | None) -> str:
    if evidence is None:
        return ""
    accuracy = evidence.accuracy
    return f"{evidence.metric} {accuracy.value:.4f} ({accuracy.low:.4f} to {accuracy.high:.4f})"


def _age(moment: datetime) -> str:
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    unit, length = next((unit for unit in _UNITS if seconds >= 2 * unit[1]), _UNITS[-1])
    return f"{seconds // length:.0f} {unit} ago"
