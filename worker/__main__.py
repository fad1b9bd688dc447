"""`python -m worker`: run a worker, or train a model now."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from shared.errors import ServiceError
from shared.model import ModelStore
from shared.parts import Databases
from shared.settings import Settings
from shared.telemetry import configure_logging
from worker.app import Worker
from worker.training.train import train


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m worker", description="The recommendation service's worker.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="work on jobs until stopped")
    run.add_argument("--concurrency", type=int, metavar="N", help="processes (default: WORKER_CONCURRENCY)")
    run.add_argument("--name", default="worker@%h", help="the worker's name (default: %(default)s; %%h is the host)")
    run.add_argument("--pulse", type=Path, metavar="FILE", help="touch FILE every 5 s while the queue is being read")
    commands.add_parser("train", help="train a model on engagement_db and make it current")
    chosen = parser.parse_args(arguments)
    try:
        settings = Settings.from_environment()
        configure_logging(settings.log_level)
        return _train(settings) if chosen.command == "train" else _run(settings, chosen)
    except ServiceError as error:
        print(f"worker: {error}", file=sys.stderr)
        return 1


def _run(settings: Settings, chosen: argparse.Namespace) -> int:
    if chosen.concurrency is not None:
        if not 1 <= chosen.concurrency <= 64:
            print("worker: --concurrency must be 1 to 64", file=sys.stderr)
            return 2
        settings = settings.model_copy(update={"worker_concurrency": chosen.concurrency})
    return Worker(settings).run(hostname=chosen.name, pulse_file=chosen.pulse)


def _train(settings: Settings) -> int:
    databases = Databases.connect(settings, processes=1)
    model = train(databases.engagement, ModelStore(settings.model_dir), settings)
    manifest = model.manifest
    print(
        f"model {model.version} is current: {manifest.titles} titles, {manifest.neighbours} neighbours, "
        f"from {manifest.interactions} likes and watches of {manifest.users} users"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
