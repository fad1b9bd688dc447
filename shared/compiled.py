"""Functions compiled to machine code, for loops that numpy has no words for. The only room that knows numba.

What is compiled is kept beside the source, or in NUMBA_CACHE_DIR: only a machine's very first call waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

from numba import njit

P = ParamSpec("P")
T = TypeVar("T")


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """The same function, compiled at its first call. It does not hold the interpreter's lock."""

    @cache  # not before the first call: numba looks for a folder to keep it in
    def program() -> Any:
        try:
            return njit(cache=True, nogil=True)(function)
        except RuntimeError:  # there is no such folder: each process compiles its own
            return njit(nogil=True)(function)

    @wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        result: T = program()(*arguments, **named)
        return result

    return call


def inlined(function: Callable[P, T]) -> Callable[P, T]:
    """A part of functions that are compiled, and compiled with them."""
    program: Callable[P, T] = njit(nogil=True)(function)
    return program
