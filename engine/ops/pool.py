"""Pooling over one, two or three axes: maximum, mean, adaptive and global.

The maximum keeps no places: its gradient finds them again. The gradient of that one names them by
tap (`max_pool_taps`), reads there (`pool_pick`), and that is undone by `pool_unpick`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from engine.backend import pooling
from engine.backend.convolution import Geometry
from engine.backend.modules import array_module
from engine.dispatch import single
from engine.errors import ShapeError
from engine.ir.graph import TensorType
from engine.ops.conv import Padding, Pairs, Sizes, paddings, sizes
from engine.ops.movement import movedim, reshape, stack
from engine.ops.reduce import amax, mean
from engine.ops.registry import op
from engine.ops.slicing import narrow
from engine.tape import Context
from engine.tensor import Tensor


def _checked(x: TensorType, kernel: tuple[int, ...], rest: dict[str, Any]) -> Geometry:
    if x.ndim != len(kernel) + 2:
        raise ShapeError(f"pool: the input {x} must be [n, channels, *{len(kernel)} sizes]")
    geometry = _geometry(x.shape[2:], kernel, rest)
    if any(n < 1 for n in geometry.output):
        raise ShapeError(f"pool: the window {list(kernel)} is larger than {list(geometry.padded)}")
    if any(2 * max(0, lo) > k for k, (lo, _) in zip(kernel, rest["padding"], strict=True)):
        raise ShapeError(f"pool: padding beyond half of the window {list(kernel)}")
    return geometry


def _geometry(size: tuple[int, ...], kernel: tuple[int, ...], rest: dict[str, Any]) -> Geometry:
    dilation = rest.get("dilation", (1,) * len(kernel))
    return Geometry(size, kernel, rest["stride"], rest["padding"], dilation)


def _made(like: Any, shape: tuple[int, ...], dtype: Any, out: Any) -> Any:
    return array_module(like).empty(shape, dtype) if out is None else out


@op("max_pool", into=True)
class MaxPool:
    """The largest element of every window."""

    def infer(x: TensorType, *, kernel: tuple[int, ...], **rest: Any) -> TensorType:
        return TensorType((*x.shape[:2], *_checked(x, kernel, rest).output), x.dtype)

    def ref(x: Any, *, kernel: tuple[int, ...], out: Any = None, **rest: Any) -> Any:
        geometry = _geometry(x.shape[2:], kernel, rest)
        out = _made(x, (*x.shape[:2], *geometry.output), x.dtype, out)
        pooling.highest(x, geometry, out)
        return out

    def vjp(ctx: Context, g: Tensor) -> Tensor:
        return single("max_pool_grad", g, ctx.x, ctx.y, **ctx.attrs)

    def flops(x: TensorType, *, kernel: tuple[int, ...], **rest: Any) -> int:
        return prod((*x.shape[:2], *_geometry(x.shape[2:], kernel, rest).output, *kernel))


@op("max_pool_grad", into=True)
class MaxPoolGrad:
    """Every window's number added to its largest element; of equals to the first."""

    def infer(
        g: TensorType, x: TensorType, y: TensorType, *, kernel: tuple[int, ...], **rest: Any
    ) -> TensorType:
        return x

    def ref(
        g: Any, x: Any, y: Any, *, kernel: tuple[int, ...], out: Any = None, **rest: Any
    ) -> Any:
        out = _made(g, x.shape, x.dtype, out)
        pooling.unhighest(g, x, y, _geometry(x.shape[2:], kernel, rest), out)
        return out

    def vjp(ctx: Context, h: Tensor) -> tuple[Tensor, None, None]:
        taps = single("max_pool_taps", ctx.x, **ctx.attrs)
        return single("pool_pick", h, taps, **ctx.attrs), None, None

    def flops(g: TensorType, x: TensorType, y: TensorType, **rest: Any) -> int:
        return 2 * g.size * int(prod(rest["kernel"]))


@op("max_pool_taps", into=True)
class MaxPoolTaps:
    """Which place of its window the largest element has, counted in row-major order."""

    def infer(x: TensorType, *, kernel: tuple[int, ...], **rest: Any) -> TensorType:
        shape = (*x.shape[:2], *_checked(x, kernel, rest).output)
        return TensorType(shape, pooling.tap_dtype(kernel))

    def ref(x: Any, *, kernel: tuple[int, ...], out: Any = None, **rest: Any) -> Any:
        geometry = _geometry(x.shape[2:], kernel, rest)
        out = _made(x, (*x.shape[:2], *geometry.output), pooling.tap_dtype(kernel), out)
        pooling.highest_taps(x, geometry, out)
        return out

    def flops(x: TensorType, *, kernel: tuple[int, ...], **rest: Any) -> int:
        return prod((*x.shape[:2], *_geometry(x.shape[2:], kernel, rest).output, *kernel))


@op("pool_unpick", into=True)
class PoolUnpick:
    """Zeros of [n, channels, *size] with every window's number added at its tap."""

    def infer(g: TensorType, taps: TensorType, *, size: tuple[int, ...], **rest: Any) -> TensorType:
        return TensorType((*g.shape[:2], *size), g.dtype)

    def ref(g: Any, taps: Any, *, size: tuple[int, ...], out: Any = None, **rest: Any) -> Any:
        out = _made(g, (*g.shape[:2], *size), g.dtype, out)
        pooling.unpick(g, taps, _geometry(size, rest["kernel"], rest), out)
        return out

    def vjp(ctx: Context, h: Tensor) -> tuple[Tensor, None]:
        rest = {k: v for k, v in ctx.attrs.items() if k != "size"}
        return single("pool_pick", h, ctx.taps, **rest), None


@op("pool_pick", into=True)
class PoolPick:
    """The element of every window that its tap names."""

    def infer(h: TensorType, taps: TensorType, **rest: Any) -> TensorType:
        return TensorType(taps.shape, h.dtype)

    def ref(h: Any, taps: Any, *, out: Any = None, **rest: Any) -> Any:
        out = _made(h, taps.shape, h.dtype, out)
        pooling.pick(h, taps, _geometry(h.shape[2:], rest["kernel"], rest), out)
        return out

    def vjp(ctx: Context, g: Tensor) -> tuple[Tensor, None]:
        return single("pool_unpick", g, ctx.taps, size=ctx.h.shape[2:], **ctx.attrs), None


def _divisor(like: Any, geometry: Geometry, rest: dict[str, Any]) -> Any:
    count = pooling.counts(geometry, rest["extra"], rest["count_include_pad"], like.dtype)
    return array_module(like).asarray(count)


@op("avg_pool", into=True)
class AvgPool:
    """The mean of every window."""

    def infer(x: TensorType, *, kernel: tuple[int, ...], **rest: Any) -> TensorType:
        return TensorType((*x.shape[:2], *_checked(x, kernel, rest).output), x.dtype)

    def ref(x: Any, *, kernel: tuple[int, ...], out: Any = None, **rest: Any) -> Any:
        geometry = _geometry(x.shape[2:], kernel, rest)
        out = _made(x, (*x.shape[:2], *geometry.output), x.dtype, out)
        pooling.mean(x, geometry, _divisor(x, geometry, rest), out)
        return out

    def vjp(ctx: Context, g: Tensor) -> Tensor:
        return single("avg_pool_grad", g, size=ctx.x.shape[2:], **ctx.attrs)

    def flops(x: TensorType, *, kernel: tuple[int, ...], **rest: Any) -> int:
        return prod((*x.shape[:2], *_geometry(x.shape[2:], kernel, rest).output, *kernel))


@op("avg_pool_grad", into=True)
class AvgPoolGrad:
    """Every window's number shared out evenly to its elements."""

    def infer(g: TensorType, *, size: tuple[int, ...], **rest: Any) -> TensorType:
        return TensorType((*g.shape[:2], *size), g.dtype)

    def ref(
        g: Any, *, size: tuple[int, ...], kernel: tuple[int, ...], out: Any = None, **rest: Any
    ) -> Any:
        geometry = _geometry(size, kernel, rest)
        out = _made(g, (*g.shape[:2], *size), g.dtype, out)
        pooling.unmean(g, geometry, _divisor(g, geometry, rest), out)
        return out

    def vjp(ctx: Context, h: Tensor) -> Tensor:
        rest = {k: v for k, v in ctx.attrs.items() if k != "size"}
        return single("avg_pool", h, **rest)

    def flops(g: TensorType, *, kernel: tuple[int, ...], **rest: Any) -> int:
        return g.size * prod(kernel)


def _window(
    x: Tensor, kernel: Sizes, stride: Sizes | None, padding: Padding, dilation: Sizes, ceil: bool
) -> dict[str, Any]:
    """The attributes of a pooling operation; rounding up adds windows behind the padding."""
    axes = x.ndim - 2
    window, spread = sizes(kernel, axes, "pool: kernel"), sizes(dilation, axes, "pool: dilation")
    steps = window if stride is None else sizes(stride, axes, "pool: stride")
    pads = paddings(padding, window, spread)
    extra = [0] * axes
    if ceil:
        for i, (n, (lo, hi)) in enumerate(zip(x.shape[2:], pads, strict=True)):
            reach = (window[i] - 1) * spread[i]
            count = -(-(n + lo + hi - reach - 1) // steps[i]) + 1
            count -= (count - 1) * steps[i] >= n + lo
            extra[i] = max(0, (count - 1) * steps[i] + reach + 1 - (n + lo + hi))
    pairs: Pairs = tuple((lo, hi + e) for (lo, hi), e in zip(pads, extra, strict=True))
    return {
        "kernel": window, "stride": steps, "padding": pairs, "dilation": spread,
        "extra": tuple(extra),
    }  # fmt: skip


def max_pool(
    x: Tensor,
    kernel: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest element of every window of [n, channels, *size]; the stride is the kernel's."""
    attrs = _window(x, kernel, stride, padding, dilation, ceil_mode)
    del attrs["extra"]
    return single("max_pool", x, **attrs)


def avg_pool(
    x: Tensor,
    kernel: Sizes,
    stride: Sizes | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of every window; padding counts as zeros unless `count_include_pad` is off."""
    attrs = _window(x, kernel, stride, padding, 1, ceil_mode)
    del attrs["dilation"]
    return single("avg_pool", x, count_include_pad=count_include_pad, **attrs)


def global_avg_pool(x: Tensor) -> Tensor:
    """The mean over all but the first two axes: [n, channels, *size] -> [n, channels]."""
    return mean(x, tuple(range(2, x.ndim)))


def global_max_pool(x: Tensor) -> Tensor:
    """The maximum over all but the first two axes."""
    return amax(x, tuple(range(2, x.ndim)))


def _bins(size: int, count: int) -> list[tuple[int, int]]:
    """Where `count` bins of an axis start and end; they overlap where the size is no multiple."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _targets(x: Tensor, output: int | Sequence[int | None] | None) -> list[int]:
    axes = x.ndim - 2
    listed = [output] * axes if output is None or isinstance(output, int) else list(output)
    if len(listed) != axes:
        raise ShapeError(f"adaptive pool: {len(listed)} sizes for {axes} axes of {x.type}")
    return [n if want is None else want for n, want in zip(x.shape[2:], listed, strict=True)]


def adaptive_avg_pool(x: Tensor, output: int | Sequence[int | None]) -> Tensor:
    """Means over as many even bins as `output` says, an axis at a time."""
    targets = _targets(x, output)
    if all(n % t == 0 for n, t in zip(x.shape[2:], targets, strict=True)):
        return avg_pool(x, tuple(n // t for n, t in zip(x.shape[2:], targets, strict=True)))
    for axis, target in enumerate(targets, 2):
        weights = np.zeros((x.shape[axis], target), x.dtype)
        for i, (start, end) in enumerate(_bins(x.shape[axis], target)):
            weights[start:end, i] = 1 / (end - start)
        moved = movedim(x, axis, -1)
        rows = reshape(moved, (moved.size // x.shape[axis], x.shape[axis]))
        mixed = reshape(single("matmul", rows, weights), (*moved.shape[:-1], target))
        x = movedim(mixed, -1, axis)
    return x


def adaptive_max_pool(x: Tensor, output: int | Sequence[int | None]) -> Tensor:
    """Maxima over as many even bins as `output` says."""
    targets = _targets(x, output)
    if all(n % t == 0 for n, t in zip(x.shape[2:], targets, strict=True)):
        return max_pool(x, tuple(n // t for n, t in zip(x.shape[2:], targets, strict=True)))
    for axis, target in enumerate(targets, 2):
        bins = _bins(x.shape[axis], target)
        x = stack([amax(narrow(x, axis, a, b - a), axis) for a, b in bins], axis)
    return x
