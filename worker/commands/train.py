"""`python -m worker train`: train a model now."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final

from shared.errors import ModelRejected
from shared.model_store import ModelStore
from shared.parts import Databases
from shared.settings import Settings
from worker.training.train import train

REFUSED: Final = 3  # exit code, apart from other failures: another training at once would be refused as well


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Say what the command takes."""
    command = commands.add_parser("train", help="train a model on engagement_db and make it current")
    command.add_argument(
        "--force", action="store_true", help="even if it is much less than the current one (MODEL_LEAST_SHARE)"
    )
    command.set_defaults(run=run)


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Returns the exit code. Raises NothingToTrainOn, Unavailable, ConfigurationError."""
    models = ModelStore.at(settings.model_store, cache=settings.model_cache)
    databases = Databases.connect(settings, processes=1)
    try:
        model = train(databases.engagement, models, settings, force=arguments.force)
    except ModelRejected as error:
        print(f"worker: {error}", file=sys.stderr)
        return REFUSED
    manifest = model.manifest
    print(
        f"model {model.version} is current: {manifest.titles} titles, {manifest.neighbours} neighbours, "
        f"from {manifest.interactions} likes and watches of {manifest.users} users"
    )
    return 0
