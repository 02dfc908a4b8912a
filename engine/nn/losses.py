"""Losses as modules; the formulas stand with the operations in `engine.ops.loss`.

reduction: "mean", "sum" or "none" (a loss for each place).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from engine import dtypes
from engine.nn.module import Module
from engine.ops import loss as ops
from engine.ops.elementwise import cast, expm1, maximum, ne, where
from engine.ops.index import index_select
from engine.ops.pointwise import pointwise
from engine.ops.reduce import sum_
from engine.ops.scalar import Expr
from engine.tensor import Tensor


class _Loss(Module):
    reductions: ClassVar[tuple[str, ...]] = ("mean", "sum", "none")

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in self.reductions:
            known = ", ".join(self.reductions)
            raise ValueError(f"reduction must be one of {known}, got {reduction!r}")
        self.reduction = reduction

    def describe(self) -> str:
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"


class MSELoss(_Loss):
    """(x - target)^2."""

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return ops.mse_loss(x, target, self.reduction)


class L1Loss(_Loss):
    """|x - target|."""

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return ops.l1_loss(x, target, self.reduction)


class SmoothL1Loss(_Loss):
    """d^2 / (2 beta) up to |d| = beta, then |d| - beta / 2, d = x - target. Girshick (2015)."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = _not_negative("beta", beta)

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return ops.smooth_l1_loss(x, target, self.beta, self.reduction)


class HuberLoss(_Loss):
    """d^2 / 2 up to |d| = delta, then delta (|d| - delta / 2), d = x - target. Huber (1964)."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        if delta <= 0:
            raise ValueError(f"delta must be above 0, got {delta}")
        self.delta = delta

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return ops.huber_loss(x, target, self.delta, self.reduction)


class QuantileLoss(_Loss):
    """max(q d, (q - 1) d), d = target - x: its minimum is quantile q. Koenker, Bassett (1978)."""

    def __init__(self, q: float = 0.5, reduction: str = "mean") -> None:
        super().__init__(reduction)
        if not 0.0 < q < 1.0:
            raise ValueError(f"q must be between 0 and 1, got {q}")
        self.q = q

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return ops.quantile_loss(x, target, self.q, self.reduction)


class LogCoshLoss(_Loss):
    """log cosh(x - target)."""

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return ops.log_cosh_loss(x, target, self.reduction)


class BCELoss(_Loss):
    """-t log x - (1 - t) log(1 - x) of probabilities x; logarithms are kept above -100."""

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = _constant(weight)

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return ops.binary_cross_entropy(x, target, _like(self.weight, x), self.reduction)


class BCEWithLogitsLoss(_Loss):
    """-t log s(x) - (1 - t) log(1 - s(x)), s the sigmoid, safe for large x.

    weight: multiplies the loss. pos_weight: multiplies the term of positive targets. Both
        broadcast.
    """

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction)
        self.weight = _constant(weight)
        self.pos_weight = _constant(pos_weight)

    def forward(self, x: Tensor, target: Any) -> Tensor:
        weight, positive = _like(self.weight, x), _like(self.pos_weight, x)
        return ops.binary_cross_entropy_with_logits(x, target, weight, positive, self.reduction)


class CrossEntropyLoss(_Loss):
    """-weight[t] log softmax(x)[t] of scores x [N, C, ...].

    target: classes [N, ...], integers; or probabilities of the shape of x.
    weight: a number for each class; the mean is then weighted too.
    ignore_index: targets of this class do not count.
    label_smoothing: this share of each target is spread over all classes. Szegedy et al. (2016).
    """

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        if not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(f"label_smoothing must be from 0 to 1, got {label_smoothing}")
        self.weight = _constant(weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return ops.cross_entropy(
            x,
            target,
            _like(self.weight, x),
            self.ignore_index,
            self.reduction,
            self.label_smoothing,
        )

    def describe(self) -> str:
        words = [super().describe()] * (self.reduction != "mean")
        words += [f"label_smoothing={self.label_smoothing}"] * (self.label_smoothing > 0)
        return ", ".join(words)


class NLLLoss(_Loss):
    """-weight[t] x[t] of log-probabilities x [N, C, ...] and classes t [N, ...]."""

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.weight = _constant(weight)
        self.ignore_index = ignore_index

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return ops.nll_loss(x, target, _like(self.weight, x), self.ignore_index, self.reduction)


class KLDivLoss(_Loss):
    """target (log target - x) of log-probabilities x; with log_target both are logarithms.

    "batchmean" divides the sum by the first axis, which is the divergence itself.
    """

    reductions = ("mean", "sum", "none", "batchmean")

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return ops.kl_div(x, target, self.log_target, self.reduction)


@pointwise
def focal_error(error: Expr, *, gamma: float = 2.0) -> Expr:
    """(1 - p)^gamma error, p = exp(-error) the probability that the truth was given."""
    return maximum(-expm1(-error), 1e-30) ** gamma * error if gamma else error


class FocalLoss(_Loss):
    """-weight[t] (1 - p[t])^gamma log p[t], p the softmax of scores [N, C, ...].

    t: classes [N, ...]. The mean is over the targets that are not ignored. Lin et al., "Focal
    loss for dense object detection" (2017).
    """

    def __init__(
        self,
        gamma: float = 2.0,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.gamma = _not_negative("gamma", gamma)
        self.weight = _constant(weight)
        self.ignore_index = ignore_index

    def forward(self, x: Tensor, target: Any) -> Tensor:
        goal = target if isinstance(target, Tensor) else Tensor(np.asarray(target))
        error = ops.cross_entropy(x, goal, None, self.ignore_index, "none")
        loss = focal_error(error, gamma=self.gamma)
        counts = ne(goal, self.ignore_index)
        if self.weight is not None:
            weight = cast(self.weight, x.dtype)
            loss = loss * index_select(weight, 0, where(counts, goal, 0))
        if self.reduction != "mean":
            return ops.reduce(loss, self.reduction)
        return sum_(loss) / sum_(cast(counts, x.dtype))

    def describe(self) -> str:
        return f"gamma={self.gamma}"


class SigmoidFocalLoss(_Loss):
    """-a[t] (1 - p[t])^gamma log p[t] of scores x and targets t of one shape, t 0 or 1.

    p is the sigmoid of x where t is 1, else 1 - it; a is alpha where t is 1, else 1 - alpha (both
    1 where alpha is None). Lin et al. (2017).
    """

    def __init__(
        self, gamma: float = 2.0, alpha: float | None = 0.25, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.gamma = _not_negative("gamma", gamma)
        if alpha is not None and not 0.0 <= alpha <= 1.0:
            raise ValueError(f"alpha must be from 0 to 1, got {alpha}")
        self.alpha = alpha

    def forward(self, x: Tensor, target: Any) -> Tensor:
        error = ops.binary_cross_entropy_with_logits(x, target, reduction="none")
        loss = focal_error(error, gamma=self.gamma)
        if self.alpha is not None:
            goal = cast(target if isinstance(target, Tensor) else Tensor(target), x.dtype)
            loss = loss * (goal * (2.0 * self.alpha - 1.0) + (1.0 - self.alpha))
        return ops.reduce(loss, self.reduction)

    def describe(self) -> str:
        return f"gamma={self.gamma}, alpha={self.alpha}"


def _not_negative(name: str, value: float) -> float:
    if value < 0:
        raise ValueError(f"{name} must be 0 or more, got {value}")
    return value


def _constant(weight: Any) -> Tensor | None:
    """Weights of a loss: fixed numbers, no part of the state."""
    if weight is None or isinstance(weight, Tensor):
        return weight
    array = np.asarray(weight)
    return Tensor(array if dtypes.is_float(array.dtype) else array.astype(np.float32))


def _like(weight: Tensor | None, x: Tensor) -> Tensor | None:
    return None if weight is None else cast(weight, x.dtype)
