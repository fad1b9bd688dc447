"""`python -m worker train`: train a model now, or whenever it is due."""

from __future__ import annotations

import argparse
import sys
import threading
from dataclasses import replace
from typing import Any, Final

from shared import broker
from shared.errors import ModelRejected
from shared.model import Model
from shared.model_store import ModelStore
from shared.parts import Databases
from shared.settings import Settings
from worker.commands.progress import Watch
from worker.training.schedule import keep_fresh
from worker.training.train import Training

REFUSED: Final = 3  # exit code, apart from other failures: another training at once would be refused as well


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Say what the command takes."""
    command = commands.add_parser("train", help="train a model on engagement_db and make it current")
    command.add_argument(
        "--budget", type=float, metavar="SECONDS", help="time to search in; 0: none (default: TRAINING_BUDGET_SECONDS)"
    )
    command.add_argument("--seed", type=int, metavar="N", help="of what is drawn (default: TRAINING_SEED)")
    command.add_argument(
        "--force", action="store_true", help="even if it is much less than the current one (MODEL_LEAST_SHARE)"
    )
    when = command.add_mutually_exclusive_group()
    when.add_argument(
        "--newer", action="store_true", help="read newer interactions only, with the current model's settings"
    )
    when.add_argument(
        "--schedule",
        action="store_true",
        help="stay, and train when it is due (TRAINING_FULL_SECONDS, TRAINING_REFRESH_SECONDS)",
    )
    command.set_defaults(run=run)


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Returns the exit code. Raises TrainingBusy, NothingToTrainOn, Unavailable, ConfigurationError."""
    changes = {"training_budget_seconds": arguments.budget, "training_seed": arguments.seed}
    settings = settings.changed(**{name: value for name, value in changes.items() if value is not None})
    models = ModelStore.at(settings.model_store, cache=settings.model_cache)
    databases = Databases.connect(settings, processes=1)
    publish_blocks = broker.block_publisher(broker.celery_app(settings, "trainer"))
    training = Training(databases.engagement, databases.jobs, models, settings, publish_blocks=publish_blocks)
    if arguments.schedule:
        keep_fresh(training, threading.Event())
        return 0
    with Watch(settings.training_budget_seconds) as watch:
        training = replace(training, report=watch.tried)
        try:
            model = training.refresh() if arguments.newer else training.full(force=arguments.force)
        except ModelRejected as error:
            print(f"worker: {error}", file=sys.stderr)
            return REFUSED
    print(_account(model))
    return 0


def _account(model: Model) -> str:
    manifest = model.manifest
    lines = [
        f"model {model.version} is current: {manifest.titles} titles, {manifest.neighbours} neighbours, "
        f"from {manifest.interactions} likes and watches of {manifest.users} users"
    ]
    if evidence := manifest.evidence:
        accuracy = evidence.accuracy
        lines.append(
            f"{manifest.estimator}, the best of {len(evidence.trials)} settings: {evidence.metric} "
            f"{accuracy.value:.4f} ({accuracy.low:.4f} to {accuracy.high:.4f}) on interactions held out "
            f"({evidence.split}) from {evidence.users} users"
        )
        lines.extend(f"left out: {reason}" for reason in evidence.skipped)
    else:
        lines.append(f"{manifest.estimator} by default; nothing was searched for or measured")
    return "\n".join(lines)
