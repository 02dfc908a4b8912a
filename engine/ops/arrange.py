"""Rearrangements made of movement: flips, rolls, repeats, padding."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from engine.dispatch import single
from engine.errors import ShapeError
from engine.ops.axes import Axes, axes_of, axis_of
from engine.ops.movement import cat, expand, reshape
from engine.ops.slicing import narrow
from engine.tensor import Tensor


def flip(x: Tensor, axis: Axes = None) -> Tensor:
    """The elements along the axes in reverse order."""
    axes = axes_of(axis, x.ndim, "flip")
    turned = [i in axes and n > 0 for i, n in enumerate(x.shape)]
    starts = tuple(n - 1 if t else 0 for n, t in zip(x.shape, turned, strict=True))
    steps = tuple(-1 if t else 1 for t in turned)
    return single("slice", x, starts=starts, sizes=x.shape, steps=steps)


def roll(x: Tensor, shift: int | Sequence[int], axis: Axes = None) -> Tensor:
    """The elements moved on by `shift` places; those that fall off come in at the other end."""
    if axis is None:
        flat = reshape(x, (x.type.size,))
        return reshape(roll(flat, shift, 0), x.shape)
    axes = [axis] if isinstance(axis, int) else list(axis)
    shifts = [shift] * len(axes) if isinstance(shift, int) else list(shift)
    for a, by in zip(axes, shifts, strict=True):
        length = x.shape[a]
        cut = -by % length if length else 0
        if cut:
            x = cat([narrow(x, a, cut, length - cut), narrow(x, a, 0, cut)], a)
    return x


def tile(x: Tensor, repeats: Sequence[int]) -> Tensor:
    """The whole tensor repeated along its axes; more repeats than axes add axes in front."""
    counts = [1] * max(0, x.ndim - len(repeats)) + list(repeats)
    lengths = [1] * (len(counts) - x.ndim) + list(x.shape)
    apart = [n for length in lengths for n in (1, length)]
    spread = [n for pair in zip(counts, lengths, strict=True) for n in pair]
    whole = [c * n for c, n in zip(counts, lengths, strict=True)]
    return reshape(expand(reshape(x, apart), spread), whole)


def repeat(x: Tensor, *repeats: int) -> Tensor:
    """`tile`, which must name every axis."""
    if len(repeats) < x.ndim:
        raise ShapeError(f"repeat: {len(repeats)} counts for the {x.ndim} axes of {x.type}")
    return tile(x, repeats)


def repeat_interleave(x: Tensor, count: int, axis: int) -> Tensor:
    """Every element along the axis `count` times in a row."""
    place = axis_of(axis, x.ndim, "repeat_interleave")
    apart = (*x.shape[: place + 1], 1, *x.shape[place + 1 :])
    spread = (*x.shape[: place + 1], count, *x.shape[place + 1 :])
    whole = (*x.shape[:place], x.shape[place] * count, *x.shape[place + 1 :])
    return reshape(expand(reshape(x, apart), spread), whole)


def pad(x: Tensor, widths: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Elements added around, PyTorch's order: (before, after) of the last axis, then of the one
    before it. Modes: constant, reflect, replicate, circular. Negative widths crop."""
    if len(widths) % 2 or len(widths) > 2 * x.ndim:
        raise ShapeError(
            f"pad: {len(widths)} widths for {x.type}; two an axis, the last axis first"
        )
    pairs = [(widths[i], widths[i + 1]) for i in range(0, len(widths), 2)]
    for back, (before, after) in enumerate(pairs):
        axis = x.ndim - 1 - back
        if before < 0 or after < 0:
            start, end = max(0, -before), x.shape[axis] - max(0, -after)
            x = narrow(x, axis, start, end - start)
            before, after = max(0, before), max(0, after)
        if before or after:
            x = _pad_axis(x, axis, before, after, mode, value)
    return x


def _pad_axis(x: Tensor, axis: int, before: int, after: int, mode: str, value: float) -> Tensor:
    length = x.shape[axis]
    if mode == "constant":
        return _pad_constant(x, axis, before, after, value)
    limits = {"reflect": length - 1, "replicate": float("inf"), "circular": length}
    if mode not in limits:
        raise ShapeError(f"pad: mode {mode!r}; constant, reflect, replicate or circular")
    if max(before, after) > limits[mode] or length == 0:
        raise ShapeError(f"pad: {mode} by {before, after} is too much for an axis of {length}")
    places = np.arange(-before, length + after)
    if mode == "reflect":
        turn = max(1, 2 * (length - 1))
        places = length - 1 - np.abs(length - 1 - places % turn)
    elif mode == "replicate":
        places = np.clip(places, 0, length - 1)
    else:
        places %= length
    return single("take", x, places, axis=axis)


def _pad_constant(x: Tensor, axis: int, before: int, after: int, value: float) -> Tensor:
    shape = list(x.shape)
    shape[axis] += before + after
    starts = tuple(before if i == axis else 0 for i in range(x.ndim))
    if value == 0:
        return single("unslice", x, shape=tuple(shape), starts=starts, steps=(1,) * x.ndim)
    edges = [
        Tensor(np.full([n if i != axis else w for i, n in enumerate(x.shape)], value, x.dtype))
        for w in (before, after)
    ]
    return cat([edges[0], x, edges[1]], axis)


def meshgrid(*tensors: Tensor, indexing: str = "ij") -> list[Tensor]:
    """Coordinates of a grid from the coordinates of its axes."""
    shape = tuple(prod(t.shape) for t in tensors)
    places = [tuple(-1 if i == j else 1 for j in range(len(shape))) for i in range(len(shape))]
    grids = [expand(reshape(t, p), shape) for t, p in zip(tensors, places, strict=True)]
    if indexing == "xy" and len(grids) > 1:
        order = (1, 0, *range(2, len(shape)))
        return [single("transpose", g, axes=order) for g in grids]
    return grids
