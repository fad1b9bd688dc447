"""A list that is computed anew, through gunicorn, beside the seed's SQL for the same users.

Each request is of another user, with `Cache-Control: no-cache`. PostgreSQL is warm: the advised index was read once.
The seed asks the table itself; it had indexes on user_id (the advised one begins with it) and on media_id (made for it,
and dropped again).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any, Final
from uuid import UUID

import numpy as np

from benchmarks.performance import profiles
from benchmarks.performance.figures import Figure, Plot, Sense, Target
from benchmarks.performance.load import Load, drive
from benchmarks.performance.processor import Spent, in_words, median_of
from benchmarks.performance.setup import Setup
from benchmarks.stage import Gateway, Stage

_MEDIAN = Target("uncached-median", "An uncached GET, 1 connection", "ms", Sense.AT_MOST, 5, "median")
_P99 = Target("uncached-p99", "The same, slowest of a hundred", "ms", Sense.AT_MOST, 20, "p99")
_RATE = Target("uncached-rate", "Uncached GETs, 8 connections", "requests/s", Sense.AT_LEAST, 300)
_SEED = Target(
    "uncached-seed", "The seed's SQL, by an uncached GET of the same user", "times", Sense.AT_LEAST, 1000, "as long"
)
TARGETS: Final = (_MEDIAN, _P99, _RATE, _SEED)

_NO_CACHE: Final = {"Cache-Control": "no-cache"}
_USERS: Final = 2000  # of a run
_WARM_UP: Final = 500
_CONNECTIONS: Final = 8
_SEED_SHARES: Final = (0.1, 0.3, 0.5, 0.7, 0.9)  # of users with shorter histories than the ones the seed is asked for
_SEED_GETS: Final = 21  # of each of them
_SEED_RUNS: Final = 2  # the faster counts

# "Find users who share titles with me; score the titles they liked by how many of them did, weighted by how much we
# share", the titles I know left out.
_SEED_SQL: Final = """
    WITH mine AS (
        SELECT media_id FROM interaction WHERE user_id = %(user)s AND type IN ('LIKE', 'WATCH')
    ), similar_users AS (
        SELECT other.user_id, count(*) AS shared
          FROM interaction AS other JOIN mine USING (media_id)
         WHERE other.user_id <> %(user)s AND other.type IN ('LIKE', 'WATCH')
         GROUP BY other.user_id
    )
    SELECT liked.media_id, sum(similar_users.shared) AS score
      FROM interaction AS liked JOIN similar_users USING (user_id)
     WHERE liked.type IN ('LIKE', 'WATCH')
       AND liked.media_id NOT IN (SELECT media_id FROM interaction WHERE user_id = %(user)s)
     GROUP BY liked.media_id
     ORDER BY score DESC
     LIMIT 200
"""


def address(user: UUID) -> str:
    """Of a user's list."""
    return f"/api/recommendations/{user}"


def warm_up(stage: Stage) -> None:
    """Read the index that histories are read from once, so that it is in memory."""
    stage.sql(
        "engagement_db",
        """
        SET enable_seqscan = off;
        SET enable_bitmapscan = off;
        SELECT count(media_id), max("timestamp") FROM interaction WHERE user_id > %(least)s
        """,
        {"least": str(UUID(int=0))},
    )


def measure(setup: Setup) -> Iterator[Figure]:
    """All four rows, on one gateway."""
    warm_up(setup.stage)
    with setup.stage.gateway() as gateway:
        paths = [address(user) for user in setup.users(_USERS * setup.runs)]
        drive(gateway.port, paths[-_WARM_UP:], requests=_WARM_UP, connections=_CONNECTIONS, headers=_NO_CACHE)
        alone, together, spent, stage = [], [], [], setup.stage
        for turn in setup.turns("uncached, distinct users"):
            part = paths[turn :: setup.runs]
            alone.append(drive(gateway.port, part, requests=len(part), headers=_NO_CACHE))
            meter = Spent(gateway=gateway.process, PostgreSQL=stage.postgres, Valkey=stage.valkey)
            together.append(drive(gateway.port, part, requests=len(part), connections=_CONNECTIONS, headers=_NO_CACHE))
            spent.append(meter.per(len(part)))
        yield from _latencies(alone)
        rates = [load.rate for load in together]
        yield Figure(
            _RATE,
            median(rates),
            f"{_each(together)}; p99 {median(load.percentile(0.99) for load in together) * 1000:.1f} ms; "
            f"processor time of a request: {in_words(median_of(spent))}",
            {"rates": rates, "processor_seconds": spent},
        )
        yield _beside_the_seed(setup, gateway)


def profile(setup: Setup) -> str:
    """Of distinct users' lists."""
    paths = [address(user) for user in setup.users(_WARM_UP)]
    return profiles.of_requests(setup.stage, paths, headers=_NO_CACHE)


def _latencies(loads: Sequence[Load]) -> Iterator[Figure]:
    medians, last = ([load.percentile(share) * 1000 for load in loads] for share in (0.5, 0.99))
    everything = np.sort(np.concatenate([load.latencies for load in loads])) * 1000
    shares = np.linspace(0, 1, 201)[1:]
    curve = [(float(np.quantile(everything, share)), float(share * 100)) for share in shares]
    plot = Plot(
        "uncached", "Uncached GETs of distinct users, 1 connection", "ms", "% answered", {"this service": curve}
    )
    yield Figure(_MEDIAN, median(medians), _each(loads), {"milliseconds": medians}, [plot])
    yield Figure(_P99, median(last), f"largest of all {everything[-1]:.1f} ms", {"milliseconds": last})


def _each(loads: Sequence[Load]) -> str:
    return f"{len(loads[0].latencies):,} users a run, median of {len(loads)}"


def _beside_the_seed(setup: Setup, gateway: Gateway) -> Figure:
    ratios, told, bars, samples = [], [], {}, []
    with _index_on_titles(setup):
        for user, length in _of_different_lengths(setup):
            seconds = min(_seconds_of_the_seed(setup, user) for _ in range(_SEED_RUNS))
            ours = drive(gateway.port, [address(user)], requests=_SEED_GETS, headers=_NO_CACHE).percentile(0.5)
            ratios.append(seconds / ours)
            told.append(f"{length} titles {seconds:,.2f} s beside {ours * 1000:.1f} ms")
            bars[f"{length} titles"] = {"the seed's SQL": seconds * 1000, "this service": ours * 1000}
            samples.append({"titles": length, "seed_seconds": seconds, "seconds": ours})
            setup.say(f"seed: {told[-1]}")
    plot = Plot("seed", "One user's list, computed", "", "ms, logarithmic", bars=bars)
    return Figure(_SEED, median(ratios), "histories of " + "; ".join(told), {"users": samples}, [plot])


def _of_different_lengths(setup: Setup) -> list[tuple[UUID, int]]:
    """Users with the lengths of their histories."""
    counts: list[tuple[Any, ...]] = setup.stage.sql(
        "engagement_db",
        "SELECT user_id, count(*) FROM interaction WHERE user_id = ANY(%(users)s::uuid[]) GROUP BY 1 ORDER BY 2, 1",
        {"users": [str(user) for user in setup.users(_USERS)]},
    )
    return [(UUID(str(user)), count) for user, count in (counts[int(share * len(counts))] for share in _SEED_SHARES)]


def _seconds_of_the_seed(setup: Setup, user: UUID) -> float:
    begun = time.perf_counter()
    setup.stage.sql("engagement_db", _SEED_SQL, {"user": str(user)})
    return time.perf_counter() - begun


@contextlib.contextmanager
def _index_on_titles(setup: Setup) -> Iterator[None]:
    """As the seed's platform has it; no query of ours asks by title, so it changes nothing for us."""
    setup.say("seed: an index on media_id is made")
    setup.stage.sql("engagement_db", "CREATE INDEX IF NOT EXISTS of_the_seed ON interaction (media_id)")
    setup.stage.sql("engagement_db", "ANALYZE interaction")
    try:
        yield
    finally:
        setup.stage.sql("engagement_db", "DROP INDEX of_the_seed")
