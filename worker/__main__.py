"""`python -m worker`: run a worker, train a model, or see to the models there are."""

from __future__ import annotations

import argparse
import sys

from shared.errors import ServiceError
from shared.settings import Settings
from shared.telemetry import configure_logging
from worker.commands import models, rollback, run, train


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m worker", description="The recommendation service's worker.")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (run, train, models, rollback):
        command.add(commands)
    chosen = parser.parse_args(arguments)
    try:
        settings = Settings.from_environment()
        configure_logging(settings.log_level)
        code: int = chosen.run(settings, chosen)
    except ServiceError as error:
        print(f"worker: {error}", file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
