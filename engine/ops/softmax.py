"""Softmax and its logarithm."""

from __future__ import annotations

from typing import Any

from engine.backend.modules import array_module
from engine.dispatch import single
from engine.errors import ShapeError
from engine.ir.graph import TensorType
from engine.ops.axes import axis_of
from engine.ops.registry import op
from engine.tape import Context
from engine.tensor import Tensor


def _same(name: str, x: TensorType, axis: int) -> TensorType:
    if x.shape[axis] == 0:
        raise ShapeError(f"{name}: {x} has no elements along axis {axis}")
    return x


def _sum(x: Tensor, axis: int) -> Tensor:
    return single("sum", x, axes=(axis,), keepdims=True)


@op("softmax", into=True)
class Softmax:
    """exp x / Σ exp x along an axis."""

    def infer(x: TensorType, *, axis: int) -> TensorType:
        return _same("softmax", x, axis)

    def ref(x: Any, *, axis: int, out: Any = None) -> Any:
        xp = array_module(x)
        y = xp.subtract(x, x.max(axis=axis, keepdims=True), out=out)
        xp.exp(y, out=y)
        y /= y.sum(axis=axis, keepdims=True)
        return y

    def vjp(ctx: Context, g: Tensor) -> Tensor:
        weighted = single("mul", g, ctx.y)
        return single("mul", ctx.y, g - _sum(weighted, ctx.axis))

    def flops(x: TensorType, *, axis: int) -> int:
        return 5 * x.size


@op("log_softmax", into=True)
class LogSoftmax:
    """x - log Σ exp x along an axis."""

    def infer(x: TensorType, *, axis: int) -> TensorType:
        return _same("log_softmax", x, axis)

    def ref(x: Any, *, axis: int, out: Any = None) -> Any:
        xp = array_module(x)
        y = xp.subtract(x, x.max(axis=axis, keepdims=True), out=out)
        y -= xp.log(xp.exp(y).sum(axis=axis, keepdims=True))
        return y

    def vjp(ctx: Context, g: Tensor) -> Tensor:
        return g - single("mul", single("exp", ctx.y), _sum(g, ctx.axis))

    def flops(x: TensorType, *, axis: int) -> int:
        return 5 * x.size


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """exp x / Σ exp x along the axis."""
    return single("softmax", x, axis=axis_of(axis, x.ndim, "softmax"))


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """log softmax x, without the overflow of exp."""
    return single("log_softmax", x, axis=axis_of(axis, x.ndim, "log_softmax"))


def softmin(x: Tensor, axis: int = -1) -> Tensor:
    """softmax of -x."""
    return softmax(single("neg", x), axis)
