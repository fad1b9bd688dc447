"""`python -m worker rollback [VERSION]`: serve an earlier model again."""

from __future__ import annotations

import argparse
from typing import Any

from shared.model_store import ModelStore
from shared.rollback import roll_back
from shared.settings import Settings


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Say what the command takes."""
    command = commands.add_parser("rollback", help="make an earlier model current again")
    command.add_argument("version", nargs="?", metavar="VERSION", help="default: the one before the current one")
    command.set_defaults(run=run)


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Returns the exit code. Raises NoSuchModel, ModelRejected when the version cannot be used, StorageUnavailable."""
    models = ModelStore.at(settings.model_store, cache=settings.model_cache)
    version, before = roll_back(models, arguments.version)
    print(f"model {version} is current, {before or 'none'} was; gateways and workers take it within seconds")
    return 0
