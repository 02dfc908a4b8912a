"""Losses. Pointwise ones are scalar functions; all are reduced by "mean", "sum" or "none"."""

from __future__ import annotations

import math
from typing import Any

from engine import dtypes
from engine.dispatch import as_tensor, single
from engine.errors import EngineError, ShapeError
from engine.ops.cross_entropy import cross_entropies
from engine.ops.elementwise import cast, where
from engine.ops.index import gather
from engine.ops.movement import reshape, squeeze, unsqueeze
from engine.ops.pointwise import pointwise
from engine.ops.reduce import mean, sum_
from engine.ops.scalar import Expr, const, primitive
from engine.ops.softmax import log_softmax
from engine.tensor import Tensor

_abs, _log, _exp, _square = map(primitive, ("abs", "log", "exp", "square"))
_where, _softplus, _maximum, _eq = map(primitive, ("where", "softplus", "maximum", "eq"))


@pointwise
def squared_error(x: Expr, target: Expr) -> Expr:
    """(x - target)²."""
    return _square(x - target)


@pointwise
def absolute_error(x: Expr, target: Expr) -> Expr:
    """|x - target|."""
    return _abs(x - target)


@pointwise
def huber_error(x: Expr, target: Expr, *, delta: float = 1.0) -> Expr:
    """½ d² up to |d| = delta, then delta (|d| - ½ delta). Huber 1964."""
    size = _abs(x - target)
    return _where(size < delta, 0.5 * _square(x - target), delta * (size - 0.5 * delta))


@pointwise
def quantile_error(x: Expr, target: Expr, *, q: float = 0.5) -> Expr:
    """q d where d = target - x is positive, else (q - 1) d. Koenker and Bassett 1978."""
    d = target - x
    return _maximum(q * d, (q - 1) * d)


@pointwise
def log_cosh_error(x: Expr, target: Expr) -> Expr:
    """log cosh(x - target), safe for large differences."""
    d = x - target
    return d + _softplus(-2 * d) - math.log(2)


@pointwise
def binary_error(x: Expr, target: Expr) -> Expr:
    """-target log x - (1 - target) log(1 - x); the logarithms are kept above -100."""
    yes, no = _maximum(_log(x), const(-100)), _maximum(primitive("log1p")(-x), const(-100))
    return -(target * yes + (1 - target) * no)


@pointwise
def logit_error(x: Expr, target: Expr) -> Expr:
    """-target log sigmoid(x) - (1 - target) log(1 - sigmoid(x)), safe for large x."""
    return _softplus(x) - target * x


@pointwise
def weighted_logit_error(x: Expr, target: Expr, positive: Expr) -> Expr:
    """`logit_error` with the term of the positive class multiplied by `positive`."""
    return target * positive * _softplus(-x) + (1 - target) * _softplus(x)


@pointwise
def divergence(x: Expr, target: Expr) -> Expr:
    """target (log target - x), 0 where target is 0; x holds logarithms."""
    safe = _where(target > 0, target, const(1))
    return _where(target > 0, target * (_log(safe) - x), const(0))


@pointwise
def log_divergence(x: Expr, target: Expr) -> Expr:
    """exp(target) (target - x); both hold logarithms."""
    return _exp(target) * (target - x)


def reduce(loss: Tensor, reduction: str) -> Tensor:
    """The mean or the sum of all, or the losses as they are."""
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return sum_(loss)
    if reduction == "none":
        return loss
    raise EngineError(f"reduction {reduction!r} is not known; say 'mean', 'sum' or 'none'")


def _paired(name: str, x: Tensor, target: Any) -> Tensor:
    given = as_tensor(target)
    if given.shape != x.shape:
        raise ShapeError(f"{name}: predictions {x.type} and targets {given.type} differ in shape")
    return cast(given, x.dtype)


def mse_loss(x: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """(x - target)²."""
    return reduce(squared_error(x, _paired("mse_loss", x, target)), reduction)


def l1_loss(x: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """|x - target|."""
    return reduce(absolute_error(x, _paired("l1_loss", x, target)), reduction)


def huber_loss(x: Tensor, target: Any, delta: float = 1.0, reduction: str = "mean") -> Tensor:
    """½ d² up to |d| = delta, then delta (|d| - ½ delta)."""
    return reduce(huber_error(x, _paired("huber_loss", x, target), delta=delta), reduction)


def smooth_l1_loss(x: Tensor, target: Any, beta: float = 1.0, reduction: str = "mean") -> Tensor:
    """½ d² / beta up to |d| = beta, then |d| - ½ beta."""
    if beta == 0:
        return l1_loss(x, target, reduction)
    error = huber_error(x, _paired("smooth_l1_loss", x, target), delta=beta)
    return reduce(single("mul", error, 1 / beta), reduction)


def quantile_loss(x: Tensor, target: Any, q: float = 0.5, reduction: str = "mean") -> Tensor:
    """The pinball loss of quantile q."""
    return reduce(quantile_error(x, _paired("quantile_loss", x, target), q=q), reduction)


def log_cosh_loss(x: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """log cosh(x - target)."""
    return reduce(log_cosh_error(x, _paired("log_cosh_loss", x, target)), reduction)


def binary_cross_entropy(
    x: Tensor, target: Any, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """-t log x - (1 - t) log(1 - x) of probabilities x."""
    loss = binary_error(x, _paired("binary_cross_entropy", x, target))
    return reduce(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(
    x: Tensor,
    target: Any,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Binary cross-entropy of scores x; `pos_weight` multiplies the positive term (broadcast)."""
    goal = _paired("binary_cross_entropy_with_logits", x, target)
    if pos_weight is None:
        loss = logit_error(x, goal)
    else:
        loss = weighted_logit_error(x, goal, cast(pos_weight, x.dtype))
    return reduce(loss if weight is None else loss * weight, reduction)


def kl_div(x: Tensor, target: Any, log_target: bool = False, reduction: str = "mean") -> Tensor:
    """target (log target - x) of logarithms x; "batchmean" divides the sum by the first axis."""
    error = log_divergence if log_target else divergence
    loss = error(x, _paired("kl_div", x, target))
    if reduction == "batchmean":
        return single("mul", sum_(loss), 1 / x.shape[0])
    return reduce(loss, reduction)


def _weighed(loss: Tensor, counts: Tensor, weights: Tensor | None, reduction: str) -> Tensor:
    """Losses that weights are in already; the mean is over the weights of those that count."""
    if reduction != "mean":
        return reduce(loss, reduction)
    kept = cast(counts, loss.dtype)
    return single("div", sum_(loss), sum_(kept if weights is None else kept * weights))


def nll_loss(
    x: Tensor,
    target: Any,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-weight[t] x[t] of log-probabilities x [n, classes, ...] and classes t [n, ...]."""
    goal = as_tensor(target)
    counts = single("ne", goal, ignore_index)
    safe = where(counts, goal, 0)
    chosen = squeeze(gather(x, 1, unsqueeze(safe, 1)), 1)
    weights = None if weight is None else _at(weight, safe)
    loss = single("neg", chosen) if weights is None else -(chosen * weights)
    return _weighed(where(counts, loss, 0.0), counts, weights, reduction)


def _at(weight: Tensor, places: Tensor) -> Tensor:
    return single("take", weight, places, axis=0)


def cross_entropy(
    x: Tensor,
    target: Any,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of scores x [n, classes, ...] or [classes].

    target: classes [n, ...] as integers, or probabilities in the shape of x. The mean of the
    former is over the weights of the targets that are not ignored, of the latter over places.
    """
    goal = as_tensor(target)
    if x.ndim == 1:
        x, goal = unsqueeze(x, 0), unsqueeze(goal, 0)
        found = cross_entropy(x, goal, weight, ignore_index, reduction, label_smoothing)
        return squeeze(found)
    if dtypes.is_float(goal.dtype):
        return _soft_cross_entropy(x, goal, weight, reduction, label_smoothing)
    weight = None if weight is None else cast(weight, x.dtype)
    loss = cross_entropies(x, goal, weight, float(label_smoothing), ignore_index)
    counts = single("ne", goal, ignore_index)
    weights = None if weight is None else _at(weight, where(counts, goal, 0))
    return _weighed(loss, counts, weights, reduction)


def _soft_cross_entropy(
    x: Tensor, goal: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    if goal.shape != x.shape:
        raise ShapeError(f"cross_entropy: scores {x.type} and probabilities {goal.type} differ")
    if smoothing:
        goal = goal * (1 - smoothing) + smoothing / x.shape[1]
    terms = log_softmax(x, 1) * goal
    if weight is not None:
        terms = terms * reshape(weight, (1, -1, *(1,) * (x.ndim - 2)))
    loss = single("neg", sum_(terms, 1))
    if reduction == "mean":
        return single("mul", sum_(loss), 1 / loss.size)
    return reduce(loss, reduction)
