"""Axes as users write them, made non-negative and checked."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import AxisError, ShapeError

Axes = int | Sequence[int] | None


def axis_of(axis: int, ndim: int, name: str) -> int:
    """`axis` counted from 0."""
    if not -ndim <= axis < ndim:
        raise AxisError(
            f"{name}: axis {axis} does not exist; the tensor has {ndim} axes"
            + (f", {-ndim} to {ndim - 1}" if ndim else "")
        )
    return axis % ndim


def axes_of(axis: Axes, ndim: int, name: str) -> tuple[int, ...]:
    """The axes counted from 0, in order; all of them for None."""
    if axis is None:
        return tuple(range(ndim))
    if isinstance(axis, int):
        return (axis_of(axis, ndim, name),)
    found = tuple(sorted(axis_of(a, ndim, name) for a in axis))
    if len(set(found)) < len(found):
        raise AxisError(f"{name}: the axes {tuple(axis)} name one axis twice")
    return found


def reduced(shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> tuple[int, ...]:
    """The shape that is left when `axes` are reduced."""
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def sizes_of(sizes: tuple[int | Sequence[int], ...], name: str) -> tuple[int, ...]:
    """A shape given as separate numbers or as one sequence."""
    first = sizes[0] if len(sizes) == 1 else None
    listed = first if isinstance(first, Sequence) else sizes
    if not all(isinstance(n, int) or hasattr(n, "__index__") for n in listed):
        raise ShapeError(f"{name}: a shape of integers was expected, not {tuple(listed)}")
    return tuple(int(n) for n in listed)  # type: ignore[arg-type]
