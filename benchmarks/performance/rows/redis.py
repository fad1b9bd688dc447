"""What the cache takes of Redis, that every key of it ends, and that nothing grows with uptime."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, Final, TypeAlias

import numpy as np
import psutil
from redis import Redis

from benchmarks.performance.figures import Figure, Plot, Sense, Target
from benchmarks.performance.load import drive
from benchmarks.performance.rows.uncached import address
from benchmarks.performance.setup import Setup
from benchmarks.stage import Gateway

_BYTES = Target("redis-user", "Redis per cached user, 200 titles", "bytes", Sense.AT_MOST, 4096, "on average")
_ENDLESS = Target("redis-ttl", "Keys of the cache without an end", "keys", Sense.AT_MOST, 0)
_GROWTH = Target(
    "redis-growth", "Growth in the second half of a long load", "%", Sense.AT_MOST, 5, "of memory, keys, resident sets"
)
TARGETS: Final = (_BYTES, _ENDLESS, _GROWTH)

_LISTS: Final = b"list:*"
_USERS: Final = 1000
_CONNECTIONS: Final = 8
_SAMPLES: Final = range(4, 61)  # of the long load
_BETWEEN_SAMPLES: Final = 500  # requests, at least
_PACE: Final = 700  # requests/s: fewer than can be answered, or the lists there are would tell how fast the machine is
_LIFE_SECONDS: Final = 120  # of a list, so that as many end as come
_SKEW: Final = 1.2  # a user's share of the requests falls with the user's rank to this power: most are then cached
_SEED: Final = 1
_BATCH: Final = 500  # users of a request, where everybody is asked for

_Sample: TypeAlias = Mapping[str, float]


def measure(setup: Setup) -> Iterator[Figure]:
    """All three rows."""
    with Redis.from_url(setup.stage.valkey.url(0)) as cache:
        cache.flushdb()
        with setup.stage.gateway() as gateway:
            paths = [address(user) for user in setup.users(_USERS)]
            setup.say(f"redis: {len(paths):,} lists are put into the cache")
            drive(gateway.port, paths, requests=len(paths), connections=_CONNECTIONS)
        yield _of_a_list(cache)  # what was on its way to Redis is there when the gateway has ended
        yield _without_end(cache)
        cache.flushdb()
        with setup.stage.gateway(cache_seconds=_LIFE_SECONDS, batch_sync_users=_BATCH) as gateway:
            _ask_for_everybody(setup, gateway)
            yield _growth(setup, cache, gateway)


def _of_a_list(cache: Redis) -> Figure:
    sizes = [cache.memory_usage(key, samples=0) or 0 for key in cache.scan_iter(_LISTS, count=1000)]
    return Figure(
        _BYTES,
        float(np.mean(sizes)),
        f"largest {max(sizes):,}; {len(sizes):,} lists, key included",
        {"mean": float(np.mean(sizes)), "largest": max(sizes), "lists": len(sizes)},
    )


def _without_end(cache: Redis) -> Figure:
    keys = list(cache.scan_iter(count=1000))
    pipeline: Any = cache.pipeline(transaction=False)
    for key in keys:
        pipeline.ttl(key)
    endless = [key.decode(errors="replace") for key, left in zip(keys, pipeline.execute(), strict=True) if left == -1]
    return Figure(_ENDLESS, len(endless), f"of {len(keys):,}", {"keys": len(keys), "endless": endless[:20]})


def _ask_for_everybody(setup: Setup, gateway: Gateway) -> None:
    """So that whatever title is shown is kept already. Titles live for an hour, longer than the load; the catalogue is
    their bound, and the way there is no growth with uptime."""
    users = [str(user) for user in setup.users(setup.platform.size.users)]
    setup.say(f"redis: everybody is asked for once, {len(users):,} users")
    for start in range(0, len(users), _BATCH):
        gateway.client.post("/api/recommendations/batch", {"user_ids": users[start : start + _BATCH]})


def _growth(setup: Setup, cache: Redis, gateway: Gateway) -> Figure:
    users = setup.users(setup.platform.size.users)
    shares = list(accumulate((rank + 1) ** -_SKEW for rank in range(len(users))))
    draw = random.Random(_SEED)  # noqa: S311 - who asks, no secret
    count = max(_SAMPLES.start, min(_SAMPLES.stop - 1, setup.requests // _BETWEEN_SAMPLES))
    samples, done, begun = [], 0, time.monotonic()
    for start, end in pairwise(np.linspace(0, setup.requests, count + 1).astype(int).tolist()):
        asked = draw.choices(users, cum_weights=shares, k=end - start)
        drive(gateway.port, [address(user) for user in asked], requests=len(asked), connections=_CONNECTIONS)
        time.sleep(max(0, begun + end / _PACE - time.monotonic()))
        done = end
        samples.append(_sample(cache, gateway) | {"requests": done})
        setup.say(f"redis: {done:,} of {setup.requests:,} requests, {samples[-1]['keys']:,.0f} keys")
    growths = {name: _in_the_second_half(samples, name) for name in ("memory", "keys", "resident")}
    told = ", ".join(f"{name} {growth:+.1f} %" for name, growth in growths.items())
    lines = {
        "Valkey, MB": [(sample["requests"], sample["memory"]) for sample in samples],
        "keys, thousands": [(sample["requests"], sample["keys"] / 1000) for sample in samples],
        "gateway, resident MB": [(sample["requests"], sample["resident"]) for sample in samples],
    }
    return Figure(
        _GROWTH,
        max(growths.values()),
        f"{told}; {done:,} requests, {_PACE:,} a second, of {len(users):,} users by a power law; lists live "
        f"{_LIFE_SECONDS} s",
        {"samples": samples, "growth_percent": growths},
        [Plot("redis", f"A long load, lists that live {_LIFE_SECONDS} s", "requests", "", lines, apart=True)],
    )


def _sample(cache: Redis, gateway: Gateway) -> dict[str, float]:
    memory: Any = cache.info("memory")
    processes = psutil.Process(gateway.process.pid).children()
    return {
        "memory": memory["used_memory"] / 1e6,
        "keys": float(cache.dbsize()),
        "resident": sum(process.memory_info().rss for process in processes) / 1e6,
    }


def _in_the_second_half(samples: Sequence[_Sample], name: str) -> float:
    """By how many per cent the straight line through the second half rises, of what it begins with."""
    half = samples[len(samples) // 2 :]
    if len(half) < 2:
        return 0.0
    x, y = [sample["requests"] for sample in half], [sample[name] for sample in half]
    rise, base = np.polyfit(x, y, 1)
    return float(rise * (x[-1] - x[0]) / (base + rise * x[0]) * 100)
