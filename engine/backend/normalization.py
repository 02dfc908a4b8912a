"""Normalisation with NumPy (or CuPy): forwards and backwards in a few blocked passes."""

from __future__ import annotations

from typing import Any

from engine.backend.modules import array_module
from engine.backend.sums import mean, total
from engine.ops.scalar import argument
from engine.ops.vectors import VectorCode

_x0, _x1, _x2, _x3, _x4, _x5, _x6 = map(argument, range(7))
_SCALE = VectorCode(((_x0 - _x1) * _x2,))
_SCALE_SHIFT = VectorCode(((_x0 - _x1) * _x2 + _x3,))
_PRODUCT = VectorCode((_x0 * ((_x1 - _x2) * _x3),))  # g · normalised x
_BACK = VectorCode((_x0 * (_x1 * _x2 - _x3 - (_x4 - _x5) * _x0 * _x6),))


def statistics(x: Any, axes: tuple[int, ...], centered: bool) -> tuple[Any, Any]:
    """Mean and variance over the axes (kept with length 1); without centring 0 and the square."""
    xp = array_module(x)
    if not centered:
        return xp.zeros((1,) * x.ndim, x.dtype), mean(x * x, axes)
    middle = mean(x, axes)
    deviation = x - middle
    deviation *= deviation
    return middle, mean(deviation, axes)


def scale_of(variance: Any, eps: float) -> Any:
    return 1 / array_module(variance).sqrt(variance + variance.dtype.type(eps))


def normalized(x: Any, middle: Any, scale: Any, weight: Any, bias: Any, out: Any) -> Any:
    """(x - middle) scale weight + bias."""
    factor = scale if weight is None else scale * weight
    if bias is None:
        return _SCALE((x, middle, factor), x.dtype, out)[0]
    return _SCALE_SHIFT((x, middle, factor, bias), x.dtype, out)[0]


def gradients(
    g: Any, x: Any, middle: Any, scale: Any, weight: Any, axes: tuple[int, ...], centered: bool
) -> tuple[Any, Any, Any]:
    """What flows into x, and Σ g · normalised x and Σ g over where the weight is repeated."""
    xp = array_module(g)
    product = _PRODUCT((g, x, middle, scale), x.dtype)[0]
    one = xp.ones((1,) * x.ndim, x.dtype) if weight is None else weight
    along = product_sum = g_sum = None
    repeated = tuple(i for i, n in enumerate(one.shape) if n == 1 and x.shape[i] != 1)
    if weight is not None:
        product_sum, g_sum = (total(a, repeated, keepdims=True) for a in (product, g))
    if all(one.shape[a] == 1 for a in axes):
        flow, along = mean(g, axes) * one, mean(product, axes) * one
    else:
        flow, along = mean(g * one, axes), mean(product * one, axes)
    if not centered:
        flow = xp.zeros_like(along)
    back = _BACK((scale, g, one, flow, x, middle, along), x.dtype, product)[0]
    return back, product_sum, g_sum
