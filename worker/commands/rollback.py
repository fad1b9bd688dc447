"""`python -m worker rollback [VERSION]`: serve an earlier model again."""

from __future__ import annotations

import argparse
from typing import Any

from shared.errors import NoSuchModel
from shared.model_store import ModelStore
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


def roll_back(models: ModelStore, wanted: str | None) -> tuple[str, str | None]:
    """Make a version current, if it loads; returns it and the one that was current. Raises as `run` does."""
    with models.exclusive():
        versions, current = models.versions(), models.current_version()
        there_are = f"there are {', '.join(versions)}" if versions else "there are none: run `python -m worker train`"
        if wanted is None:
            earlier = [version for version in versions if current and version < current]
            if not earlier:
                raise NoSuchModel(f"no version is older than the current one ({current or 'none'}); {there_are}")
            wanted = earlier[-1]
        if wanted not in versions:
            raise NoSuchModel(f"there is no version {wanted}; {there_are}")
        models.load(wanted)
        models.make_current(wanted)
    return wanted, current
