"""`python -m benchmarks accuracy`: our models and other libraries', side by side on real interactions."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.contest import enter
from benchmarks.datasets import DATA, DATASETS, Dataset
from benchmarks.marked import Marked
from benchmarks.peers.available import available
from benchmarks.results import Result, as_markdown, as_record
from shared.model_settings import ModelSettings
from worker.commands.progress import Watch
from worker.training.evaluation import evaluate
from worker.training.split import Protocol


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Say what the benchmark takes."""
    command = commands.add_parser("accuracy", help="our models against implicit and lenskit, on three real sets")
    names = [dataset.name for dataset in DATASETS]
    command.add_argument("--data", type=Path, default=DATA, metavar="DIR", help="where the sets are (%(default)s)")
    command.add_argument("--sets", nargs="+", choices=names, default=names, help="default: all")
    command.add_argument("--split", type=Protocol, choices=[Protocol.TEMPORAL, Protocol.RANDOM], default="temporal")
    command.add_argument("--budget", type=float, metavar="SECONDS", help="our search (TRAINING_BUDGET_SECONDS)")
    command.add_argument(
        "--peer-budget", type=float, default=120, metavar="SECONDS", help="for tuning each peer (%(default)s)"
    )
    command.add_argument("--threads", type=int, default=2, metavar="N", help="of the peers (%(default)s)")
    command.add_argument("--json", type=Path, metavar="FILE", help="everything that was measured")
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables between the file's marks")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Returns the exit code: 1 when on some set the chosen model is behind the best peer. Raises UnusableFile."""
    budget = {} if arguments.budget is None else {"training_budget_seconds": arguments.budget}
    settings = ModelSettings.from_environment().changed(**budget)
    document = Marked(arguments.markdown, f"accuracy {arguments.split}") if arguments.markdown else None
    _, missing = available(threads=arguments.threads)
    results = []
    for dataset in DATASETS:
        if dataset.name in arguments.sets:
            results.append(_measure(dataset, settings, arguments))
            print(as_markdown(results[-1], missing), flush=True)
            # Each time: what was measured is kept whatever becomes of the next set, half an hour later.
            if arguments.json:
                records = [as_record(result, missing) for result in results]
                arguments.json.write_text(json.dumps(records, indent=2) + "\n")
            if document:
                document.fill([as_markdown(result, missing) for result in results])
    return 0 if all(result.ahead for result in results) else 1


def _measure(dataset: Dataset, settings: ModelSettings, arguments: argparse.Namespace) -> Result:
    started = time.perf_counter()
    task = dataset.task(arguments.data, arguments.split, settings)
    _say(f"{dataset.name}: {len(task.split.fit)} interactions learnt from, {len(task.split.held)} held out")
    with Watch(task.policy.budget_seconds) as watch:
        ours = evaluate(task, trying=watch.tried, measuring=watch.measuring)
    peers, _ = available(threads=arguments.threads)
    entries = [enter(peer, task, budget=arguments.peer_budget, say=_say) for peer in peers]
    return Result(dataset, task, ours, entries, time.perf_counter() - started)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
