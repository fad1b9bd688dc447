"""`python -m benchmarks`: measure, and write down what came out."""

from __future__ import annotations

import argparse
import sys

import psycopg2

from benchmarks import accuracy, defaults, filters, variety
from benchmarks.performance import command
from demo.errors import DemoError
from shared.errors import ServiceError


def main(arguments: list[str] | None = None) -> int:
    """Run a benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="benchmark", required=True)
    for benchmark in (accuracy, defaults, filters, variety, command):
        benchmark.add(commands)
    chosen = parser.parse_args(arguments)
    try:
        code: int = chosen.run(chosen)
    except (ServiceError, DemoError, psycopg2.Error) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks: stopped", file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
