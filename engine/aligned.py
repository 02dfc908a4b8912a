"""Memory that begins at a cache line: no vector of an array in it crosses one."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from engine.ir.arena import ALIGNMENT


def memory(nbytes: int) -> np.ndarray:
    """Bytes, whatever they are."""
    return _from_line(np.empty(nbytes + ALIGNMENT, np.uint8))


def zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    nbytes = prod(shape) * dtype.itemsize
    return _from_line(np.zeros(nbytes + ALIGNMENT, np.uint8)).view(dtype).reshape(shape)


def copy(array: Any, dtype: np.dtype) -> np.ndarray:
    """The numbers of an array in C order."""
    found = zeros(np.shape(array), dtype)
    found[...] = array
    return found


def _from_line(held: np.ndarray) -> np.ndarray:
    """All but ALIGNMENT of the bytes, from the first line that begins among them."""
    start = -held.ctypes.data % ALIGNMENT
    return held[start : start + held.nbytes - ALIGNMENT]
