"""Plain arrays in files, of one dimension each. Nothing is ever unpickled, and no memory taken that no data is for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_HEADER: Final = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def mapped(path: Path, mode: Literal["r", "c"]) -> NDArray[Any]:
    """Map an .npy file. mode: numpy's. Raises ValueError when it is none, OSError."""
    try:
        array = np.load(path, mmap_mode=mode, allow_pickle=False)
    except (EOFError, OverflowError) as error:
        raise ValueError(f"{path} is no array: {error}") from error
    if not isinstance(array, np.memmap) or array.ndim != 1:  # a zip archive, of which numpy makes something else
        raise ValueError(f"{path} is no array of one dimension")
    return array


def taken(file: BinaryIO, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The array that comes next in a file. Raises ValueError when it is none, or of another type."""
    try:
        shape, _, found = _HEADER[npy.read_magic(file)](file)
    except (KeyError, EOFError, OverflowError) as error:
        raise ValueError(f"it is no array: {error}") from error
    if found != dtype or len(shape) != 1:
        raise ValueError(f"it is an array of {found} in {len(shape)} dimensions, not of {dtype} in one")
    announced = shape[0] * dtype.itemsize
    content = file.read(min(announced, sys.maxsize))  # no more than there is
    if len(content) != announced:
        raise ValueError("an array is cut short")
    return np.frombuffer(content, dtype)
