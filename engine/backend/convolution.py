"""Convolution with NumPy (or CuPy): patches of a few images at a time, then one matrix product.

With stride 1 the patches of a whole image row block are contiguous runs of the padded image, so
copying them is cheap and the product does nearly all the work. Everything is added up in an order
that depends on shapes alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

import numpy as np

from engine.backend.modules import array_module

CHUNK = 1 << 18  # elements of the patch matrix worked on at a time


@dataclass(frozen=True)
class Geometry:
    """How the windows of a kernel lie on images [n, channels, *size] (any number of axes)."""

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]

    @cached_property
    def padded(self) -> tuple[int, ...]:
        return tuple(n + lo + hi for n, (lo, hi) in zip(self.size, self.padding, strict=True))

    @cached_property
    def reach(self) -> tuple[int, ...]:
        """How far a window stretches beyond its first element."""
        return tuple((k - 1) * d for k, d in zip(self.kernel, self.dilation, strict=True))

    @cached_property
    def output(self) -> tuple[int, ...]:
        sizes = zip(self.padded, self.reach, self.stride, strict=True)
        return tuple((n - r - 1) // s + 1 for n, r, s in sizes)

    @property
    def dense(self) -> bool:
        return all(s == 1 for s in self.stride)

    @cached_property
    def row(self) -> tuple[int, ...]:
        """Output positions as the patch matrix has them: dense ones keep the padded width."""
        return (self.output[0], *self.padded[1:]) if self.dense else self.output

    @cached_property
    def pitch(self) -> tuple[int, ...]:
        """Elements from one place to the next along every axis of a padded image."""
        return tuple(prod(self.padded[i + 1 :]) for i in range(len(self.padded)))

    def window(self, tap: tuple[int, ...]) -> tuple[slice, ...]:
        """The elements of a padded image that one tap of the kernel meets."""
        parts = zip(tap, self.dilation, self.stride, self.output, strict=True)
        return tuple(slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, s, n in parts)

    @cached_property
    def taps(self) -> list[tuple[int, ...]]:
        return list(product(*(range(k) for k in self.kernel)))

    def transposed(self) -> Geometry:
        """That of the convolution which is the gradient for the input, with stride 1."""
        padding = tuple(
            (r - lo, r - hi) for r, (lo, hi) in zip(self.reach, self.padding, strict=True)
        )
        return Geometry(self.output, self.kernel, self.stride, padding, self.dilation)


def padded_images(x: Any, geometry: Geometry, slack: int = 0) -> Any:
    """x with zeros around it (negative padding crops), flat per image, `slack` zeros at the end."""
    xp = array_module(x)
    cut = tuple(
        slice(max(0, -lo), n - max(0, -hi))
        for n, (lo, hi) in zip(geometry.size, geometry.padding, strict=True)
    )
    put = tuple(
        slice(max(0, lo), p - max(0, hi))
        for p, (lo, hi) in zip(geometry.padded, geometry.padding, strict=True)
    )
    count = x.shape[0] * x.shape[1] * prod(geometry.padded)
    flat = xp.zeros(count + slack, x.dtype)
    images = flat[:count].reshape(*x.shape[:2], *geometry.padded)
    images[(..., *put)] = x[(..., *cut)]
    return flat


def _chunks(x: Any, geometry: Geometry) -> Iterator[slice]:
    columns = max(1, x.shape[1] * len(geometry.taps) * prod(geometry.row))
    step = max(1, CHUNK // columns) if isinstance(x, np.ndarray) else x.shape[0]
    for start in range(0, x.shape[0], max(1, step)):
        yield slice(start, min(x.shape[0], start + step))


def _patches(x: Any, geometry: Geometry, groups: int) -> Any:
    """[groups, channels per group x taps, n x positions]: a column for every window."""
    xp = array_module(x)
    n, channels = x.shape[:2]
    reach = sum(r * p for r, p in zip(geometry.reach, geometry.pitch, strict=True))
    flat = padded_images(x, geometry, slack=reach if geometry.dense else 0)
    item, image = flat.itemsize, prod(geometry.padded)
    taps = [d * p for d, p in zip(geometry.dilation, geometry.pitch, strict=True)]
    if geometry.dense:
        positions, steps = [prod(geometry.row)], [1]
    else:
        positions = list(geometry.output)
        steps = [s * p for s, p in zip(geometry.stride, geometry.pitch, strict=True)]
    shape = (channels, *geometry.kernel, n, *positions)
    strides = [item * s for s in (image, *taps, channels * image, *steps)]
    windows = xp.lib.stride_tricks.as_strided(flat, shape, strides)
    columns = xp.empty(shape, x.dtype)
    columns[...] = windows
    return columns.reshape(groups, channels // groups * len(geometry.taps), -1)


def _positions(g: Any, geometry: Geometry, groups: int) -> Any:
    """A gradient of the output as [groups, channels per group, n x positions], zero elsewhere."""
    xp = array_module(g)
    n, channels = g.shape[:2]
    rows = xp.zeros if geometry.row != geometry.output else xp.empty
    spread = rows((channels, n, *geometry.row), g.dtype)
    inside = tuple(slice(0, size) for size in geometry.output)
    spread[(..., *inside)] = g.swapaxes(0, 1)
    return spread.reshape(groups, channels // groups, -1)


def _is_pointwise(geometry: Geometry) -> bool:
    nothing = all(pad == (0, 0) for pad in geometry.padding)
    return geometry.dense and nothing and len(geometry.taps) == 1


def _is_depthwise(channels: int, outputs: int, groups: int) -> bool:
    return groups > 1 and groups == channels and outputs <= 4 * channels


def forward(x: Any, weight: Any, geometry: Geometry, groups: int, out: Any) -> None:
    """out[n, o, p] = Σ over channels and taps of weight[o, c, t] x[n, c, window(p, t)]."""
    n, outputs = x.shape[0], weight.shape[0]
    xp = array_module(x)
    if _is_depthwise(x.shape[1], outputs, groups):
        _depthwise(x, weight, geometry, out)
        return
    kernel = weight.reshape(groups, outputs // groups, -1)
    if _is_pointwise(geometry) and groups == 1:
        xp.matmul(kernel[0], x.reshape(n, x.shape[1], -1), out=out.reshape(n, outputs, -1))
        return
    inside = tuple(slice(0, size) for size in geometry.output)
    for part in _chunks(x, geometry):
        rows = xp.matmul(kernel, _patches(x[part], geometry, groups))
        rows = rows.reshape(outputs, part.stop - part.start, *geometry.row)
        out[part] = rows[(..., *inside)].swapaxes(0, 1)


def input_gradient(g: Any, weight: Any, geometry: Geometry, groups: int, out: Any) -> None:
    """out[n, c, q] = Σ weight[o, c, t] g[n, o, p] over the windows p whose tap t meets q."""
    outputs, depth = weight.shape[0], weight.shape[1]
    xp = array_module(g)
    if _is_depthwise(groups * depth, outputs, groups):
        _depthwise_input(g, weight, geometry, out)
        return
    kernel = weight.reshape(groups, outputs // groups, depth, *geometry.kernel)
    if geometry.dense:
        turned = kernel[(..., *(slice(None, None, -1),) * len(geometry.kernel))].swapaxes(1, 2)
        turned = xp.ascontiguousarray(turned).reshape(groups * depth, -1, *geometry.kernel)
        forward(g, turned, geometry.transposed(), groups, out)
        return
    flat = kernel.reshape(groups, outputs // groups, -1).swapaxes(1, 2)
    for part in _chunks(out, geometry):
        rows = xp.matmul(flat, _positions(g[part], geometry, groups))
        rows = rows.reshape(groups * depth, len(geometry.taps), -1, *geometry.output)
        images = xp.zeros((groups * depth, rows.shape[2], *geometry.padded), g.dtype)
        for place, tap in enumerate(geometry.taps):
            images[(..., *geometry.window(tap))] += rows[:, place]
        out[part] = _inside(images, geometry).swapaxes(0, 1)


def _inside(images: Any, geometry: Geometry) -> Any:
    """Padded images without their padding; zeros where it was negative."""
    cropped = [(max(0, -lo), max(0, -hi)) for lo, hi in geometry.padding]
    if any(map(any, cropped)):
        images = array_module(images).pad(images, [(0, 0), (0, 0), *cropped])
    parts = zip(geometry.size, geometry.padding, strict=True)
    return images[(..., *(slice(max(0, lo), max(0, lo) + n) for n, (lo, _) in parts))]


def weight_gradient(x: Any, g: Any, geometry: Geometry, groups: int, out: Any) -> None:
    """out[o, c, t] = Σ over images and windows of g[n, o, p] x[n, c, window(p, t)]."""
    xp = array_module(x)
    if _is_depthwise(x.shape[1], g.shape[1], groups):
        _depthwise_weight(x, g, geometry, out)
        return
    total = xp.zeros((groups, g.shape[1] // groups, out.size // g.shape[1]), x.dtype)
    for part in _chunks(x, geometry):
        columns = _patches(x[part], geometry, groups)
        total += xp.matmul(_positions(g[part], geometry, groups), columns.swapaxes(1, 2))
    out[...] = total.reshape(out.shape)


def _images(x: Any, geometry: Geometry) -> Iterator[tuple[slice, Any]]:
    """Padded images, a few at a time."""
    size = max(1, x.shape[1] * prod(geometry.padded))
    step = max(1, CHUNK // 8 // size) if isinstance(x, np.ndarray) else max(1, x.shape[0])
    for start in range(0, x.shape[0], step):
        part = slice(start, min(x.shape[0], start + step))
        flat = padded_images(x[part], geometry)
        yield part, flat.reshape(part.stop - start, x.shape[1], *geometry.padded)


def _per_channel(weight: Any, tap: tuple[int, ...], channels: int) -> Any:
    """One tap's weights [channels, outputs per channel], ready to broadcast over images."""
    chosen = weight[(slice(None), 0, *tap)].reshape(channels, -1)
    return chosen.reshape(*chosen.shape, *(1,) * len(tap))


def _depthwise(x: Any, weight: Any, geometry: Geometry, out: Any) -> None:
    channels = x.shape[1]
    for part, images in _images(x, geometry):
        total = out[part].reshape(images.shape[0], channels, -1, *geometry.output)
        term = array_module(x).empty_like(total)
        for tap in geometry.taps:
            seen = images[(..., *geometry.window(tap))][:, :, None]
            target = total if tap == geometry.taps[0] else term
            array_module(x).multiply(seen, _per_channel(weight, tap, channels), out=target)
            if target is term:
                total += term


def _depthwise_input(g: Any, weight: Any, geometry: Geometry, out: Any) -> None:
    xp, channels = array_module(g), out.shape[1]
    step = max(1, CHUNK // 8 // max(1, channels * prod(geometry.padded)))
    for start in range(0, g.shape[0], step):
        some = g[start : start + step].reshape(-1, channels, g.shape[1] // channels, *g.shape[2:])
        images = xp.zeros((some.shape[0], channels, *geometry.padded), g.dtype)
        for tap in geometry.taps:
            flow = (some * _per_channel(weight, tap, channels)).sum(axis=2)
            images[(..., *geometry.window(tap))] += flow
        out[start : start + step] = _inside(images, geometry)


def _depthwise_weight(x: Any, g: Any, geometry: Geometry, out: Any) -> None:
    channels = x.shape[1]
    total = array_module(x).zeros((channels, g.shape[1] // channels, len(geometry.taps)), x.dtype)
    for part, images in _images(x, geometry):
        some = g[part].reshape(images.shape[0], channels, -1, prod(geometry.output))
        for place, tap in enumerate(geometry.taps):
            seen = images[(..., *geometry.window(tap))].reshape(images.shape[0], channels, -1, 1)
            total[:, :, place] += array_module(x).matmul(some, seen)[..., 0].sum(axis=0)
    out[...] = total.reshape(out.shape)
