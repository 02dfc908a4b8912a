"""Resizing images: nearest, linear (bilinear, trilinear) and area, an axis at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.dispatch import single
from engine.errors import EngineError, ShapeError
from engine.ops.movement import movedim, reshape
from engine.ops.pool import adaptive_avg_pool
from engine.tensor import Tensor

_LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}


def interpolate(
    x: Tensor,
    size: int | Sequence[int] | None = None,
    scale: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Tensor:
    """x [n, channels, *size] at another size, given as such or as a factor.

    "nearest" repeats pixels, "linear" / "bilinear" / "trilinear" mix neighbours, "area" averages.
    With `align_corners` the centres of the corner pixels stay where they are.
    """
    targets = _targets(x, size, scale)
    if mode == "area":
        return adaptive_avg_pool(x, targets)
    if mode != "nearest" and _LINEAR.get(mode) != len(targets):
        raise EngineError(
            f"interpolate: mode {mode!r} does not fit {x.type}; nearest and area fit any, linear "
            "one axis, bilinear two, trilinear three"
        )
    for axis, target in enumerate(targets, 2):
        if mode == "nearest":
            places = np.arange(target) * x.shape[axis] // target
            x = single("take", x, places, axis=axis)
        elif target != x.shape[axis]:
            x = _mixed(x, axis, _weights(x.shape[axis], target, align_corners))
    return x


def _targets(
    x: Tensor, size: int | Sequence[int] | None, scale: float | Sequence[float] | None
) -> list[int]:
    axes = x.ndim - 2
    if (size is None) == (scale is None):
        raise ShapeError("interpolate: give either a size or a scale")
    if size is not None:
        targets = [size] * axes if isinstance(size, int) else list(size)
    else:
        factors = [scale] * axes if isinstance(scale, int | float) else list(scale or ())
        targets = [int(n * f) for n, f in zip(x.shape[2:], factors, strict=False)]
    if len(targets) != axes or min(targets, default=1) < 1 or 0 in x.shape[2:]:
        raise ShapeError(f"interpolate: {x.type} to the size {targets}")
    return targets


def _weights(size: int, target: int, align_corners: bool) -> np.ndarray:
    """[size, target]: how much of every pixel goes into every new one."""
    places = np.arange(target, dtype=np.float64)
    if align_corners:
        centres = places * ((size - 1) / (target - 1) if target > 1 else 0)
    else:
        centres = np.maximum((places + 0.5) * (size / target) - 0.5, 0)
    low = np.minimum(np.floor(centres).astype(np.int64), size - 1)
    part = centres - low
    weights = np.zeros((size, target))
    weights[low, np.arange(target)] += 1 - part
    weights[np.minimum(low + 1, size - 1), np.arange(target)] += part
    return weights


def _mixed(x: Tensor, axis: int, weights: np.ndarray) -> Tensor:
    moved = movedim(x, axis, -1)
    rows = reshape(moved, (moved.size // x.shape[axis], x.shape[axis]))
    mixed = single("matmul", rows, weights.astype(x.dtype))
    return movedim(reshape(mixed, (*moved.shape[:-1], weights.shape[1])), -1, axis)
