"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engine.nn.parameter import Parameter
from engine.ops.pointwise import pointwise
from engine.ops.scalar import Expr
from engine.optim.optimizer import Group, Optimizer, State
from engine.optim.ranges import fraction, not_negative
from engine.tensor import Tensor


@pointwise(name="sgd")
def _sgd(p: Expr, g: Expr, lr: Expr, *, weight_decay: float = 0.0) -> Expr:
    return p - lr * (g + weight_decay * p if weight_decay else g)


@pointwise(name="sgd_momentum")
def _sgd_momentum(
    p: Expr,
    g: Expr,
    momentum_buffer: Expr,
    lr: Expr,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> tuple[Expr, Expr]:
    g = g + weight_decay * p if weight_decay else g
    buffer = momentum * momentum_buffer + g
    return p - lr * (g + momentum * buffer if nesterov else buffer), buffer


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Polyak 1964) as PyTorch counts it.

        g += weight_decay * p;  b = momentum * b + g;  p -= lr * b

    With `nesterov` (Sutskever et al. 2013) the step is g + momentum * b in place of b.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Parameter]],
        lr: float = 1e-2,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        groups: Sequence[Group] = (),
    ) -> None:
        super().__init__(
            named_parameters,
            lr,
            groups,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
        )

    def check(self, **options: Any) -> None:
        fraction("momentum", options["momentum"])
        not_negative("weight_decay", options["weight_decay"])
        if options["nesterov"] and not options["momentum"]:
            raise ValueError("nesterov needs a momentum above 0")

    def slots(self, **options: Any) -> dict[str, float]:
        return {"momentum_buffer": 0.0} if options["momentum"] else {}

    def rule(
        self, p: Tensor, g: Tensor, state: State, *, lr: Any, step: Any, **options: Any
    ) -> tuple[Tensor, State]:
        if not options["momentum"]:
            return _sgd(p, g, lr, weight_decay=options["weight_decay"]), {}
        fresh, buffer = _sgd_momentum(p, g, state["momentum_buffer"], lr, **options)
        return fresh, {"momentum_buffer": buffer}
