"""Freed memory, given back to the system."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Where the C library can (glibc): what was made in many pieces leaves gaps when it goes, and they count as the
    process's memory until then."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
