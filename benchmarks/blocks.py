"""`python -m benchmarks blocks`: one training by one process, and split over workers; how long, and the same bytes?

A made-up platform in a PostgreSQL and a Valkey of its own, `python -m worker train` and `python -m worker run` as
processes of one thread each, so that every row of the table has as many processors at work as it says. Nothing is
searched for: the default model is made, in each row from the database to the published files. They take turns, and the
fastest of each is told, since whatever else the machine does only makes them slower.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import uuid4

from benchmarks.platform.loading import load
from benchmarks.platform.synthetic import Platform, Size
from demo.databases import create_schemas
from demo.errors import ServerError
from demo.process import PROJECT, Process
from demo.servers import Postgres, Valkey
from shared.model import ARRAYS, checksum

_READY_SECONDS: Final = 120.0
_MADE: Final = re.compile(r"model \S+: \d+ titles, (?P<seconds>[0-9.]+) s")  # how long S and publishing took
_BLOCKS: Final = re.compile(r"workers made (?P<workers>\d+) of them, the trainer (?P<trainer>\d+)")


@dataclass(frozen=True)
class Run:
    """One training, and what it came to."""

    name: str
    seconds: float  # the whole of `python -m worker train`
    making: float  # of these: making the rows, and publishing them
    by_workers: int | None  # blocks; None when it was not split
    blocks: int | None
    checksums: Mapping[str, str]  # array name -> SHA-256 of the published file


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Say what the benchmark takes."""
    command = commands.add_parser("blocks", help="a training split over workers, beside one process")
    command.add_argument("--users", type=int, default=70_000, metavar="N", help="(%(default)s)")
    command.add_argument("--titles", type=int, default=15_000, metavar="N", help="(%(default)s)")
    command.add_argument("--interactions", type=int, default=10_270_000, metavar="N", help="rows (%(default)s)")
    command.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], metavar="N", help="(1 2 4)")
    command.add_argument("--block-titles", type=int, default=500, metavar="N", help="of one block (%(default)s)")
    command.add_argument("--rounds", type=int, default=3, metavar="N", help="of which the fastest counts (%(default)s)")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Returns the exit code: 1 when bytes differ."""
    size = Size(arguments.users, arguments.titles, arguments.interactions)
    rounds = measure(size, arguments.workers, block_titles=arguments.block_titles, rounds=arguments.rounds)
    single = rounds[0][0]
    same = all(one.checksums == single.checksums for runs in rounds for one in runs)
    _show(size, [min(runs, key=lambda one: one.making) for runs in zip(*rounds, strict=True)])
    return int(not same)


def _show(size: Size, runs: Sequence[Run]) -> None:
    """The table, with the fastest run of each kind."""
    cores = len(os.sched_getaffinity(0))
    print(f"{size.users:,} users, {size.titles:,} titles, {size.interactions:,} interactions, {cores} cores\n")
    print("| a training by | whole | of which rows and publishing | beside one process | blocks by workers | bytes |")
    print("|---|---:|---:|---:|---:|---|")
    single = runs[0]
    for one in runs:
        blocks = "" if one.blocks is None else f"{one.by_workers} of {one.blocks}"
        same = "" if one is single else "the same" if one.checksums == single.checksums else "DIFFERENT"
        ratio = one.making / max(single.making, 0.1)
        print(f"| {one.name} | {one.seconds:.1f} s | {one.making:.1f} s | {ratio:.2f} | {blocks} | {same} |")
    print(
        "\nTrainer and workers have a thread each, and the trainer makes blocks, too: n workers are n + 1 threads.\n"
        f"This machine has {cores} cores: with {max(1, cores - 1)} of the workers all are busy, and more only take a\n"
        "larger share from whatever else runs here. On two cores four workers cannot be faster than two.\n"
        "On one machine the trainer's own threads (TRAINING_THREADS) do as well; workers are for other machines."
    )


def measure(size: Size, workers: Sequence[int], *, block_titles: int, rounds: int) -> list[list[Run]]:
    """Round by round the same training by one process with a thread, by one with a thread per core, and with so many
    workers."""
    with TemporaryDirectory() as name, _platform(Path(name), size) as environment:
        split = environment | {"TRAINING_BLOCK_TITLES": str(block_titles)}
        return [_round(workers, environment, split, Path(name)) for _ in range(rounds)]


def _round(workers: Sequence[int], environment: Mapping[str, str], split: Mapping[str, str], folder: Path) -> list[Run]:
    threads = str(len(os.sched_getaffinity(0)))
    runs = [
        _train("one process, one thread", environment),
        _train(f"one process, {threads} threads", {**environment, "TRAINING_THREADS": threads}),
    ]
    for count in workers:
        with _workers(count, split, folder):
            runs.append(_train(f"the trainer and {count} worker{'s' * (count > 1)}", split))
    return runs


def _train(name: str, environment: Mapping[str, str]) -> Run:
    print(f"training: {name}", file=sys.stderr, flush=True)
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "worker", "train"],
        cwd=PROJECT, env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    making, blocks = _MADE.search(done.stderr), _BLOCKS.search(done.stderr)
    if done.returncode or not making:
        raise ServerError(f"the training failed:\n{done.stderr}")
    store = Path(environment["MODEL_STORE"])
    version = store / (store / "CURRENT").read_text(encoding="ascii").strip()
    return Run(
        name=name,
        seconds=seconds,
        making=float(making["seconds"]),
        by_workers=int(blocks["workers"]) if blocks else None,
        blocks=int(blocks["workers"]) + int(blocks["trainer"]) if blocks else None,
        checksums={array: checksum(version / f"{array}.npy") for array in ARRAYS},
    )


@contextlib.contextmanager
def _platform(folder: Path, size: Size) -> Iterator[dict[str, str]]:
    """Servers with the platform on them, and the service's environment for them."""
    with (
        Postgres(folder / "postgres", durable=False) as postgres,
        Valkey(folder / "valkey", appendonly=False) as valkey,
    ):
        dsns = create_schemas(postgres)
        load(Platform(size), dsns, progress=_say)
        yield {f"{name.upper()}_URL": dsn for name, dsn in dsns.items()} | {
            "REDIS_URL": valkey.url(0),
            "BROKER_URL": valkey.url(1),
            "MODEL_STORE": str(folder / "models"),
            "MODEL_CACHE": str(folder / "cache"),
            "MODEL_VERSIONS_KEPT": "100",
            "TRAINING_BUDGET_SECONDS": "0",
            "TRAINING_THREADS": "1",
            "WORKER_CONCURRENCY": "1",
        }


def _say(done: int, rows: int) -> None:
    print(f"loading: {done:,} of {rows:,} interactions", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _workers(count: int, environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    """So many workers, from when they are ready."""
    with contextlib.ExitStack() as running:
        logs = [folder / f"worker-{uuid4().hex}.log" for _ in range(count)]
        for number, log in enumerate(logs):
            command = [sys.executable, "-m", "worker", "run", "--name", f"{number}@%h"]
            worker = Process(command, log=log, environment=environment, grace=60)
            running.callback(worker.stop)
        deadline = time.monotonic() + _READY_SECONDS
        while not all("is ready: " in log.read_text(errors="replace") for log in logs):
            if time.monotonic() > deadline:
                raise ServerError(f"the workers are not ready; see {folder}")
            time.sleep(0.1)
        yield
