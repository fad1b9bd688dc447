"""Functions compiled to machine code, for loops that numpy has no words for. The only room that knows numba.

What is compiled is kept beside the source, or in NUMBA_CACHE_DIR: only a machine's very first call waits for it. Not
where others could put something: it is a pickle to numba, and code.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """The same function, compiled at its first call. It does not hold the interpreter's lock."""

    @cache  # not before the first call: numba looks for a folder to keep it in
    def program() -> Any:
        with contextlib.suppress(RuntimeError):  # there is no such folder: each process compiles its own
            kept = cast(Any, njit(cache=True, nogil=True)(function))
            folder = Path(kept.stats.cache_path)  # nothing in it was read yet
            if _only_ours(folder) and _only_ours(folder.parent):
                return kept
            _log.warning("what is compiled is not kept: others may write to %s, see NUMBA_CACHE_DIR", folder)
        return njit(nogil=True)(function)

    @wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        result: T = program()(*arguments, **named)
        return result

    return call


def _only_ours(folder: Path) -> bool:
    """Whether nobody but us, the system and our group can put anything there: what numba keeps is code, and is run."""
    found = folder.stat()
    shared = found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX  # as /tmp is, but for its last bit
    return found.st_uid in (0, os.geteuid()) and not shared


def inlined(function: Callable[P, T]) -> Callable[P, T]:
    """A part of functions that are compiled, and compiled with them."""
    program: Callable[P, T] = njit(nogil=True)(function)
    return program


def _prefetch(_: Any, array: Any, place: Any) -> Any:
    """What numba is to write for `fetch`."""

    def program(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.voidptr_t)
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number])
        prefetch = cast(Any, cgutils).get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        for_reading, soon_again, data_not_code = (number(value) for value in (0, 3, 1))
        builder.call(prefetch, [address, for_reading, soon_again, data_not_code])
        return context.get_dummy_value()

    return types.void(array, place), program


# In compiled functions, fetch(array, place): have an element on its way into the processor's cache. The array is of one
# dimension and without gaps; a place outside of it does no harm.
fetch: Callable[[NDArray[Any], Any], None] = cast(Any, intrinsic(_prefetch))
