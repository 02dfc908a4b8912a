"""Reductions: sum, product, extremes, logic, log-sum-exp, and what is made of them."""

from __future__ import annotations

from math import prod as product
from typing import Any

from engine import dtypes
from engine.backend.modules import array_module
from engine.backend.sums import total
from engine.dispatch import single
from engine.errors import DtypeError, ShapeError
from engine.ir.graph import TensorType
from engine.ops.axes import Axes, axes_of, reduced
from engine.ops.elementwise import cast
from engine.ops.movement import expand, reshape
from engine.ops.registry import op
from engine.tape import Context
from engine.tensor import Tensor


def _like(x: TensorType, axes: tuple[int, ...], keepdims: bool) -> TensorType:
    return TensorType(reduced(x.shape, axes, keepdims), x.dtype)


def _spread(small: Tensor, ctx: Context) -> Tensor:
    """A reduced tensor at the shape of the input again."""
    kept = reduced(ctx.x.shape, ctx.axes, True)
    return expand(reshape(small, kept), ctx.x.shape)


def _kept(small: Tensor, ctx: Context) -> Tensor:
    return reshape(small, reduced(ctx.x.shape, ctx.axes, True))


def _nonempty(name: str, x: TensorType, axes: tuple[int, ...]) -> None:
    if any(x.shape[a] == 0 for a in axes):
        raise ShapeError(f"{name}: {x} has no elements along the axes {axes}, so no result")


@op("sum", into=True)
class Sum:
    """Sum over axes; integers and booleans are summed in int64, float16 in float32."""

    def infer(x: TensorType, *, axes: tuple[int, ...], keepdims: bool) -> TensorType:
        kind = x.dtype if dtypes.is_float(x.dtype) else dtypes.int64
        return TensorType(reduced(x.shape, axes, keepdims), kind)

    def ref(x: Any, *, axes: tuple[int, ...], keepdims: bool, out: Any = None) -> Any:
        kind = x.dtype if dtypes.is_float(x.dtype) else dtypes.int64
        if kind != x.dtype:
            return x.sum(axis=axes, keepdims=keepdims, dtype=kind, out=out)
        return total(x, axes, keepdims, out)

    def vjp(ctx: Context, g: Tensor) -> Tensor | None:
        return _spread(g, ctx) if dtypes.is_float(ctx.x.dtype) else None

    def flops(x: TensorType, *, axes: tuple[int, ...], keepdims: bool) -> int:
        return x.size


def _put(result: Any, out: Any) -> Any:
    if out is None:
        return result
    out[...] = result
    return out


@op("prod", into=True)
class Prod:
    """Product over one axis."""

    def infer(x: TensorType, *, axes: tuple[int, ...], keepdims: bool) -> TensorType:
        kind = x.dtype if dtypes.is_float(x.dtype) else dtypes.int64
        return TensorType(reduced(x.shape, axes, keepdims), kind)

    def ref(x: Any, *, axes: tuple[int, ...], keepdims: bool, out: Any = None) -> Any:
        kind = x.dtype if dtypes.is_float(x.dtype) else dtypes.int64
        return x.prod(axis=axes, keepdims=keepdims, dtype=kind, out=out)

    def vjp(ctx: Context, g: Tensor) -> Tensor | None:
        if not dtypes.is_float(ctx.x.dtype):
            return None
        return single("mul", _spread(g, ctx), _product_of_others(ctx.x, ctx.axes))

    def flops(x: TensorType, *, axes: tuple[int, ...], keepdims: bool) -> int:
        return x.size


def _product_of_others(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """For every element the product of all others along the axes; right where there are zeros."""
    zero = single("eq", x, 0)
    safe = single("where", zero, 1.0, x)
    zeros = single("sum", cast(zero, x.dtype), axes=axes, keepdims=True)
    others = single("prod", safe, axes=axes, keepdims=True) / safe
    lone = single("logical_and", zero, single("eq", zeros, 1))
    keeps = single("logical_or", lone, single("eq", zeros, 0))
    return single("where", keeps, others, 0.0)


def _extreme(name: str) -> Any:
    @op(name, into=True)
    class Extreme:
        """The largest (smallest) element; equals share the gradient."""

        def infer(x: TensorType, *, axes: tuple[int, ...], keepdims: bool) -> TensorType:
            _nonempty(name, x, axes)
            return _like(x, axes, keepdims)

        def ref(x: Any, *, axes: tuple[int, ...], keepdims: bool, out: Any = None) -> Any:
            return getattr(array_module(x), name)(x, axis=axes, keepdims=keepdims, out=out)

        def vjp(ctx: Context, g: Tensor) -> Tensor:
            best = cast(single("eq", ctx.x, _kept(ctx.y, ctx)), ctx.x.dtype)
            count = single("sum", best, axes=ctx.axes, keepdims=True)
            return single("mul", _kept(g, ctx) / count, best)

        def flops(x: TensorType, *, axes: tuple[int, ...], keepdims: bool) -> int:
            return x.size

    return Extreme


def _logical(name: str) -> Any:
    @op(name, into=True)
    class Logical:
        """Whether any (every) element is not zero."""

        def infer(x: TensorType, *, axes: tuple[int, ...], keepdims: bool) -> TensorType:
            return TensorType(reduced(x.shape, axes, keepdims), dtypes.bool_)

        def ref(x: Any, *, axes: tuple[int, ...], keepdims: bool, out: Any = None) -> Any:
            return getattr(array_module(x), name)(x, axis=axes, keepdims=keepdims, out=out)

    return Logical


for _name in ("amax", "amin"):
    _extreme(_name)
for _name in ("any", "all"):
    _logical(_name)


@op("logsumexp", into=True)
class LogSumExp:
    """log Σ exp x, with the maximum taken out first."""

    def infer(x: TensorType, *, axes: tuple[int, ...], keepdims: bool) -> TensorType:
        _nonempty("logsumexp", x, axes)
        return _like(x, axes, keepdims)

    def ref(x: Any, *, axes: tuple[int, ...], keepdims: bool, out: Any = None) -> Any:
        xp = array_module(x)
        top = xp.amax(x, axis=axes, keepdims=True)
        top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
        logs = xp.log(xp.exp(x - top).sum(axis=axes, keepdims=True)) + top
        return _put(logs.reshape(reduced(x.shape, axes, keepdims)), out)

    def vjp(ctx: Context, g: Tensor) -> Tensor:
        return single("mul", _kept(g, ctx), single("exp", ctx.x - _kept(ctx.y, ctx)))

    def flops(x: TensorType, *, axes: tuple[int, ...], keepdims: bool) -> int:
        return 4 * x.size


def _reduce(name: str, x: Any, axis: Axes, keepdims: bool) -> Tensor:
    return single(name, x, axes=axes_of(axis, x.ndim, name), keepdims=keepdims)


def sum_(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Σ x over the axes (all of them unless told)."""
    return _reduce("sum", x, axis, keepdims)


def prod_(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Π x over the axes."""
    return _reduce("prod", x, axis, keepdims)


def amax(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The largest element along the axes; equals share the gradient."""
    return _reduce("amax", x, axis, keepdims)


def amin(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The smallest element along the axes; equals share the gradient."""
    return _reduce("amin", x, axis, keepdims)


def any_(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether any element is not zero."""
    return _reduce("any", x, axis, keepdims)


def all_(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether every element is not zero."""
    return _reduce("all", x, axis, keepdims)


def logsumexp(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """log Σ exp x, safe for large x."""
    return _reduce("logsumexp", x, axis, keepdims)


def mean(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Σ x / n over the axes; DtypeError for integers."""
    if not dtypes.is_float(x.dtype):
        raise DtypeError(f"mean: {x.type} holds no floats; cast it with .to(engine.float32)")
    axes = axes_of(axis, x.ndim, "mean")
    count = product(x.shape[a] for a in axes)
    total = single("sum", x, axes=axes, keepdims=keepdims)
    return single("mul", total, 1 / count if count else float("nan"))


def var(x: Tensor, axis: Axes = None, keepdims: bool = False, correction: int = 1) -> Tensor:
    """Σ (x - mean)² / (n - correction)."""
    axes = axes_of(axis, x.ndim, "var")
    count = product(x.shape[a] for a in axes)
    deviation = single("square", x - mean(x, axes, keepdims=True))
    total = single("sum", deviation, axes=axes, keepdims=keepdims)
    freedom = max(count - correction, 0)
    return single("mul", total, 1 / freedom if freedom else float("nan"))


def std(x: Tensor, axis: Axes = None, keepdims: bool = False, correction: int = 1) -> Tensor:
    """√var."""
    return single("sqrt", var(x, axis, keepdims, correction))


def norm(x: Tensor, p: float = 2.0, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """(Σ |x|^p)^(1/p); the largest |x| for p = inf, the smallest for -inf."""
    if p == 2.0:
        return single("sqrt", sum_(single("square", x), axis, keepdims))
    size = single("abs", x)
    if p == float("inf"):
        return amax(size, axis, keepdims)
    if p == float("-inf"):
        return amin(size, axis, keepdims)
    if p == 0:
        return cast(count_nonzero(x, axis, keepdims), x.dtype)
    total = sum_(single("power", size, exponent=p), axis, keepdims)
    return single("power", total, exponent=1 / p)


def count_nonzero(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """How many elements are not zero."""
    return sum_(single("ne", x, 0), axis, keepdims)
