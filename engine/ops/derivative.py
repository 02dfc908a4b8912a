"""Derivatives of scalar expressions: one rule a primitive, accumulated in reverse."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from engine.errors import GradientError
from engine.ops.scalar import BITS, HALF, PREDICATES, ROUNDING, ZERO, Expr, build as b, walk

_INVERSE_LOG_2 = 1 / math.log(2)
_TWO_BY_ROOT_PI = 2 / math.sqrt(math.pi)

#: rule(g, r, *args) -> what flows into each argument; g flows into the result r.
Rule = Callable[..., tuple[Expr | None, ...]]
RULES: dict[str, Rule] = {
    "add": lambda g, r, x, y: (g, g),
    "sub": lambda g, r, x, y: (g, -g),
    "mul": lambda g, r, x, y: (g * y, g * x),
    "div": lambda g, r, x, y: (g / y, -(g * r / y)),
    "neg": lambda g, r, x: (-g,),
    "abs": lambda g, r, x: (g * b("sign", x),),
    "square": lambda g, r, x: (2 * (g * x),),
    "reciprocal": lambda g, r, x: (-(g * b("square", r)),),
    "sqrt": lambda g, r, x: (0.5 * (g / r),),
    "rsqrt": lambda g, r, x: (-0.5 * (g * (r * b("square", r))),),
    "exp": lambda g, r, x: (g * r,),
    "expm1": lambda g, r, x: (g * (r + 1),),
    "log": lambda g, r, x: (g / x,),
    "log1p": lambda g, r, x: (g / (1 + x),),
    "log2": lambda g, r, x: (_INVERSE_LOG_2 * (g / x),),
    "erf": lambda g, r, x: (_TWO_BY_ROOT_PI * (g * b("exp", -b("square", x))),),
    "sin": lambda g, r, x: (g * b("cos", x),),
    "cos": lambda g, r, x: (-(g * b("sin", x)),),
    "tan": lambda g, r, x: (g * (1 + b("square", r)),),
    "asin": lambda g, r, x: (g * b("rsqrt", 1 - b("square", x)),),
    "acos": lambda g, r, x: (-(g * b("rsqrt", 1 - b("square", x))),),
    "atan": lambda g, r, x: (g / (1 + b("square", x)),),
    "sinh": lambda g, r, x: (g * b("cosh", x),),
    "cosh": lambda g, r, x: (g * b("sinh", x),),
    "tanh": lambda g, r, x: (g * (1 - b("square", r)),),
    "asinh": lambda g, r, x: (g * b("rsqrt", 1 + b("square", x)),),
    "acosh": lambda g, r, x: (g * b("rsqrt", b("square", x) - 1),),
    "atanh": lambda g, r, x: (g / (1 - b("square", x)),),
    "atan2": lambda g, r, y, x: _atan2(g, y, x),
    "sigmoid": lambda g, r, x: (g * (r * (1 - r)),),
    "softplus": lambda g, r, x: (g * b("sigmoid", x),),
    "relu": lambda g, r, x: (b("where", r > 0, g, ZERO),),
    "clip": lambda g, r, x, lo, hi: (b("where", (x >= lo) & (x <= hi), g, ZERO), None, None),
    "maximum": lambda g, r, x, y: (_winner(g, x > y, x, y), _winner(g, y > x, x, y)),
    "minimum": lambda g, r, x, y: (_winner(g, x < y, x, y), _winner(g, y < x, x, y)),
    "remainder": lambda g, r, x, y: (g, -(g * b("floor", x / y))),
    "pow": lambda g, r, x, y: (g * (y * b("pow", x, y - 1)), _exponent(g, r, x)),
    "where": lambda g, r, c, x, y: (None, b("where", c, g, ZERO), b("where", c, ZERO, g)),
}
#: Primitives that are constant wherever they have a derivative.
FLAT = PREDICATES | {"sign", "floor_div", *ROUNDING, *BITS}


def _atan2(g: Expr, y: Expr, x: Expr) -> tuple[Expr, Expr]:
    length = b("square", x) + b("square", y)
    return g * x / length, -(g * y / length)


def _winner(g: Expr, wins: Expr, x: Expr, y: Expr) -> Expr:
    """The gradient goes to the winner; equals share it."""
    return b("where", wins, g, b("where", b("eq", x, y), HALF * g, ZERO))


def _exponent(g: Expr, r: Expr, x: Expr) -> Expr:
    return b("where", b("eq", x, ZERO), ZERO, g * (r * b("log", x)))


def pull_back(
    roots: Sequence[Expr], gradients: Sequence[Expr], inputs: Sequence[Expr]
) -> list[Expr]:
    """What flows into each of `inputs` when `gradients` flow into `roots`; ZERO where nothing."""
    flows: dict[Expr, Expr] = {}

    def flow(into: Expr, amount: Any) -> None:
        held = flows.get(into)
        flows[into] = amount if held is None else held + amount

    for root, gradient in zip(roots, gradients, strict=True):
        flow(root, gradient)
    for expr in reversed(list(walk(roots))):
        if expr not in flows or not expr.args or expr.op in FLAT:
            continue
        rule = RULES.get(expr.op)
        if rule is None:
            raise GradientError(f"the scalar function {expr.op!r} has no derivative")
        for argument, amount in zip(expr.args, rule(flows[expr], expr, *expr.args), strict=True):
            if amount is not None and amount != ZERO:
                flow(argument, amount)
    return [flows.get(x, ZERO) for x in inputs]
