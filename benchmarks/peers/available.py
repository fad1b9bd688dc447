"""Which peers there are here."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from benchmarks.peers.peer import Peer, Unavailable

LIBRARIES: Final = {
    "implicit": "benchmarks.peers.implicit_peers",
    "lenskit": "benchmarks.peers.lenskit_peers",
}


def available(*, threads: int = 1) -> tuple[list[Peer], list[Unavailable]]:
    """Every peer that can be had, and every library that cannot, with the reason.

    lenskit keeps the threads of the first call for as long as the process lives.
    """
    peers: list[Peer] = []
    missing: list[Unavailable] = []
    for library, module in LIBRARIES.items():
        try:
            import_module(library)  # first, so that the reason is its own
            peers += import_module(module).peers(threads=threads)
        except (ImportError, OSError) as error:  # OSError: a shared library that the wheel leans on is not there
            missing.append(Unavailable(library, f"{type(error).__name__}: {error}"))
    return peers, missing
