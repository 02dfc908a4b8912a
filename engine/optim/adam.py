"""Adam and its relatives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log
from typing import Any

from engine.nn.parameter import Parameter
from engine.ops.elementwise import expm1, maximum, rsqrt, sqrt
from engine.ops.pointwise import pointwise
from engine.ops.scalar import Expr
from engine.optim.optimizer import Group, Optimizer, State
from engine.optim.ranges import fraction, not_negative
from engine.tensor import Tensor


def _correction(beta: float, step: Expr) -> Any:
    """1 - beta^step, to full precision in float32 too, where beta^step is close to 1."""
    return -expm1(step * log(beta)) if beta > 0.0 else 1.0


def _scale(beta: float, step: Expr) -> Any:
    """1 / sqrt(1 - beta^step): once for all elements, which then need no division by the root."""
    return rsqrt(_correction(beta, step))


def _decayed(p: Expr, g: Expr, lr: Expr, weight_decay: float, decoupled: bool) -> tuple[Expr, Expr]:
    if not weight_decay:
        return p, g
    return (p - lr * weight_decay * p, g) if decoupled else (p, g + weight_decay * p)


@pointwise(name="adam")
def _adam(
    p: Expr,
    g: Expr,
    exp_avg: Expr,
    exp_avg_sq: Expr,
    lr: Expr,
    step: Expr,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> tuple[Expr, Expr, Expr]:
    p, g = _decayed(p, g, lr, weight_decay, decoupled)
    m = beta1 * exp_avg + (1.0 - beta1) * g
    v = beta2 * exp_avg_sq + (1.0 - beta2) * (g * g)
    rate = lr / _correction(beta1, step)
    return p - rate * m / (sqrt(v) * _scale(beta2, step) + eps), m, v


@pointwise(name="amsgrad")
def _amsgrad(
    p: Expr,
    g: Expr,
    exp_avg: Expr,
    exp_avg_sq: Expr,
    max_exp_avg_sq: Expr,
    lr: Expr,
    step: Expr,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> tuple[Expr, Expr, Expr, Expr]:
    p, g = _decayed(p, g, lr, weight_decay, decoupled)
    m = beta1 * exp_avg + (1.0 - beta1) * g
    v = beta2 * exp_avg_sq + (1.0 - beta2) * (g * g)
    top = maximum(max_exp_avg_sq, v)
    rate = lr / _correction(beta1, step)
    return p - rate * m / (sqrt(top) * _scale(beta2, step) + eps), m, v, top


class Adam(Optimizer):
    """Adam. Kingma and Ba, "Adam: a method for stochastic optimization" (2015).

        g += weight_decay * p
        m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g^2
        p -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    With `amsgrad` (Reddi et al. 2018) v is replaced by the largest v so far.
    """

    decoupled = False

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Parameter]],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        groups: Sequence[Group] = (),
    ) -> None:
        super().__init__(
            named_parameters,
            lr,
            groups,
            betas=tuple(betas),
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
        )

    def check(self, **options: Any) -> None:
        if len(options["betas"]) != 2:
            raise ValueError(f"betas must be two numbers, got {options['betas']}")
        for number, beta in enumerate(options["betas"]):
            fraction(f"betas[{number}]", beta)
        not_negative("eps", options["eps"])
        not_negative("weight_decay", options["weight_decay"])

    def slots(self, **options: Any) -> dict[str, float]:
        names = ["exp_avg", "exp_avg_sq"] + ["max_exp_avg_sq"] * options["amsgrad"]
        return dict.fromkeys(names, 0.0)

    def rule(
        self, p: Tensor, g: Tensor, state: State, *, lr: Any, step: Any, **options: Any
    ) -> tuple[Tensor, State]:
        names = list(self.slots(**options))
        fresh, *after = (_amsgrad if options["amsgrad"] else _adam)(
            p,
            g,
            *(state[name] for name in names),
            lr,
            step,
            beta1=options["betas"][0],
            beta2=options["betas"][1],
            eps=options["eps"],
            weight_decay=options["weight_decay"],
            decoupled=self.decoupled,
        )
        return fresh, dict(zip(names, after, strict=True))


class AdamW(Adam):
    """Adam with decoupled weight decay: p -= lr * weight_decay * p, apart from the gradient.

    Loshchilov and Hutter, "Decoupled weight decay regularization" (2019).
    """

    decoupled = True

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Parameter]],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        groups: Sequence[Group] = (),
    ) -> None:
        super().__init__(
            named_parameters,
            lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            groups=groups,
        )
