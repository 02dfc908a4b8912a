"""x[key]: slices, integers, new axes, integer arrays and masks, as NumPy reads them."""

from __future__ import annotations

from math import prod
from types import EllipsisType
from typing import Any

import numpy as np

from engine import dtypes
from engine.dispatch import single
from engine.errors import AxisError, TracingError
from engine.ops.index import check_within, from_start
from engine.ops.movement import permute, reshape
from engine.tensor import Tensor


def masked_select(x: Tensor, mask: Any) -> Tensor:
    """The elements where the mask holds, in one row. Eager only: its length depends on numbers."""
    keep = single("logical_or", mask, np.zeros(x.shape, bool))
    return getitem(x, keep)


def getitem(x: Tensor, key: Any) -> Tensor:
    """x[key] with slices, integers, None, ..., integer arrays and boolean masks, as in NumPy."""
    keys = _spelled_out(x, key if isinstance(key, tuple) else (key,))
    starts, sizes, steps = [0] * x.ndim, list(x.shape), [1] * x.ndim
    shape: list[int] = []
    advanced: list[tuple[int, int, Any]] = []  # place in the result, axis of it, index
    axis = 0
    for part in keys:
        if part is None:
            shape.append(1)
            continue
        if isinstance(part, slice):
            starts[axis], sizes[axis], steps[axis] = _span(part, x.shape[axis])
            shape.append(sizes[axis])
        elif isinstance(part, int):
            starts[axis], sizes[axis] = _whole(part, axis, x.shape[axis]), 1
        else:
            advanced.append((len(shape), x.shape[axis], part))
            shape.append(x.shape[axis])
        axis += 1
    if sizes != list(x.shape) or steps != [1] * x.ndim:
        x = single("slice", x, starts=tuple(starts), sizes=tuple(sizes), steps=tuple(steps))
    x = reshape(x, shape)
    return _advanced(x, advanced, keys) if advanced else x


def _spelled_out(x: Tensor, key: tuple[Any, ...]) -> list[Any]:
    """One entry per axis (and per new axis): masks become integers, `...` becomes slices."""
    keys: list[Any] = []
    for part in key:
        if isinstance(part, bool | np.bool_):
            raise AxisError("a single truth value is no index; use engine.where")
        if isinstance(part, np.integer):
            keys.append(int(part))
        elif part is None or isinstance(part, slice | int | EllipsisType):
            keys.append(part)
        else:
            keys += _index_arrays(part)
    used = sum(1 for k in keys if k is not None and k is not Ellipsis)
    if used > x.ndim:
        raise AxisError(f"{used} indices for the {x.ndim} axes of {x.type}")
    rest = [slice(None)] * (x.ndim - used)
    dots = [i for i, k in enumerate(keys) if k is Ellipsis]
    if len(dots) > 1:
        raise AxisError("an index may hold '...' once")
    if not dots:
        return keys + rest
    return keys[: dots[0]] + rest + keys[dots[0] + 1 :]


def _index_arrays(part: Any) -> list[Any]:
    tensor = part if isinstance(part, Tensor) else Tensor(np.asarray(part))
    if tensor.dtype == dtypes.bool_:
        if tensor.is_symbolic:
            raise TracingError(
                "a boolean mask gives a shape that depends on numbers, which a trace cannot know; "
                "use engine.where(mask, x, other)"
            )
        return [Tensor(places) for places in tensor.data.nonzero()]
    if tensor.size == 0 and dtypes.is_float(tensor.dtype):
        tensor = Tensor(np.zeros(tensor.shape, np.int64))
    return [tensor]


def _span(part: slice, length: int) -> tuple[int, int, int]:
    start, stop, step = part.indices(length)
    size = len(range(start, stop, step))
    return (start, size, step) if size else (0, 0, 1)


def _whole(part: int, axis: int, length: int) -> int:
    if not -length <= part < length:
        raise AxisError(f"index {part} is out of range for axis {axis}, which has {length}")
    return part % length


def _advanced(x: Tensor, advanced: list[tuple[int, int, Any]], keys: list[Any]) -> Tensor:
    """Integer arrays: their axes are brought together, made one, and gathered from."""
    axes = [place for place, _, _ in advanced]
    indices = [from_start(index, length) for _, length, index in advanced]
    for (_, length, _), index in zip(advanced, indices, strict=True):
        if not index.is_symbolic:
            check_within("indexing", index.data, length)
    target = axes[0] if _adjacent(keys) else 0
    rest = [a for a in range(x.ndim) if a not in axes]
    x = permute(x, rest[:target] + axes + rest[target:])
    shape = x.shape
    joined = prod(shape[target : target + len(axes)])
    flat = indices[0]
    for (_, length, _), index in zip(advanced[1:], indices[1:], strict=True):
        flat = flat * length + index
    x = reshape(x, (*shape[:target], joined, *shape[target + len(axes) :]))
    return single("take", x, flat, axis=target)


def _adjacent(keys: list[Any]) -> bool:
    """Whether the integer arrays (and numbers) stand side by side: the result then stays there."""
    places = [i for i, k in enumerate(keys) if isinstance(k, Tensor | int)]
    return places == list(range(places[0], places[0] + len(places)))
