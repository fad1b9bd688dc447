"""What a process does before it forks others, so that they share its memory."""

from __future__ import annotations

import gc

from shared.scorer import warm_up


def prepare_to_fork() -> None:
    """Have the scorer's loops compiled, and nothing of what is there written to by the children's collections, which
    would copy it. Nothing connects. Import first whatever they need."""
    warm_up()
    gc.freeze()
