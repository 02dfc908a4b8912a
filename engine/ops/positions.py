"""What tells an attention where a position stands: waves that are added, or turned by."""

from __future__ import annotations

import numpy as np

from engine.errors import ShapeError
from engine.ops.axes import axis_of
from engine.ops.movement import cat
from engine.ops.slicing import narrow
from engine.tensor import Tensor


def angles(length: int, width: int, base: float, offset: int = 0) -> np.ndarray:
    """position / base^(2 i / width) for i below width / 2: [length, ⌈width / 2⌉], radians."""
    rates = base ** (-np.arange(0, width, 2) / width)
    return np.arange(offset, offset + length)[:, None] * rates


def sinusoidal_positions(
    length: int, width: int, *, base: float = 10000.0, dtype: object = "float32"
) -> Tensor:
    """[length, width]: sin at even places, cos at odd ones, of position / base^(2 i / width).

    Vaswani et al. 2017, section 3.5.
    """
    turns = angles(length, width, base)
    table = np.empty((length, width))
    table[:, 0::2] = np.sin(turns)
    table[:, 1::2] = np.cos(turns[:, : width // 2])
    return Tensor(table.astype(np.dtype(dtype)))  # type: ignore[call-overload]


def rotary(x: Tensor, axis: int = -2, *, base: float = 10000.0, offset: int = 0) -> Tensor:
    """Each pair (i, i + d / 2) of the last axis turned by position / base^(2 i / d).

    x [..., d], d even; `axis` counts the positions, from `offset` on. Products of turned queries
    and keys depend on how far apart they stand alone: Su et al. 2021, "RoFormer".
    """
    width, at = x.shape[-1] if x.ndim else 0, axis_of(axis, x.ndim, "rotary")
    if width % 2 or at == x.ndim - 1:
        raise ShapeError(f"rotary: {x.type} must be [..., positions, ..., an even number]")
    turns = angles(x.shape[at], width, base, offset)
    shape = [x.shape[at] if i == at else 1 for i in range(x.ndim - 1)]
    cos, sin = (
        Tensor(f(turns).reshape(*shape, width // 2).astype(x.dtype)) for f in (np.cos, np.sin)
    )
    first, second = narrow(x, -1, 0, width // 2), narrow(x, -1, width // 2, width // 2)
    return cat([first * cos - second * sin, second * cos + first * sin], -1)
