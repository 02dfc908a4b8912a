"""Movement: the same numbers in another shape or order."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from engine.backend.modules import array_module
from engine.dispatch import single
from engine.errors import ShapeError
from engine.ir.graph import TensorType
from engine.ops.axes import axes_of, axis_of
from engine.ops.registry import op
from engine.ops.slicing import place, split
from engine.tape import Context
from engine.tensor import Tensor


@op("reshape", view=True, into=True)
class Reshape:
    def infer(x: TensorType, *, shape: tuple[int, ...]) -> TensorType:
        if prod(shape) != x.size:
            raise ShapeError(
                f"reshape: {x} has {x.size} elements, the shape {list(shape)} wants {prod(shape)}"
            )
        return TensorType(shape, x.dtype)

    def ref(x: Any, *, shape: tuple[int, ...], out: Any = None) -> Any:
        return place(x.reshape(shape), out)

    def vjp(ctx: Context, g: Tensor) -> Tensor:
        return reshape(g, ctx.x.shape)

    def flops(x: TensorType, *, shape: tuple[int, ...]) -> int:
        return 0


@op("transpose", view=True, into=True)
class Transpose:
    def infer(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
        if sorted(axes) != list(range(x.ndim)):
            raise ShapeError(f"permute: {list(axes)} is no order of the {x.ndim} axes of {x}")
        return TensorType(tuple(x.shape[a] for a in axes), x.dtype)

    def ref(x: Any, *, axes: tuple[int, ...], out: Any = None) -> Any:
        return place(x.transpose(axes), out)

    def vjp(ctx: Context, g: Tensor) -> Tensor:
        return single("transpose", g, axes=tuple(int(a) for a in np.argsort(ctx.axes)))

    def flops(x: TensorType, *, axes: tuple[int, ...]) -> int:
        return 0


@op("expand", view=True, into=True)
class Expand:
    """Axes of length 1 repeated, new ones put in front."""

    def infer(x: TensorType, *, shape: tuple[int, ...]) -> TensorType:
        new = len(shape) - x.ndim
        if new < 0 or any(n not in (1, m) for n, m in zip(x.shape, shape[new:], strict=True)):
            raise ShapeError(
                f"expand: {x} does not broadcast to {list(shape)}; only axes of length 1 grow, "
                "and new ones come in front"
            )
        return TensorType(shape, x.dtype)

    def ref(x: Any, *, shape: tuple[int, ...], out: Any = None) -> Any:
        return place(array_module(x).broadcast_to(x, shape), out)

    def vjp(ctx: Context, g: Tensor) -> Tensor:
        return sum_to(g, ctx.x.shape)

    def flops(x: TensorType, *, shape: tuple[int, ...]) -> int:
        return 0


@op("cat", into=True, promotes=True)
class Cat:
    def infer(*xs: TensorType, axis: int) -> TensorType:
        first = xs[0]
        for x in xs[1:]:
            if x.ndim != first.ndim or any(
                n != m
                for i, (n, m) in enumerate(zip(x.shape, first.shape, strict=True))
                if i != axis
            ):
                raise ShapeError(f"cat: {x} and {first} differ beside axis {axis}")
        length = sum(x.shape[axis] for x in xs)
        return TensorType((*first.shape[:axis], length, *first.shape[axis + 1 :]), first.dtype)

    def ref(*xs: Any, axis: int, out: Any = None) -> Any:
        return array_module(*xs).concatenate(xs, axis=axis, out=out)

    def vjp(ctx: Context, g: Tensor) -> tuple[Tensor, ...]:
        return tuple(split(g, [x.shape[ctx.axis] for x in ctx.inputs], ctx.axis))

    def flops(*xs: TensorType, axis: int) -> int:
        return 0


def reshape(x: Tensor, shape: Sequence[int]) -> Tensor:
    """The elements in the same order under another shape; one length may be -1."""
    wanted = tuple(shape)
    if wanted.count(-1) == 1:
        known = -prod(wanted)
        if known == 0 or x.type.size % known:
            raise ShapeError(f"reshape: {x.type} cannot be cut to {list(wanted)}")
        wanted = tuple(x.type.size // known if n == -1 else n for n in wanted)
    return x if wanted == x.shape else single("reshape", x, shape=wanted)


def permute(x: Tensor, axes: Sequence[int]) -> Tensor:
    """The axes in another order."""
    order = tuple(axis_of(a, x.ndim, "permute") for a in axes)
    return x if order == tuple(range(x.ndim)) else single("transpose", x, axes=order)


def transpose(x: Tensor, first: int, second: int) -> Tensor:
    """Two axes exchanged."""
    order = list(range(x.ndim))
    i, j = axis_of(first, x.ndim, "transpose"), axis_of(second, x.ndim, "transpose")
    order[i], order[j] = order[j], order[i]
    return permute(x, order)


def movedim(x: Tensor, source: int | Sequence[int], target: int | Sequence[int]) -> Tensor:
    """Axes moved to other places, the others in their order."""
    sources = [source] if isinstance(source, int) else list(source)
    targets = [target] if isinstance(target, int) else list(target)
    moved = [axis_of(a, x.ndim, "movedim") for a in sources]
    rest = [a for a in range(x.ndim) if a not in moved]
    for at, axis in sorted(
        (axis_of(t, x.ndim, "movedim"), a) for t, a in zip(targets, moved, strict=True)
    ):
        rest.insert(at, axis)
    return permute(x, rest)


def expand(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Axes of length 1 repeated to `shape`; -1 keeps a length."""
    new = len(shape) - x.ndim
    wanted = tuple(x.shape[i - new] if n == -1 and i >= new else n for i, n in enumerate(shape))
    return x if wanted == x.shape else single("expand", x, shape=wanted)


def sum_to(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """x summed over the axes that broadcasting from `shape` repeated."""
    if x.shape == shape:
        return x
    new = x.ndim - len(shape)
    axes = tuple(range(new)) + tuple(
        i + new for i, n in enumerate(shape) if n == 1 and x.shape[i + new] != 1
    )
    return reshape(single("sum", x, axes=axes, keepdims=False), shape)


def flatten(x: Tensor, start: int = 0, end: int = -1) -> Tensor:
    """The axes from start to end made one."""
    if x.ndim == 0:
        return reshape(x, (1,))
    first, last = axis_of(start, x.ndim, "flatten"), axis_of(end, x.ndim, "flatten")
    if first > last:
        raise ShapeError(f"flatten: the axes run from {first} to {last}, backwards")
    joined = prod(x.shape[first : last + 1])
    return reshape(x, (*x.shape[:first], joined, *x.shape[last + 1 :]))


def unflatten(x: Tensor, axis: int, sizes: Sequence[int]) -> Tensor:
    """One axis cut into several; one length may be -1."""
    at = axis_of(axis, x.ndim, "unflatten")
    known = -prod(sizes)
    lengths = tuple(x.shape[at] // known if n == -1 and known else n for n in sizes)
    if prod(lengths) != x.shape[at]:
        raise ShapeError(f"unflatten: axis {at} of {x.type} cannot be cut to {list(sizes)}")
    return reshape(x, (*x.shape[:at], *lengths, *x.shape[at + 1 :]))


def squeeze(x: Tensor, axis: int | Sequence[int] | None = None) -> Tensor:
    """Axes of length 1 removed (all of them unless told; others are left alone)."""
    axes = axes_of(axis, x.ndim, "squeeze")
    return reshape(x, [n for i, n in enumerate(x.shape) if n != 1 or i not in axes])


def unsqueeze(x: Tensor, axis: int) -> Tensor:
    """A new axis of length 1 at place `axis`."""
    at = axis_of(axis, x.ndim + 1, "unsqueeze")
    return reshape(x, (*x.shape[:at], 1, *x.shape[at:]))


def cat(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors one after another along an axis."""
    if not tensors:
        raise ShapeError("cat: at least one tensor was expected")
    return single("cat", *tensors, axis=axis_of(axis, tensors[0].ndim, "cat"))


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    return cat([unsqueeze(t, axis) for t in tensors], axis)
