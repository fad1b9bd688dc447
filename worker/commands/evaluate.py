"""`python -m worker evaluate`: how good recommendations are, on the live databases or on files."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from shared.errors import ConfigurationError
from shared.model_settings import ModelSettings
from shared.parts import Databases
from shared.settings import Settings
from worker.commands.progress import Watch
from worker.commands.report import as_json, check_plot, plot, show
from worker.training.evaluation import evaluate
from worker.training.files import Thresholds
from worker.training.metrics import KS
from worker.training.sources import Options, from_databases, from_interactions, from_train_and_test
from worker.training.split import LEAST, Protocol

_EXAMPLES = """\
examples:
  python -m worker evaluate                                    the platform's own interactions, each user's last fifth
  python -m worker evaluate --interactions ratings.csv --titles movies.csv --like 4 --dislike 2
  python -m worker evaluate --train train.csv --test test.csv --json
Files have a line per interaction: user_id, media_id, and perhaps value, timestamp or type. Settings such as
WATCH_STRENGTH come from the environment, and from files nothing else is needed.
"""


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Say what the command takes."""
    command = commands.add_parser(
        "evaluate",
        help="measure recommendations on interactions held out",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = command.add_argument_group("what is evaluated (without any: the databases)")
    source.add_argument("--interactions", type=Path, metavar="FILE", help="CSV, split by --split")
    source.add_argument("--train", type=Path, metavar="FILE", help="CSV to learn from; with --test")
    source.add_argument("--test", type=Path, metavar="FILE", help="CSV of what users did then")
    source.add_argument("--titles", type=Path, metavar="FILE", help="CSV: media_id, genres (with | between them)")
    source.add_argument("--like", type=_value, metavar="VALUE", help="values from this on are likes, others watches")
    source.add_argument("--dislike", type=_value, metavar="VALUE", help="values up to this one are dislikes")
    how = command.add_argument_group("how")
    how.add_argument("--split", type=Protocol, choices=list(Protocol), help="default: temporal where times are known")
    how.add_argument(
        "--order", choices=["rows"], help="lines of --train are in order of time, though without timestamps"
    )
    how.add_argument(
        "--least", type=_count, default=LEAST, metavar="N", help="interactions of a user that is tested (%(default)s)"
    )
    how.add_argument("--k", type=_numbers, default=KS, metavar="K,K", help="lengths of lists (10,20,50,100)")
    how.add_argument("--users", type=_count, metavar="N", help="test so many, drawn at random (default: all)")
    how.add_argument("--budget", type=float, metavar="SECONDS", help="time to search in (TRAINING_BUDGET_SECONDS)")
    how.add_argument("--seed", type=int, metavar="N", help="of what is drawn (TRAINING_SEED)")
    output = command.add_argument_group("what comes out (without any: a table)")
    output.add_argument("--json", action="store_true", help="everything, for programs")
    output.add_argument("--plot", type=Path, metavar="FILE", help="a picture, too (.png, .svg, .pdf)")
    command.set_defaults(run=run, settings=_settings)


def _settings(arguments: argparse.Namespace) -> ModelSettings:
    """For files, nothing of the platform's has to be set. Raises ConfigurationError, also for unusable arguments."""
    _check(arguments)
    kind = ModelSettings if arguments.interactions or arguments.train or arguments.test else Settings
    changes = {"training_budget_seconds": arguments.budget, "training_seed": arguments.seed}
    return kind.from_environment().changed(**{name: value for name, value in changes.items() if value is not None})


def run(settings: ModelSettings, arguments: argparse.Namespace) -> int:
    """Returns the exit code. Raises UnusableFile, NothingToTrainOn, NothingToEvaluate, Unavailable."""
    options = Options(
        thresholds=Thresholds(arguments.like, arguments.dislike),
        titles=arguments.titles,
        protocol=arguments.split,
        lines_are_in_time=arguments.order == "rows",
        least=arguments.least,
        most_users=arguments.users,
        ks=arguments.k,
    )
    with Watch(settings.training_budget_seconds) as watch:
        if arguments.train:
            task = from_train_and_test(arguments.train, arguments.test, settings, options)
        elif arguments.interactions:
            task = from_interactions(arguments.interactions, settings, options)
        else:
            assert isinstance(settings, Settings)
            task = from_databases(Databases.connect(settings, processes=1), settings, options)
        evaluation = evaluate(task, trying=watch.tried, measuring=watch.measuring)
    if arguments.json:
        print(as_json(task, evaluation))
    else:
        show(task, evaluation)
    if arguments.plot:
        plot(evaluation, arguments.plot)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Raises ConfigurationError for arguments that do not go together, before anything takes time."""
    if (arguments.train is None) != (arguments.test is None):
        raise ConfigurationError("--train and --test go together")
    if arguments.train and (arguments.interactions or arguments.split):
        raise ConfigurationError("--train and --test are split already: --interactions and --split do not go with them")
    of_files = ("titles", "like", "dislike", "order")
    if not (arguments.train or arguments.interactions):
        for name in of_files:
            if getattr(arguments, name) is not None:
                raise ConfigurationError(f"--{name} is for files: --interactions, or --train and --test")
    if None not in (arguments.like, arguments.dislike) and arguments.dislike >= arguments.like:
        raise ConfigurationError("--dislike must be below --like")
    if arguments.plot:
        check_plot(arguments.plot)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        numbers = sorted({int(part) for part in text.split(",")})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1 or numbers[-1] > 1000:
        raise argparse.ArgumentTypeError("expected numbers from 1 to 1000 with commas between")
    return tuple(numbers)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("expected a whole number from 1")
    return int(text)


def _value(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError("expected a number")
    return value
