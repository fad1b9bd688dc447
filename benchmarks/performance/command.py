"""`python -m benchmarks run`: how fast the service is, beside others and beside its targets.

A platform is made up and loaded into a PostgreSQL of its own, a model is trained, and gateway and worker run as they do
in production, with a process per core. What was loaded is kept in the folder for the next run.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg2

from benchmarks.marked import Marked
from benchmarks.performance import report
from benchmarks.performance.figures import Figure
from benchmarks.performance.pace import Pace
from benchmarks.performance.report import Missing, Report
from benchmarks.performance.rows import ALL
from benchmarks.performance.setup import Benchmark, Setup, contents
from benchmarks.platform.synthetic import Platform, S, Size
from benchmarks.stage import Stage, opened
from demo.errors import DemoError
from shared.errors import ServiceError

_MARK: Final = "performance"
_EVERYTHING: Final = "all"
_GROWTH: Final = (1, 3, 10, 25, 50)  # millions
_IMAGES: Final = Path("docs/images")
_BY_NAME: Final = {benchmark.name: benchmark for benchmark in ALL}


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Say what the benchmarks take."""
    command = commands.add_parser(
        "run", help="how fast: the rows named, or all (list tells them apart)", description=__doc__
    )
    add_ = command.add_argument
    add_("names", nargs="+", choices=[*_BY_NAME, _EVERYTHING], metavar="NAME", help=", ".join([*_BY_NAME, "all"]))
    add_("--users", type=_count, default=S.users, metavar="N", help="of the platform (%(default)s)")
    add_("--titles", type=_count, default=S.titles, metavar="N", help="of the platform (%(default)s)")
    add_("--interactions", type=_count, default=S.interactions, metavar="N", help="rows of the platform (%(default)s)")
    add_("--runs", type=_count, default=5, metavar="N", help="of which medians are taken (%(default)s)")
    add_("--requests", type=_count, default=1_000_000, metavar="N", help="of redis' long load (%(default)s)")
    add_(
        "--growth", type=float, nargs="+", default=_GROWTH, metavar="MILLIONS",
        help=f"interactions of growth's platforms, in millions ({' '.join(map(str, _GROWTH))})",
    )  # fmt: skip
    add_("--folder", type=Path, default=Path(".bench"), metavar="DIR", help="data and logs (%(default)s)")
    add_("--json", type=Path, metavar="FILE", help="everything that was measured")
    add_("--markdown", type=Path, metavar="FILE", help="write the table between the file's marks")
    add_("--plot", type=Path, nargs="?", const=_IMAGES, metavar="DIR", help="pictures (into %(const)s)")
    command.set_defaults(run=run)

    listing = commands.add_parser("list", help="what `run` can measure, and this list")
    listing.set_defaults(run=list_all, others=commands)


def list_all(arguments: argparse.Namespace) -> int:
    """Every benchmark, a line each. Returns the exit code."""
    others = {action.dest: action.help for action in arguments.others._choices_actions}
    width = max(map(len, [*_BY_NAME, *others]))
    for benchmark in ALL:
        print(f"run {benchmark.name:{width}}  {benchmark.help}")
    for name, help_ in others.items():
        if name not in ("run", "list"):
            print(f"    {name:{width}}  {help_}")
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Returns the exit code: 0 when everything was measured, whether it meets its target or not.

    Raises UnusableFile, ConfigurationError, DemoError, psycopg2.Error.
    """
    if arguments.plot:
        report.check_plots()
    document = Marked(arguments.markdown, _MARK) if arguments.markdown else None
    platform = Platform(Size(arguments.users, arguments.titles, arguments.interactions))
    chosen = [benchmark for benchmark in ALL if {benchmark.name, _EVERYTHING} & set(arguments.names)]
    pace = Pace()
    say, terminal = _Progress(pace), report.console()
    figures: list[Figure] = []
    missing: list[Missing] = []
    profiles: dict[str, str] = {}
    with opened(arguments.folder, contents(platform, say), say) as stage:
        setup = _setup(arguments, stage, platform, say)
        found = _report(report.machine(stage), arguments, platform, figures, missing, profiles, pace)
        for benchmark in chosen:
            with say.during(benchmark.name):
                say(f"{benchmark.name}: begins")
                _measure(benchmark, setup, figures, missing)
            if profile := _profile(benchmark, setup, figures):
                profiles[benchmark.name] = profile
            # Each time: what was measured is kept whatever becomes of the next, half an hour later.
            _write(found, arguments, document)
    found.show(terminal)
    return 1 if missing else 0


def _setup(arguments: argparse.Namespace, stage: Stage, platform: Platform, say: _Progress) -> Setup:
    return Setup(
        stage=stage,
        platform=platform,
        runs=arguments.runs,
        requests=arguments.requests,
        growth=[round(millions * 1_000_000) for millions in arguments.growth],
        say=say,
    )


def _measure(benchmark: Benchmark, setup: Setup, figures: list[Figure], missing: list[Missing]) -> None:
    """One that cannot be measured does not keep the others from it."""
    measured = len(figures)
    try:
        for figure in benchmark.measure(setup):
            setup.say(f"{figure.target.row}: {figure.words} ({figure.details})")
            figures.append(figure)
    except (DemoError, ServiceError, psycopg2.Error, psutil.Error, OSError, ImportError) as error:
        setup.say(f"{benchmark.name} cannot be measured: {error}")
        reason = " ".join(str(error).split())
        missing += [Missing(target, reason) for target in benchmark.targets[len(figures) - measured :]]


def _profile(benchmark: Benchmark, setup: Setup, figures: Sequence[Figure]) -> str | None:
    """Where its time goes, if one of its targets is missed."""
    missed = any(figure.met is False and figure.target in benchmark.targets for figure in figures)
    return benchmark.profile(setup) if missed else None


def _report(
    machine: Sequence[str],
    arguments: argparse.Namespace,
    platform: Platform,
    figures: Sequence[Figure],
    missing: Sequence[Missing],
    profiles: Mapping[str, str],
    pace: Pace,
) -> Report:
    size = platform.size
    held = f"{size.users:,} users, {size.titles:,} titles, {size.interactions:,} interactions; {arguments.runs} runs"
    command = f"python -m benchmarks {shlex.join(sys.argv[1:])}"
    return Report(command, [*machine, held], figures, missing, profiles, pace)


def _write(found: Report, arguments: argparse.Namespace, document: Marked | None) -> None:
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(found.as_record(), indent=2) + "\n", encoding="utf-8")
    pictures = report.draw(found.figures, arguments.plot) if arguments.plot else {}
    if document:
        folder = arguments.markdown.parent
        document.fill(found.as_markdown({title: os.path.relpath(file, folder) for title, file in pictures.items()}))


class _Progress:
    """Says on standard error what is going on, and since when; looks at the machine's pace at the same moments."""

    def __init__(self, pace: Pace) -> None:
        self._begun = time.monotonic()
        self._pace = pace
        self._during: str | None = None

    def __call__(self, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._begun), 60)
        print(f"{minutes:3}:{seconds:02}  {text}", file=sys.stderr, flush=True)
        if self._during:
            self._pace.look(self._during)

    @contextmanager
    def during(self, benchmark: str) -> Iterator[None]:
        """What is said within the block is said of this benchmark."""
        self._during = benchmark
        try:
            yield
        finally:
            self._during = None


def _count(text: str) -> int:
    if not (text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)
