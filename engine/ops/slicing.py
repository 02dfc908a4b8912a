"""Slices: regular parts of a tensor, and putting them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.backend.modules import array_module
from engine.dispatch import single
from engine.errors import ShapeError
from engine.ir.graph import TensorType
from engine.ops.axes import axis_of
from engine.ops.registry import op
from engine.tape import Context
from engine.tensor import Tensor


def place(view: Any, out: Any) -> Any:
    if out is None:
        return view
    out[...] = view
    return out


@op("slice", view=True, into=True)
class Slice:
    """Per axis `size` elements from `start` on, `step` apart (negative steps walk back)."""

    def infer(
        x: TensorType, *, starts: tuple[int, ...], sizes: tuple[int, ...], steps: tuple[int, ...]
    ) -> TensorType:
        for n, start, size, step in zip(x.shape, starts, sizes, steps, strict=True):
            last = start + (size - 1) * step
            if size and not (0 <= start < n and 0 <= last < n):
                raise ShapeError(f"slice: from {start} to {last} lies outside an axis of {n}")
        return TensorType(sizes, x.dtype)

    def ref(
        x: Any,
        *,
        starts: tuple[int, ...],
        sizes: tuple[int, ...],
        steps: tuple[int, ...],
        out: Any = None,
    ) -> Any:
        return place(x[(..., *ranges(starts, sizes, steps))], out)

    def vjp(ctx: Context, g: Tensor) -> Tensor:
        return single("unslice", g, shape=ctx.x.shape, starts=ctx.starts, steps=ctx.steps)

    def flops(x: TensorType, **attrs: Any) -> int:
        return 0


def ranges(starts: Sequence[int], sizes: Sequence[int], steps: Sequence[int]) -> tuple[slice, ...]:
    found = []
    for start, size, step in zip(starts, sizes, steps, strict=True):
        stop = start + size * step
        found.append(slice(start, None if stop < 0 else stop, step))
    return tuple(found)


@op("unslice", into=True)
class Unslice:
    """Zeros of a shape, with x put where `slice` would have read."""

    def infer(
        x: TensorType, *, shape: tuple[int, ...], starts: tuple[int, ...], steps: tuple[int, ...]
    ) -> TensorType:
        return TensorType(shape, x.dtype)

    def ref(
        x: Any,
        *,
        shape: tuple[int, ...],
        starts: tuple[int, ...],
        steps: tuple[int, ...],
        out: Any = None,
    ) -> Any:
        result = array_module(x).empty(shape, x.dtype) if out is None else out
        result[...] = 0
        result[ranges(starts, x.shape, steps)] = x
        return result

    def vjp(ctx: Context, g: Tensor) -> Tensor:
        return single("slice", g, starts=ctx.starts, sizes=ctx.x.shape, steps=ctx.steps)

    def flops(x: TensorType, **attrs: Any) -> int:
        return 0


def narrow(x: Tensor, axis: int, start: int, length: int) -> Tensor:
    """`length` elements of an axis from `start` on."""
    at = axis_of(axis, x.ndim, "narrow")
    if not 0 <= start <= start + length <= x.shape[at]:
        raise ShapeError(f"narrow: {start} to {start + length} lies outside axis {at} of {x.type}")
    starts, sizes = [0] * x.ndim, list(x.shape)
    starts[at], sizes[at] = start, length
    return _slice(x, starts, sizes, [1] * x.ndim)


def _slice(x: Tensor, starts: list[int], sizes: list[int], steps: list[int]) -> Tensor:
    return single("slice", x, starts=tuple(starts), sizes=tuple(sizes), steps=tuple(steps))


def split(x: Tensor, size: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Pieces along an axis: all of `size` (the last may be smaller), or of the given sizes."""
    at = axis_of(axis, x.ndim, "split")
    length = x.shape[at]
    if isinstance(size, int):
        size = [min(size, length - i) for i in range(0, length, size)]
    if sum(size) != length:
        raise ShapeError(f"split: the sizes {list(size)} sum to {sum(size)}, the axis has {length}")
    starts = np.cumsum([0, *size])
    return [narrow(x, at, int(start), n) for start, n in zip(starts, size, strict=False)]


def chunk(x: Tensor, count: int, axis: int = 0) -> list[Tensor]:
    """At most `count` pieces of equal size along an axis; the last may be smaller."""
    return split(x, -(-x.shape[axis] // count), axis)


def unbind(x: Tensor, axis: int = 0) -> list[Tensor]:
    """The tensors along an axis, without it."""
    at = axis_of(axis, x.ndim, "unbind")
    shape = x.shape[:at] + x.shape[at + 1 :]
    return [single("reshape", narrow(x, at, i, 1), shape=shape) for i in range(x.shape[at])]
