"""What it takes that callers say who they are, and are counted: the requests of the other rows, through both walls.

Gateways with and without the walls are up all the time and are asked in turns. A service's token is HS256 and the same
for every request, as a back end sends it, so it is verified every ten seconds; it has one counter in Redis. A user's
own is RS256 and new with every request, so each is verified; it has two, one for the user and one for the address.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from benchmarks.performance.figures import Figure, Target
from benchmarks.performance.load import Load, drive
from benchmarks.performance.rows.uncached import address, warm_up
from benchmarks.performance.setup import Setup
from benchmarks.stage import Gateway

_UNCACHED = Target("guarded-uncached", "An uncached GET with a service's token, counted", "of the time without")
_OWN = Target("guarded-own", "The same with the user's own token", "of the time without")
_CACHED = Target("guarded-cached", "Cached GETs with a service's token, counted", "of the requests/s without")
TARGETS: Final = (_UNCACHED, _OWN, _CACHED)

_NO_CACHE: Final = {"Cache-Control": "no-cache"}
_USERS: Final = 1000  # of a run
_CACHED_USERS: Final = 100
_CACHED_REQUESTS: Final = 20_000
_CONNECTIONS: Final = 8
_SECRET: Final = "a secret that the issuer and the gateway share"  # noqa: S105 - of nothing else
_CLAIMS: Final = {"iss": "https://login.example.com", "aud": "recommendations"}
_OPEN, _KNOWN, _BOTH = "neither", "who they are", "both"


@dataclass(frozen=True)
class _Side:
    gateway: Gateway
    token: str | None  # a service's


def measure(setup: Setup) -> Iterator[Figure]:
    """All three rows."""
    warm_up(setup.stage)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file = setup.stage.folder / "issuer.pem"
    file.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    service = _token(_SECRET, "HS256", "back-end", scope="recommendations:read")
    with ExitStack() as up:
        sides = {
            name: _Side(up.enter_context(setup.stage.gateway(**changes)), service if changes else None)
            for name, changes in _settings(file).items()
        }
        yield from _uncached(setup, sides, key)
        yield _cached(setup, sides)


def _settings(keys: Path) -> Mapping[str, Mapping[str, Any]]:
    """Of the three gateways."""
    known = {
        "auth": "required",
        "jwt_secret": _SECRET,
        "jwt_keys_file": str(keys),
        "jwt_issuer": _CLAIMS["iss"],
        "jwt_audience": _CLAIMS["aud"],
    }
    return {_OPEN: {}, _KNOWN: known, _BOTH: known | {"rate_single": "300/minute", "rate_address_times": 100_000}}


def _token(key: Any, algorithm: str, subject: str, **claims: str) -> str:
    now = int(time.time())
    return jwt.encode(_CLAIMS | {"sub": subject, "iat": now, "exp": now + 86_400} | claims, key, algorithm=algorithm)


def _uncached(setup: Setup, sides: Mapping[str, _Side], key: Any) -> Iterator[Figure]:
    users = setup.users(_USERS * setup.runs)
    took: dict[str, list[float]] = {name: [] for name in (*sides, "own")}
    for turn in setup.turns("guarded, uncached, distinct users"):
        part = users[turn :: setup.runs]
        for name, side in sides.items():
            took[name].append(_median(side, part, [side.token] * len(part) if side.token else None))
        own = [_token(key, "RS256", str(user)) for user in part]
        took["own"].append(_median(sides[_BOTH], part, own))
    without, known, both, own_ms = (median(took[name]) for name in (_OPEN, _KNOWN, _BOTH, "own"))
    details = f"median {both:.2f} ms beside {without:.2f}; uncounted {known:.2f}; {_USERS:,} users a run, 1 connection"
    yield Figure(_UNCACHED, both / without, details, {"milliseconds": took})
    yield Figure(_OWN, own_ms / without, f"median {own_ms:.2f} ms beside {without:.2f}", {"milliseconds": took["own"]})


def _median(side: _Side, users: Sequence[UUID], tokens: Sequence[str] | None) -> float:
    """Milliseconds of a request, one after the other."""
    paths = [address(user) for user in users]
    load = drive(side.gateway.port, paths, requests=len(paths), headers=_NO_CACHE, tokens=tokens)
    return load.percentile(0.5) * 1000


def _cached(setup: Setup, sides: Mapping[str, _Side]) -> Figure:
    paths = [address(user) for user in setup.users(_CACHED_USERS)]
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in setup.turns(f"guarded, cached, {_CACHED_REQUESTS:,} requests"):
        for name, side in sides.items():
            _ask(side, paths, _CACHED_REQUESTS // 10)
            rates[name].append(_ask(side, paths, _CACHED_REQUESTS).rate)
    without, known, both = (median(rates[name]) for name in (_OPEN, _KNOWN, _BOTH))
    details = f"{both:,.0f} requests/s beside {without:,.0f}; uncounted {known:,.0f}; {_CONNECTIONS} connections"
    return Figure(_CACHED, both / without, details, {"rates": rates})


def _ask(side: _Side, paths: Sequence[str], requests: int) -> Load:
    tokens = [side.token] * len(paths) if side.token else None
    return drive(side.gateway.port, paths, requests=requests, connections=_CONNECTIONS, tokens=tokens)
