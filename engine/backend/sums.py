"""Sums whose order is fixed by the shape, and whose error does not grow with its length.

NumPy adds pairwise along the last axis of memory but one after another along the first ones; long
first axes are therefore cut into blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.backend.modules import array_module

_BLOCK = 64


def total(x: Any, axes: tuple[int, ...], keepdims: bool = False, out: Any = None) -> Any:
    """Σ x over the axes in x's dtype; float16 is added in float32."""
    kind = x.dtype
    if kind == np.float16:
        return _put(total(x.astype(np.float32), axes, keepdims).astype(kind), out)
    if array_module(x) is np and axes and x.size:
        last = _trailing(x.ndim, axes)
        first = tuple(a for a in axes if a not in last)
        if first and (last or (first[0] == 0 and x.shape[0] > 2 * _BLOCK)):
            inner = x.sum(axis=last, dtype=kind) if last else x
            result = _blockwise(inner, first)
            return _put(np.expand_dims(result, axes) if keepdims else result, out)
    return x.sum(axis=axes, keepdims=keepdims, out=out, dtype=kind)


def _trailing(ndim: int, axes: tuple[int, ...]) -> tuple[int, ...]:
    """Those of the axes that lie at the end of memory, unless all axes do."""
    count = 0
    while ndim - 1 - count in axes:
        count += 1
    return tuple(range(ndim - count, ndim)) if count < len(axes) else ()


def _blockwise(x: Any, axes: tuple[int, ...]) -> Any:
    if axes[0] != 0 or x.shape[0] <= 2 * _BLOCK:
        return x.sum(axis=axes, dtype=x.dtype)
    rows = x.shape[0] // _BLOCK * _BLOCK
    blocks = x[:rows].reshape(-1, _BLOCK, *x.shape[1:])
    result = _blockwise(blocks.sum(axis=tuple(a + 1 for a in axes), dtype=x.dtype), (0,))
    if rows < x.shape[0]:
        result = result + x[rows:].sum(axis=axes, dtype=x.dtype)
    return result


def mean(x: Any, axes: tuple[int, ...]) -> Any:
    """The mean over the axes, which stay with length 1."""
    count = 1
    for a in axes:
        count *= x.shape[a]
    return total(x, axes, keepdims=True) * x.dtype.type(1 / max(count, 1))


def _put(result: Any, out: Any) -> Any:
    if out is None:
        return result
    out[...] = result
    return out
