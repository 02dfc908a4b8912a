"""Cross-entropy of class scores, kept whole: the softmax is computed once and never stored."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.backend.modules import array_module
from engine.dispatch import single
from engine.errors import AxisError, DtypeError, GradientError, ShapeError
from engine.ir.graph import TensorType
from engine.ops.composite import differentiated
from engine.ops.elementwise import cast, where
from engine.ops.index import one_hot
from engine.ops.movement import movedim, reshape, unsqueeze
from engine.ops.reduce import sum_
from engine.ops.registry import op
from engine.ops.softmax import softmax
from engine.tape import Context
from engine.tensor import Tensor


def _check(x: TensorType, target: TensorType, weight: TensorType | None) -> None:
    if x.ndim < 1 or target.shape != (*x.shape[:1], *x.shape[2:])[: max(0, x.ndim - 1)]:
        raise ShapeError(
            f"cross_entropy: scores {x} are [n, classes, ...], so the classes must be integers "
            f"{[*x.shape[:1], *x.shape[2:]]}, not {target}"
        )
    if target.dtype.kind not in "iu":
        raise DtypeError(f"cross_entropy: the classes {target} must be integers")
    if weight is not None and weight.shape != x.shape[1:2]:
        raise ShapeError(f"cross_entropy: the weight {weight} must have {x.shape[1]} numbers")


def _parts(x: Any, target: Any, ignore_index: int) -> tuple[Any, Any]:
    """Which targets count, and all of them as places inside the classes."""
    xp, classes = array_module(x), x.shape[1]
    counts = target != ignore_index
    safe = xp.where(counts, target, 0).astype(np.int64)
    if xp is np and safe.size and not (safe.min() >= 0 and safe.max() < classes):
        wrong = int(safe.min()) if safe.min() < 0 else int(safe.max())
        raise AxisError(f"cross_entropy: class {wrong} is not among the {classes} classes")
    return counts, safe


def _smooth(weight: Any, x: Any, smoothing: float) -> Any:
    """What every class gets of the smoothing."""
    xp = array_module(x)
    line = xp.ones(x.shape[1], x.dtype) if weight is None else weight
    return (line * x.dtype.type(smoothing / x.shape[1])).reshape(1, -1, *(1,) * (x.ndim - 2))


def _picked(weight: Any, safe: Any, x: Any) -> Any:
    return x.dtype.type(1) if weight is None else weight[safe]


@op("cross_entropy", into=True)
class CrossEntropy:
    """-weight[t] log softmax(x)[t] a place, smoothed over the classes; 0 where t is ignored.

    Smoothed: (1 - s) of that, and s / classes of every class's. Szegedy et al. 2016.
    """

    def infer(
        x: TensorType,
        target: TensorType,
        weight: TensorType | None = None,
        *,
        smoothing: float,
        ignore_index: int,
    ) -> TensorType:
        _check(x, target, weight)
        return TensorType(target.shape, x.dtype)

    def ref(
        x: Any,
        target: Any,
        weight: Any = None,
        *,
        smoothing: float,
        ignore_index: int,
        out: Any = None,
    ) -> Any:
        xp = array_module(x)
        counts, safe = _parts(x, target, ignore_index)
        scores = x - x.max(axis=1, keepdims=True)
        total = xp.log(xp.exp(scores).sum(axis=1, keepdims=True))
        chosen = xp.take_along_axis(scores, safe[:, None], axis=1)
        loss = (total - chosen)[:, 0] * (_picked(weight, safe, x) * x.dtype.type(1 - smoothing))
        if smoothing:
            loss += ((total - scores) * _smooth(weight, x, smoothing)).sum(axis=1)
        return xp.multiply(loss, counts, out=out)

    def vjp(ctx: Context, g: Tensor) -> tuple[Tensor | None, ...]:
        if len(ctx.inputs) == 3 and ctx.needs[2]:
            raise GradientError("cross_entropy: the class weights have no gradient; detach them")
        rest = ctx.inputs[2:]
        found = single("cross_entropy_grad", g, ctx.x, ctx.target, *rest, **ctx.attrs)
        return (found, None, None)[: len(ctx.inputs)]

    def flops(x: TensorType, *rest: Any, **attrs: Any) -> int:
        return 5 * x.size


def _gradient(
    g: Tensor,
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    smoothing: float,
    ignore_index: int,
) -> Tensor:
    """The gradient in plain operations."""
    classes = x.shape[1]
    counts = single("ne", target, ignore_index)
    hot = movedim(one_hot(where(counts, target, 0), classes, x.dtype), -1, 1)
    line = (1, classes, *(1,) * (x.ndim - 2))
    share = hot * (1 - smoothing) + smoothing / classes
    if weight is not None:
        share = share * reshape(weight, line)
    kept = unsqueeze(cast(counts, x.dtype) * g, 1)
    return (softmax(x, 1) * sum_(share, 1, keepdims=True) - share) * kept


@op("cross_entropy_grad", into=True)
class CrossEntropyGrad:
    """g (softmax(x) Σ share - share): share is what cross-entropy gives every class."""

    def infer(
        g: TensorType,
        x: TensorType,
        target: TensorType,
        weight: TensorType | None = None,
        **attrs: Any,
    ) -> TensorType:
        return x

    def ref(
        g: Any,
        x: Any,
        target: Any,
        weight: Any = None,
        *,
        smoothing: float,
        ignore_index: int,
        out: Any = None,
    ) -> Any:
        xp = array_module(x)
        counts, safe = _parts(x, target, ignore_index)
        y = xp.subtract(x, x.max(axis=1, keepdims=True), out=out)
        xp.exp(y, out=y)
        picked = xp.broadcast_to(
            _picked(weight, safe, x) * x.dtype.type(1 - smoothing), safe.shape
        )[:, None]
        whole = picked
        if smoothing:
            share = _smooth(weight, x, smoothing)
            whole = picked + share.sum(axis=1, keepdims=True)
        y *= whole / y.sum(axis=1, keepdims=True)
        if smoothing:
            y -= share
        y -= picked * (xp.arange(x.shape[1]).reshape(-1, *(1,) * (x.ndim - 2)) == safe[:, None])
        y *= (g * counts)[:, None]
        return y

    def vjp(ctx: Context, h: Tensor) -> tuple[Tensor | None, ...]:
        return differentiated(_gradient, ctx, [h])

    def flops(g: TensorType, x: TensorType, *rest: Any, **attrs: Any) -> int:
        return 6 * x.size


def cross_entropies(
    x: Tensor, target: Tensor, weight: Tensor | None, smoothing: float, ignore_index: int
) -> Tensor:
    """The cross-entropy at every place of the target; 0 where it is ignored."""
    inputs = (x, target) if weight is None else (x, target, weight)
    return single("cross_entropy", *inputs, smoothing=smoothing, ignore_index=ignore_index)
