"""Optimizers that scale each step by the squares of past gradients, without first moments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engine.nn.parameter import Parameter
from engine.ops.elementwise import sqrt
from engine.ops.pointwise import pointwise
from engine.ops.scalar import Expr
from engine.optim.optimizer import Group, Optimizer, State
from engine.optim.ranges import fraction, not_negative
from engine.tensor import Tensor


@pointwise(name="rmsprop")
def _rmsprop(
    p: Expr,
    g: Expr,
    square_avg: Expr,
    lr: Expr,
    *,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> tuple[Expr, Expr]:
    g = g + weight_decay * p if weight_decay else g
    v = alpha * square_avg + (1.0 - alpha) * (g * g)
    return p - lr * g / (sqrt(v) + eps), v


@pointwise(name="rmsprop_momentum")
def _rmsprop_momentum(
    p: Expr,
    g: Expr,
    square_avg: Expr,
    momentum_buffer: Expr,
    lr: Expr,
    *,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
) -> tuple[Expr, Expr, Expr]:
    g = g + weight_decay * p if weight_decay else g
    v = alpha * square_avg + (1.0 - alpha) * (g * g)
    buffer = momentum * momentum_buffer + g / (sqrt(v) + eps)
    return p - lr * buffer, v, buffer


@pointwise(name="adagrad")
def _adagrad(
    p: Expr,
    g: Expr,
    total: Expr,
    lr: Expr,
    step: Expr,
    *,
    lr_decay: float = 0.0,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
) -> tuple[Expr, Expr]:
    g = g + weight_decay * p if weight_decay else g
    total = total + g * g
    rate = lr / (1.0 + (step - 1.0) * lr_decay) if lr_decay else lr
    return p - rate * g / (sqrt(total) + eps), total


class RMSprop(Optimizer):
    """RMSprop. Tieleman and Hinton, "Neural networks for machine learning", lecture 6.5 (2012).

    g += weight_decay * p;  v = alpha * v + (1 - alpha) * g^2
    b = momentum * b + g / (sqrt(v) + eps);  p -= lr * b
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Parameter]],
        lr: float = 1e-2,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        groups: Sequence[Group] = (),
    ) -> None:
        super().__init__(
            named_parameters,
            lr,
            groups,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
        )

    def check(self, **options: Any) -> None:
        fraction("alpha", options["alpha"])
        fraction("momentum", options["momentum"])
        not_negative("eps", options["eps"])
        not_negative("weight_decay", options["weight_decay"])

    def slots(self, **options: Any) -> dict[str, float]:
        names = ["square_avg"] + ["momentum_buffer"] * bool(options["momentum"])
        return dict.fromkeys(names, 0.0)

    def rule(
        self, p: Tensor, g: Tensor, state: State, *, lr: Any, step: Any, **options: Any
    ) -> tuple[Tensor, State]:
        if options["momentum"]:
            fresh, v, buffer = _rmsprop_momentum(
                p, g, state["square_avg"], state["momentum_buffer"], lr, **options
            )
            return fresh, {"square_avg": v, "momentum_buffer": buffer}
        del options["momentum"]
        fresh, v = _rmsprop(p, g, state["square_avg"], lr, **options)
        return fresh, {"square_avg": v}


class Adagrad(Optimizer):
    """Adagrad. Duchi, Hazan and Singer, "Adaptive subgradient methods" (2011).

    g += weight_decay * p;  s += g^2
    p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Parameter]],
        lr: float = 1e-2,
        *,
        lr_decay: float = 0.0,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        groups: Sequence[Group] = (),
    ) -> None:
        super().__init__(
            named_parameters,
            lr,
            groups,
            lr_decay=lr_decay,
            eps=eps,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
        )

    def check(self, **options: Any) -> None:
        for name, value in options.items():
            not_negative(name, value)

    def slots(self, **options: Any) -> dict[str, float]:
        return {"sum": float(options["initial_accumulator_value"])}

    def rule(
        self, p: Tensor, g: Tensor, state: State, *, lr: Any, step: Any, **options: Any
    ) -> tuple[Tensor, State]:
        del options["initial_accumulator_value"]
        fresh, total = _adagrad(p, g, state["sum"], lr, step, **options)
        return fresh, {"sum": total}
