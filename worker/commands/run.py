"""`python -m worker run`: work on jobs until stopped."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from shared.settings import Settings
from worker.app import Worker


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Say what the command takes."""
    command = commands.add_parser("run", help="work on jobs until stopped")
    command.add_argument("--concurrency", type=int, metavar="N", help="processes (default: WORKER_CONCURRENCY)")
    command.add_argument(
        "--name", default="worker@%h", help="the worker's name (default: %(default)s; %%h is the host)"
    )
    command.add_argument("--pulse", type=Path, metavar="FILE", help="touch FILE every 5 s while reading the queue")
    command.set_defaults(run=run)


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Returns the exit code. Raises ConfigurationError when jobs_db is newer than this release."""
    if arguments.concurrency is not None:
        if not 1 <= arguments.concurrency <= 64:
            print("worker: --concurrency must be 1 to 64", file=sys.stderr)
            return 2
        settings = settings.model_copy(update={"worker_concurrency": arguments.concurrency})
    return Worker(settings).run(hostname=arguments.name, pulse_file=arguments.pulse)
