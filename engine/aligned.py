"""Arrays that begin at a cache line, as those in arenas do: no vector of theirs crosses one."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from engine.ir.arena import ALIGNMENT


def zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    nbytes = prod(shape) * dtype.itemsize
    memory = np.zeros(nbytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + nbytes].view(dtype).reshape(shape)


def copy(array: Any, dtype: np.dtype) -> np.ndarray:
    """The numbers of an array in C order."""
    found = zeros(np.shape(array), dtype)
    found[...] = array
    return found
