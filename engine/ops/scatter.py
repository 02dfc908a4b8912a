"""Scatters that combine: products, means and extremes of what meets in one place."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine import dtypes
from engine.backend.modules import array_module
from engine.dispatch import single
from engine.errors import EngineError, ShapeError
from engine.ir.graph import TensorType
from engine.ops.axes import axis_of
from engine.ops.creation import full_like
from engine.ops.elementwise import cast, where
from engine.ops.index import flat_places, from_start
from engine.ops.registry import op
from engine.ops.segments import halve_segments
from engine.tape import Context
from engine.tensor import Tensor

_COMBINE = {"amax": "maximum", "amin": "minimum", "prod": "multiply"}


@op("scatter_combine")
class ScatterCombine:
    """x combined with every element of source that index sends to its place along one axis."""

    def infer(
        x: TensorType, index: TensorType, source: TensorType, *, axis: int, how: str
    ) -> TensorType:
        if index.shape != source.shape or index.ndim != x.ndim:
            raise ShapeError(f"scatter_reduce: {source} and its index {index} must fit {x}")
        return x

    def ref(x: Any, index: Any, source: Any, *, axis: int, how: str) -> Any:
        xp = array_module(x)
        flat = flat_places(index, axis, x.shape)
        order = xp.argsort(flat, kind="stable") if xp is np else xp.argsort(flat)
        places, values = flat[order], source.reshape(-1)[order]
        result = x.copy().reshape(-1)
        if places.size:
            first = xp.concatenate([xp.ones(1, bool), places[1:] != places[:-1]])
            heads = xp.flatnonzero(first)
            combine = getattr(xp, _COMBINE[how])
            found = halve_segments(xp, values, heads, combine)
            result[places[heads]] = combine(result[places[heads]], found)
        return result.reshape(x.shape)

    def vjp(ctx: Context, g: Tensor) -> tuple[Tensor, None, Tensor]:
        if ctx.how == "prod":
            return _through_product(ctx, g)
        won, winners = single("eq", ctx.x, ctx.y), single("eq", ctx.source, _at(ctx, ctx.y))
        count = cast(won, g.dtype) + _added(ctx, cast(winners, g.dtype))
        share = g / count
        return where(won, share, 0.0), None, where(winners, _at(ctx, share), 0.0)


def _at(ctx: Context, tensor: Tensor) -> Tensor:
    return single("gather", tensor, ctx.index, axis=ctx.axis)


def _added(ctx: Context, source: Tensor) -> Tensor:
    return single("add_along", source, ctx.index, axis=ctx.axis, shape=ctx.x.shape)


def _through_product(ctx: Context, g: Tensor) -> tuple[Tensor, None, Tensor]:
    """g times the product of all others in the place; right where there are zeros."""
    x_zero, s_zero = single("eq", ctx.x, 0), single("eq", ctx.source, 0)
    safe_x, safe_s = where(x_zero, 1.0, ctx.x), where(s_zero, 1.0, ctx.source)
    zeros = cast(x_zero, g.dtype) + _added(ctx, cast(s_zero, g.dtype))
    whole = single("scatter_combine", safe_x, ctx.index, safe_s, axis=ctx.axis, how="prod") * g

    def flow(mine: Tensor, count: Tensor, product: Tensor, safe: Tensor) -> Tensor:
        alone = single("eq", count - cast(mine, g.dtype), 0)
        return where(alone, product / safe, 0.0)

    to_source = flow(s_zero, _at(ctx, zeros), _at(ctx, whole), safe_s)
    return flow(x_zero, zeros, whole, safe_x), None, to_source


def scatter_reduce(
    x: Tensor, axis: int, index: Any, source: Tensor, how: str, include_self: bool = True
) -> Tensor:
    """x with what index sends to a place combined there: "sum", "mean", "prod", "amax", "amin".

    Without `include_self` the elements of x that something is sent to do not take part.
    """
    at = axis_of(axis, x.ndim, "scatter_reduce")
    places = from_start(index, x.shape[at])
    neutral = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "amax": -np.inf, "amin": np.inf}
    if how not in neutral:
        raise EngineError(f"scatter_reduce: {how!r} is not known; say one of {list(neutral)}")

    def added(what: Tensor) -> Tensor:
        return single("add_along", what, places, axis=at, shape=x.shape)

    hits = added(full_like(source, 1.0, "float32"))
    if not include_self:
        start: Any = neutral[how]
        if not dtypes.is_float(x.dtype) and how in ("amax", "amin"):
            limits = np.iinfo(x.dtype)
            start = int(limits.min if how == "amax" else limits.max)
        x = where(single("gt", hits, 0), np.asarray(start, x.dtype), x)
    if how in _COMBINE:
        return single("scatter_combine", x, places, source, axis=at, how=how)
    total = x + added(source)
    if how == "sum":
        return total
    count = cast(hits + 1 if include_self else single("maximum", hits, 1), x.dtype)
    return single("div" if dtypes.is_float(x.dtype) else "floor_div", total, count)
