"""`python -m benchmarks filters`: what a filter costs, beside the same request without one.

MovieLens in a PostgreSQL and a Valkey of its own, a trained model, and the gateway in this process. Every request is
computed anew (`Cache-Control: no-cache`). The requests take turns, user by user, so that whatever else the machine does
falls on all alike.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import UUID

import numpy as np
from flask.testing import FlaskClient

from benchmarks.stage import Contents, opened
from demo.databases import load_sample
from demo.movielens import Sample, read_movielens
from gateway.app import create_app

_SEED: Final = 1
_WARM_UP: Final = 20  # users


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Say what the benchmark takes."""
    command = commands.add_parser("filters", help="what a filter costs, beside the same request without one")
    command.add_argument("--users", type=int, default=300, metavar="N", help="users asked for (%(default)s)")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Returns the exit code."""
    sample = read_movielens()
    draw = random.Random(_SEED)  # noqa: S311 - which users, no secret
    users = [user.id for user in draw.choices(sample.users, k=arguments.users + _WARM_UP)]
    with TemporaryDirectory() as folder, _gateway(Path(folder), sample) as client:
        seconds = _measure(client, users, _variants(sample, draw))
    plain = np.median(seconds["no filter"])
    print(f"| request, computed anew, {arguments.users} users | median | beside no filter |")
    print("|---|---:|---:|")
    for name, times in seconds.items():
        print(f"| {name} | {np.median(times) * 1000:.2f} ms | {np.median(times) / plain:.2f} |")
    return 0


def _variants(sample: Sample, draw: random.Random) -> dict[str, dict[str, Any]]:
    """What is asked beside nothing, by name."""
    many = [str(title.id) for title in draw.sample(sample.titles, 500)]
    return {
        "no filter": {},
        "a genre of two": {"genres_any": ["Comedy", "Drama"]},
        "both genres, none of another": {"genres_all": ["Comedy", "Romance"], "genres_none": ["Drama"]},
        "years": {"year_from": 1990, "year_to": 1999},
        "few titles pass": {"genres_all": ["Film-Noir"], "year_from": 1990},
        "500 ids excluded": {"exclude": many},
        "all at once": {
            "genres_any": ["Comedy", "Drama"],
            "genres_none": ["Horror"],
            "media_type": ["MOVIE"],
            "year_from": 1980,
            "exclude": many,
        },
    }


def _measure(
    client: FlaskClient, users: Sequence[UUID], variants: Mapping[str, dict[str, Any]]
) -> dict[str, list[float]]:
    """Seconds of each user's request by variant, without those of the warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for place, user in enumerate(users):
        if place % 50 == 0:
            _say(f"{place} of {len(users)} users")
        for name, asked in variants.items():
            begun = time.perf_counter()
            answer = client.post(f"/api/recommendations/{user}", json=asked, headers={"Cache-Control": "no-cache"})
            taken = time.perf_counter() - begun
            if answer.status_code != 200:
                raise SystemExit(f"benchmarks: {name}: {answer.text}")
            if place >= _WARM_UP:
                seconds[name].append(taken)
    return seconds


@contextlib.contextmanager
def _gateway(folder: Path, sample: Sample) -> Iterator[FlaskClient]:
    """The whole service, but for its processes."""

    def fill(dsns: Mapping[str, str]) -> None:
        load_sample(sample, dsns["user_db"], dsns["catalog_db"], dsns["engagement_db"])

    with opened(folder, Contents("MovieLens", fill), _say) as stage:
        app = create_app(stage.settings())
        try:
            yield app.test_client()
        finally:
            app.extensions["parts"].close()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
