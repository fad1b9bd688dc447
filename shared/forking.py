"""What a process does before it forks others, so that they share its memory."""

from __future__ import annotations

import gc
from typing import Final

from shared.scorer import warm_up

# New objects between two collections. A chunk's pages are many objects and no cycles: with Python's 700, looking for
# cycles takes a fourth of the time that rendering them does.
_OBJECTS: Final = 10_000


def prepare_to_fork() -> None:
    """Have the scorer's loops compiled, and nothing of what is there written to by the children's collections, which
    would copy it. Nothing connects. Import first whatever they need."""
    warm_up()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS)
