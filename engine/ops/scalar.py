"""Scalar expressions: what a pointwise function does to one element, as a small immutable graph.

Calling a Python function with `Expr` arguments traces it. NumPy code (`vectors.py`), derivatives
(`derivative.py`) and operation counts all come from the expression; nothing is evaluated from text
that a user wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

Number = bool | int | float

_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite")
_LOGIC = ("logical_and", "logical_or", "logical_xor", "logical_not")
#: Primitives whose result is a truth value.
PREDICATES = frozenset((*_COMPARISONS, *_LOGIC))
ROUNDING = ("floor", "ceil", "round", "trunc")
BITS = ("bit_and", "bit_or", "bit_xor", "bit_not", "shift_left", "shift_right")
_NEEDS_NUMBER = ("add", "sub", "mul", "div", "neg", "maximum", "minimum", "pow", "square")
_CHOICES = ("abs", "sign", "floor_div", "remainder", "clip", "where", "relu")
#: Primitives that keep integers integers; every other one (but predicates) works on floats.
INTEGRAL = frozenset((*_NEEDS_NUMBER, *_CHOICES, *ROUNDING, *BITS)) - {"div"}


class Expr:
    """A constant, an input or a primitive applied to expressions. Equal structures are equal."""

    __slots__ = ("_hash", "args", "op", "value")

    def __init__(self, op: str, args: tuple[Expr, ...] = (), value: Any = None) -> None:
        self.op = op
        self.args = args
        self.value = value  # the number of a constant, the place of an input
        self._hash = hash((op, args, repr(value)))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Expr)
            and self._hash == other._hash
            and self.op == other.op
            and repr(self.value) == repr(other.value)
            and self.args == other.args
        )

    def __bool__(self) -> bool:
        raise TypeError("a scalar expression has no truth value; choose with where(c, a, b)")

    def __repr__(self) -> str:
        if self.op == "const":
            return repr(self.value)
        if self.op == "input":
            return f"x{self.value}"
        return f"{self.op}({', '.join(map(repr, self.args))})"

    @property
    def is_predicate(self) -> bool:
        if self.op == "where":
            return self.args[1].is_predicate and self.args[2].is_predicate
        return self.op in PREDICATES or (self.op == "const" and isinstance(self.value, bool))

    def __add__(self, other: Any) -> Expr:
        return build("add", self, other)

    def __radd__(self, other: Any) -> Expr:
        return build("add", other, self)

    def __sub__(self, other: Any) -> Expr:
        return build("sub", self, other)

    def __rsub__(self, other: Any) -> Expr:
        return build("sub", other, self)

    def __mul__(self, other: Any) -> Expr:
        return build("mul", self, other)

    def __rmul__(self, other: Any) -> Expr:
        return build("mul", other, self)

    def __truediv__(self, other: Any) -> Expr:
        return build("div", self, other)

    def __rtruediv__(self, other: Any) -> Expr:
        return build("div", other, self)

    def __pow__(self, other: Any) -> Expr:
        return build("pow", self, other)

    def __neg__(self) -> Expr:
        return build("neg", self)

    def __lt__(self, other: Any) -> Expr:
        return build("lt", self, other)

    def __le__(self, other: Any) -> Expr:
        return build("le", self, other)

    def __gt__(self, other: Any) -> Expr:
        return build("gt", self, other)

    def __ge__(self, other: Any) -> Expr:
        return build("ge", self, other)

    def __and__(self, other: Any) -> Expr:
        return build("logical_and", self, other)

    def __or__(self, other: Any) -> Expr:
        return build("logical_or", self, other)

    def __invert__(self) -> Expr:
        return build("logical_not", self)


def const(value: Number) -> Expr:
    return Expr("const", (), value)


def argument(place: int) -> Expr:
    return Expr("input", (), place)


ZERO, ONE, HALF = const(0), const(1), const(0.5)


def is_const(e: Expr, value: Number | None = None) -> bool:
    return e.op == "const" and (value is None or e.value == value)


def build(op: str, *args: Any) -> Expr:
    """The primitive `op` of `args`, simplified."""
    exprs = tuple(a if isinstance(a, Expr) else const(a) for a in args)
    if op in _NEEDS_NUMBER and any(e.is_predicate for e in exprs):
        exprs = tuple(build("where", e, ONE, ZERO) if e.is_predicate else e for e in exprs)
    rule = _SIMPLER.get(op)
    simpler = rule(*exprs) if rule is not None else None
    return Expr(op, exprs) if simpler is None else simpler


def primitive(name: str) -> Callable[..., Expr]:
    """The primitive as a function to write scalar functions with."""
    return lambda *args: build(name, *args)


def _add(a: Expr, b: Expr) -> Expr | None:
    if is_const(a) and is_const(b):
        return const(a.value + b.value)
    if is_const(a, 0):
        return b
    if is_const(b, 0):
        return a
    if b.op == "neg":
        return build("sub", a, b.args[0])
    return build("sub", b, a.args[0]) if a.op == "neg" else None


def _sub(a: Expr, b: Expr) -> Expr | None:
    if is_const(a) and is_const(b):
        return const(a.value - b.value)
    if is_const(b, 0):
        return a
    if is_const(a, 0):
        return build("neg", b)
    return build("add", a, b.args[0]) if b.op == "neg" else None


def _mul(a: Expr, b: Expr) -> Expr | None:
    if is_const(b) and not is_const(a):
        a, b = b, a
    if is_const(a):
        return _scaled(a, b)
    if a == b:
        return build("square", a)
    for one, other in ((a, b), (b, a)):
        if other.op == "neg":
            return build("neg", build("mul", one, other.args[0]))
        if other.op == "reciprocal":
            return build("div", one, other.args[0])
        if other.op == "where" and any(is_const(branch, 0) for branch in other.args[1:]):
            condition, yes, no = other.args
            return build("where", condition, build("mul", one, yes), build("mul", one, no))
    return None


def _scaled(a: Expr, b: Expr) -> Expr | None:
    if is_const(b):
        return const(a.value * b.value)
    if is_const(a, 0):
        return ZERO
    if is_const(a, 1):
        return b
    if is_const(a, -1):
        return build("neg", b)
    if b.op == "neg":
        return build("mul", const(-a.value), b.args[0])
    if b.op == "mul" and is_const(b.args[0]):
        return build("mul", const(a.value * b.args[0].value), b.args[1])
    return Expr("mul", (a, b))


def _div(a: Expr, b: Expr) -> Expr | None:
    if is_const(b, 1):
        return a
    if is_const(a, 0):
        return ZERO
    if is_const(a) and is_const(b) and b.value:
        return const(a.value / b.value)
    if a.op == "neg":
        return build("neg", build("div", a.args[0], b))
    return build("reciprocal", b) if is_const(a, 1) else None


def _neg(a: Expr) -> Expr | None:
    if is_const(a):
        return const(-a.value)
    if a.op == "sub":
        return build("sub", a.args[1], a.args[0])
    return a.args[0] if a.op == "neg" else None


def _square(a: Expr) -> Expr | None:
    if is_const(a):
        return const(a.value * a.value)
    return build("square", a.args[0]) if a.op in ("neg", "abs") else None


def _pow(a: Expr, b: Expr) -> Expr | None:
    if is_const(a) and is_const(b):
        return const(a.value**b.value)
    if not is_const(b):
        return None
    match b.value:
        case 0:
            return ONE
        case 1:
            return a
        case 2:
            return build("square", a)
        case 3:
            return build("mul", a, build("square", a))
        case 4:
            return build("square", build("square", a))
    roots = {0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}
    return build(roots[b.value], a) if b.value in roots else None


def _where(condition: Expr, yes: Expr, no: Expr) -> Expr | None:
    if is_const(condition):
        return yes if condition.value else no
    return yes if yes == no else None


_SIMPLER: dict[str, Callable[..., Expr | None]] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "neg": _neg,
    "square": _square,
    "pow": _pow,
    "where": _where,
}


def is_zero(expr: Expr) -> bool:
    """Whether an expression is the constant 0."""
    return expr.op == "const" and expr.value == 0


def walk(roots: Sequence[Expr]) -> Iterator[Expr]:
    """Every expression under `roots` once, arguments before what uses them."""
    seen: set[Expr] = set()
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        expr, ready = stack.pop()
        if expr in seen:
            continue
        if ready:
            seen.add(expr)
            yield expr
        else:
            stack.append((expr, True))
            stack.extend((argument, False) for argument in reversed(expr.args))


def replace(roots: Sequence[Expr], swap: dict[Expr, Expr]) -> tuple[Expr, ...]:
    """The same expressions with every key of `swap` exchanged for its value."""
    done: dict[Expr, Expr] = dict(swap)
    for expr in walk(roots):
        if expr not in done:
            done[expr] = build(expr.op, *(done[a] for a in expr.args)) if expr.args else expr
    return tuple(done[root] for root in roots)


@lru_cache(4096)
def operations(roots: tuple[Expr, ...]) -> int:
    """How many primitives one element costs."""
    return sum(1 for expr in walk(roots) if expr.args)
