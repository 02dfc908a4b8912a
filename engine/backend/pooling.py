"""Pooling with NumPy (or CuPy): a few images at a time, one pass for every tap of the window."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from engine.backend.choice import choose
from engine.backend.convolution import Geometry
from engine.backend.modules import array_module

_PART = 1 << 16  # elements of the output worked on at a time
_Pair = tuple[tuple[Any, ...], tuple[Any, ...]]


def _meets(geometry: Geometry) -> Iterator[tuple[int, _Pair]]:
    """For every tap: the windows whose tap lies inside the image, and the elements it meets."""
    for place, tap in enumerate(geometry.taps):
        windows, elements = [], []
        for axis, t in enumerate(tap):
            step, offset = geometry.stride[axis], t * geometry.dilation[axis]
            offset -= geometry.padding[axis][0]
            first = max(0, -(offset // step))
            last = min(geometry.output[axis] - 1, (geometry.size[axis] - 1 - offset) // step)
            start = first * step + offset
            windows.append(slice(first, max(first, last + 1)))
            elements.append(slice(start, max(start, last * step + offset + 1), step))
        yield place, ((..., *windows), (..., *elements))


def _parts(images: Any, geometry: Geometry) -> Iterator[slice]:
    """A few images at a time, so that what is made for them stays in the cache."""
    count, each = images.shape[0], images.shape[1] * prod(geometry.output)
    step = max(1, _PART // max(1, each)) if isinstance(images, np.ndarray) else max(1, count)
    for start in range(0, count, step):
        yield slice(start, start + step)


def _apart(geometry: Geometry) -> bool:
    """Whether no element lies in two windows."""
    return all(r < s for r, s in zip(geometry.reach, geometry.stride, strict=True))


def _lowest(dtype: np.dtype) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def highest(x: Any, geometry: Geometry, out: Any) -> None:
    """The largest element of every window."""
    xp, meets = array_module(x), list(_meets(geometry))
    whole = all(w.start == 0 for w in meets[0][1][0][1:]) and out[meets[0][1][0]].shape == out.shape
    for part in _parts(x, geometry):
        images, best = x[part], out[part]
        if not whole:
            best[...] = _lowest(x.dtype)
        for place, (windows, elements) in meets:
            if whole and place == 0:
                best[...] = images[elements]
            else:
                xp.maximum(best[windows], images[elements], out=best[windows])


def highest_taps(x: Any, geometry: Geometry, out: Any) -> None:
    """Which tap of every window holds its largest element; of equals the first."""
    xp, meets = array_module(x), list(_meets(geometry))
    for part in _parts(x, geometry):
        images, taps = x[part], out[part]
        best = xp.empty(taps.shape, x.dtype)
        highest(images, geometry, best)
        free = xp.ones(taps.shape, bool)
        taps[...] = 0
        for place, (windows, elements) in meets:
            hit = xp.equal(images[elements], best[windows])
            hit &= free[windows]
            free[windows] ^= hit
            taps[windows] += hit * out.dtype.type(place)


def unhighest(g: Any, x: Any, y: Any, geometry: Geometry, out: Any) -> None:
    """Every window's number added to the first of its elements that is the largest, y."""
    xp, apart, meets = array_module(g), _apart(geometry), list(_meets(geometry))
    for part in _parts(x, geometry):
        images, best, flows, sums = x[part], y[part], g[part], out[part]
        free = xp.ones(best.shape, bool)
        sums[...] = 0
        for _, (windows, elements) in meets:
            hit = xp.equal(images[elements], best[windows])
            hit &= free[windows]
            free[windows] ^= hit
            _add(hit, flows[windows], sums, elements, apart)


def _add(hit: Any, flow: Any, sums: Any, elements: tuple[Any, ...], apart: bool) -> None:
    chosen = array_module(flow).empty(flow.shape, flow.dtype)
    choose(hit, flow, 0, chosen)
    if apart:
        sums[elements] = chosen
    else:
        sums[elements] += chosen


def pick(h: Any, taps: Any, geometry: Geometry, out: Any) -> None:
    """The element of every window that `taps` names."""
    out[...] = 0
    for place, (windows, elements) in _meets(geometry):
        array_module(h).copyto(out[windows], h[elements], where=taps[windows] == place)


def unpick(g: Any, taps: Any, geometry: Geometry, out: Any) -> None:
    """Every window's number added to the element that `taps` names."""
    apart, meets = _apart(geometry), list(_meets(geometry))
    for part in _parts(g, geometry):
        sums = out[part]
        sums[...] = 0
        for place, (windows, elements) in meets:
            _add(taps[part][windows] == place, g[part][windows], sums, elements, apart)


def counts(
    geometry: Geometry, extra: tuple[int, ...], include_pad: bool, dtype: np.dtype
) -> np.ndarray:
    """How many elements the mean of every window is over; padding counts where it is included."""
    total = np.ones((), dtype)
    for axis, size in enumerate(geometry.size):
        lo, hi = geometry.padding[axis]
        low, high = (-lo, size + hi - extra[axis]) if include_pad else (0, size)
        starts = np.arange(geometry.output[axis]) * geometry.stride[axis] - lo
        ends = np.minimum(starts + geometry.kernel[axis], high)
        line = np.maximum(ends - np.maximum(starts, low), 1).astype(dtype)
        total = total[..., None] * line
    return total


def mean(x: Any, geometry: Geometry, divisor: Any, out: Any) -> None:
    """The mean of every window."""
    meets = list(_meets(geometry))
    for part in _parts(x, geometry):
        images, sums = x[part], out[part]
        sums[...] = 0
        for _, (windows, elements) in meets:
            sums[windows] += images[elements]
        sums /= divisor


def unmean(g: Any, geometry: Geometry, divisor: Any, out: Any) -> None:
    """Every window's number, shared out evenly, added to its elements."""
    apart, meets = _apart(geometry), list(_meets(geometry))
    for part in _parts(g, geometry):
        share, sums = g[part] / divisor, out[part]
        sums[...] = 0
        for _, (windows, elements) in meets:
            if apart:
                sums[elements] = share[windows]
            else:
                sums[elements] += share[windows]


def tap_dtype(kernel: tuple[int, ...]) -> np.dtype:
    return np.dtype("uint8" if prod(kernel) <= 256 else "int32")
