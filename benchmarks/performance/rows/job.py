"""A job of every user, from its submission to its last result.

Two worker processes; gateway, PostgreSQL, Valkey and the one who waits are beside them on the same cores.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final
from uuid import UUID

from benchmarks.performance import profiles
from benchmarks.performance.figures import Figure, Sense, Target
from benchmarks.performance.processor import Spent, in_words, median_of
from benchmarks.performance.rows.uncached import warm_up
from benchmarks.performance.setup import Setup
from benchmarks.stage import PROCESSES
from demo.client import Client
from demo.errors import WrongAnswer
from gateway.app import create_app

TARGETS: Final = (Target("job", "A job of every user, 2 worker processes", "users/s", Sense.AT_LEAST, 2000),)
_MOST_RUNS: Final = 3  # a run takes half a minute
_WARM_UP: Final = 2000  # users
_PROFILED: Final = 5000  # users
_TITLES: Final = 10  # per user, as without a limit
_POLL_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 600.0


def measure(setup: Setup) -> Iterator[Figure]:
    """Users per second."""
    [target] = TARGETS
    warm_up(setup.stage)
    users, seconds, spent, stage = setup.users(setup.platform.size.users), [], [], setup.stage
    with setup.stage.gateway() as gateway, setup.stage.worker(gateway) as worker:
        finish(gateway.client, users[:_WARM_UP])
        for turn in range(min(setup.runs, _MOST_RUNS)):
            setup.say(f"job of {len(users):,} users: run {turn + 1} of {min(setup.runs, _MOST_RUNS)}")
            meter = Spent(worker=worker, gateway=gateway.process, PostgreSQL=stage.postgres, Valkey=stage.valkey)
            seconds.append(finish(gateway.client, users, read=turn == 0))
            spent.append(meter.per(len(users)))
    yield Figure(
        target,
        len(users) / median(seconds),
        f"{len(users):,} users in {median(seconds):.1f} s, median of {len(seconds)}; {PROCESSES} processes; "
        f"processor time of a user: {in_words(median_of(spent))}",
        {"seconds": seconds, "processor_seconds": spent},
    )


def profile(setup: Setup) -> str:
    """Of chunks, without the queue."""
    users = setup.users(_PROFILED)
    app = create_app(setup.stage.settings())
    try:
        parts = app.extensions["parts"]
        size = parts.settings.chunk_users

        def chunks() -> None:
            for start in range(0, len(users), size):
                parts.recommender.rank_chunk(users[start : start + size], limit=_TITLES)

        return profiles.of(chunks, f"{len(users):,} users in chunks of {size}, without the queue")
    finally:
        app.extensions["parts"].close()


def finish(client: Client, users: Sequence[UUID], *, read: bool = True) -> float:
    """Seconds from the submission of a job to the moment when its last result can be read. Raises WrongAnswer.

    read: see, afterwards, that every result can be; which takes as long again.
    """
    begun = time.perf_counter()
    body = {"user_ids": [str(user) for user in users]}
    headers = {"Prefer": "respond-async"}
    job = client.post("/api/recommendations/batch", body, expect=202, headers=headers).body
    address = f"/api/jobs/{job['job_id']}"
    while job["state"] in ("accepted", "running"):
        if time.perf_counter() - begun > _PATIENCE_SECONDS:
            raise WrongAnswer(f"{address} did not end in {_PATIENCE_SECONDS:.0f} s: {job}")
        time.sleep(_POLL_SECONDS)
        job = client.get(address).body
    ended = time.perf_counter() - begun
    if (job["state"], job["done"]) != ("completed", len(users)):
        raise WrongAnswer(f"{address} ended as {job}")
    if read:
        found = {line["user_id"] for line in client.lines(f"{address}/results")}
        if found != set(body["user_ids"]):
            raise WrongAnswer(f"{address} has results of {len(found)} users, not of {len(users)}")
    return ended
