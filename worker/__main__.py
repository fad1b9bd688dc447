"""`python -m worker`: run a worker, train a model, or see to the models there are."""

from __future__ import annotations

import argparse
import sys

from shared.errors import ServiceError
from shared.settings import Settings
from shared.telemetry import configure_logging
from worker.commands import evaluate, models, rollback, run, train

INTERRUPTED = 130  # as a shell says it


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m worker", description="The recommendation service's worker.")
    parser.set_defaults(settings=lambda _chosen: Settings.from_environment())
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (run, train, evaluate, models, rollback):
        command.add(commands)
    chosen = parser.parse_args(arguments)
    try:
        settings = chosen.settings(chosen)
        configure_logging(settings.log_level, settings.secrets())
        code: int = chosen.run(settings, chosen)
    except ServiceError as error:
        print(f"worker: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("worker: stopped", file=sys.stderr)
        return INTERRUPTED
    return code


if __name__ == "__main__":
    sys.exit(main())
