"""where(condition, yes, no) into an array, on bits: NumPy's own branches on every element."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.backend.modules import array_module


def choose(condition: Any, yes: Any, no: Any, out: Any) -> None:
    """`yes` where the condition holds, else `no`, into `out`, which may be any of them."""
    if not isinstance(out, np.ndarray) or out.dtype.itemsize == 1 or condition.dtype != bool:
        out[...] = array_module(out).where(condition, yes, no)
        return
    bits = np.dtype(f"i{out.dtype.itemsize}")
    first, second = _bits(yes, out, bits), _bits(no, out, bits)
    if second.ndim == 0 and not second:
        np.multiply(first, condition, out=out.view(bits))
        return
    differing = np.bitwise_xor(first, second)
    np.bitwise_xor(np.multiply(differing, condition), second, out=out.view(bits))


def _bits(value: Any, out: np.ndarray, bits: np.dtype) -> np.ndarray:
    return np.asarray(value, out.dtype).view(bits)
