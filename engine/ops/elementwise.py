"""Arithmetic, comparison, logic and elementary functions, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine import dtypes
from engine.dispatch import single
from engine.ir.graph import TensorType
from engine.ops.pointwise import Pointwise, pointwise
from engine.ops.registry import op
from engine.ops.scalar import Expr, const, primitive
from engine.tape import Context
from engine.tensor import Tensor

_where, _clip, _eq = primitive("where"), primitive("clip"), primitive("eq")
_isnan, _isinf = primitive("isnan"), primitive("isinf")


def _named(name: str, prim: str = "", inputs: int = 1) -> Pointwise:
    """The operation that does one primitive to one or two inputs."""
    of = primitive(prim or name)
    if inputs == 1:
        return pointwise(name=name)(lambda x: of(x))
    return pointwise(name=name)(lambda x, y: of(x, y))


add, sub, mul, div = (_named(n, inputs=2) for n in ("add", "sub", "mul", "div"))
floor_div, remainder = _named("floor_div", inputs=2), _named("remainder", inputs=2)
pow_ = _named("pow", inputs=2)
atan2 = _named("atan2", inputs=2)
maximum, minimum = _named("maximum", inputs=2), _named("minimum", inputs=2)
eq, ne, lt, le, gt, ge = (_named(n, inputs=2) for n in ("eq", "ne", "lt", "le", "gt", "ge"))
logical_and, logical_or, logical_xor = (
    _named(f"logical_{n}", inputs=2) for n in ("and", "or", "xor")
)
bitwise_and, bitwise_or, bitwise_xor = (
    _named(f"bitwise_{n}", f"bit_{n}", 2) for n in ("and", "or", "xor")
)
shift_left, shift_right = _named("shift_left", inputs=2), _named("shift_right", inputs=2)
neg, abs_, sign, square, reciprocal = map(_named, ("neg", "abs", "sign", "square", "reciprocal"))
exp, expm1, log, log1p, log2 = map(_named, ("exp", "expm1", "log", "log1p", "log2"))
sqrt, rsqrt, erf = map(_named, ("sqrt", "rsqrt", "erf"))
sin, cos, tan, asin, acos, atan = map(_named, ("sin", "cos", "tan", "asin", "acos", "atan"))
sinh, cosh, tanh = map(_named, ("sinh", "cosh", "tanh"))
asinh, acosh, atanh = map(_named, ("asinh", "acosh", "atanh"))
floor, ceil, round_, trunc = map(_named, ("floor", "ceil", "round", "trunc"))
isnan, isinf, isfinite = map(_named, ("isnan", "isinf", "isfinite"))
logical_not, bitwise_not = _named("logical_not"), _named("bitwise_not", "bit_not")


@pointwise(held=("condition",))
def where(condition: Expr, x: Expr, y: Expr) -> Expr:
    """x where the condition holds, else y."""
    return _where(condition, x, y)


@pointwise(held=("mask",))
def masked_fill(x: Expr, mask: Expr, *, value: float = 0) -> Expr:
    """`value`, in the dtype of x, where the mask holds, else x."""
    return _where(mask, const(value), x)


@pointwise
def clip(x: Expr, *, low: float = -np.inf, high: float = np.inf) -> Expr:
    """min(max(x, low), high)."""
    return _clip(x, const(low), const(high))


@pointwise
def power(x: Expr, *, exponent: float = 1) -> Expr:
    """x to a fixed power."""
    return x**exponent


@pointwise(name="nan_to_num")
def _nan_to_num(x: Expr, *, nan: float, high: float, low: float) -> Expr:
    finite = _where(_isinf(x), _where(x > 0, const(high), const(low)), x)
    return _where(_isnan(x), const(nan), finite)


@pointwise
def logaddexp(x: Expr, y: Expr) -> Expr:
    """log(exp x + exp y), safe for large arguments."""
    high = primitive("maximum")(x, y)
    return high + primitive("softplus")(primitive("minimum")(x, y) - high)


@pointwise
def xlogy(x: Expr, y: Expr) -> Expr:
    """x log y, 0 where x is 0."""
    return _where(_eq(x, 0), const(0), x * primitive("log")(y))


def raise_to(x: Any, exponent: Any) -> Tensor:
    """x to the power `exponent`; a fixed one has the simpler derivative."""
    if not isinstance(exponent, int | float) or isinstance(exponent, bool):
        return single("pow", x, exponent)
    if not dtypes.is_float(x.dtype) and (isinstance(exponent, float) or exponent < 0):
        x = cast(x, dtypes.float32)
    return single("square", x) if exponent == 2 else single("power", x, exponent=exponent)


def clamp(x: Any, min: float | None = None, max: float | None = None) -> Tensor:
    """x held between `min` and `max`; the gradient passes where min <= x <= max."""
    low, high = -np.inf if min is None else min, np.inf if max is None else max
    return single("clip", x, low=low, high=high)


def nan_to_num(
    x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """x with NaN and the infinities replaced (by the largest finite numbers unless told)."""
    if not dtypes.is_float(x.dtype):
        return single("clip", x)
    limit = float(np.finfo(x.dtype).max)
    high, low = limit if posinf is None else posinf, -limit if neginf is None else neginf
    return single("nan_to_num", x, nan=nan, high=high, low=low)


@op("cast", into=True)
class Cast:
    """Another dtype; floats are cut towards zero when they become integers."""

    def infer(x: TensorType, *, dtype: str) -> TensorType:
        return TensorType(x.shape, dtypes.dtype(dtype))

    def ref(x: Any, *, dtype: str, out: Any = None) -> Any:
        if out is None:
            return x.astype(dtype)
        out[...] = x
        return out

    def vjp(ctx: Context, g: Tensor) -> Tensor | None:
        source = ctx.x.dtype
        return single("cast", g, dtype=source.name) if dtypes.is_float(source) else None


@op("copy", into=True)
class Copy:
    """The same numbers in memory of their own."""

    def infer(x: TensorType) -> TensorType:
        return x

    def ref(x: Any, *, out: Any = None) -> Any:
        if out is None:
            return x.copy()
        out[...] = x
        return out

    def vjp(ctx: Context, g: Tensor) -> Tensor:
        return g


@op("detach", view=True, into=True)
class Detach:
    """The same numbers in the same memory; no gradient passes."""

    def infer(x: TensorType) -> TensorType:
        return x

    def ref(x: Any, *, out: Any = None) -> Any:
        if out is None:
            return x
        out[...] = x
        return out

    def flops(x: TensorType) -> int:
        return 0


def cast(x: Any, dtype: Any) -> Tensor:
    """x with another dtype."""
    kind = dtypes.dtype(dtype)
    return x if isinstance(x, Tensor) and x.dtype == kind else single("cast", x, dtype=kind.name)
