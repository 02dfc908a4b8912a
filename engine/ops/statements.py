"""Statements of NumPy for scalar expressions: which function writes which temporary, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.backend.choice import choose
from engine.backend.erf import erf
from engine.ops.scalar import ROUNDING, Expr, build, const, is_const, walk

_UFUNCS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "div": "true_divide", "neg": "negative",
    "abs": "absolute", "sign": "sign", "square": "square", "reciprocal": "reciprocal",
    "sqrt": "sqrt", "exp": "exp", "expm1": "expm1", "log": "log", "log1p": "log1p",
    "log2": "log2", "sin": "sin", "cos": "cos", "tan": "tan", "asin": "arcsin", "acos": "arccos",
    "atan": "arctan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "asinh": "arcsinh",
    "acosh": "arccosh", "atanh": "arctanh", "atan2": "arctan2", "floor": "floor", "ceil": "ceil",
    "round": "rint", "trunc": "trunc", "isnan": "isnan", "isinf": "isinf",
    "isfinite": "isfinite", "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal",
    "gt": "greater", "ge": "greater_equal", "logical_and": "logical_and",
    "logical_or": "logical_or", "logical_xor": "logical_xor", "logical_not": "logical_not",
    "bit_and": "bitwise_and", "bit_or": "bitwise_or", "bit_xor": "bitwise_xor",
    "bit_not": "invert", "shift_left": "left_shift", "shift_right": "right_shift",
    "maximum": "maximum", "minimum": "minimum", "floor_div": "floor_divide",
    "remainder": "remainder", "pow": "power", "erf": "erf", "where": "choose",
}  # fmt: skip


def _expand(expr: Expr, args: tuple[Expr, ...]) -> Expr | None:
    """Primitives that NumPy lacks, in terms of those it has."""
    match expr.op:
        case "sigmoid":
            return build("reciprocal", 1 + build("exp", build("neg", args[0])))
        case "softplus":
            bent = build("log1p", build("exp", build("neg", build("abs", args[0]))))
            return build("maximum", args[0], const(0)) + bent
        case "rsqrt":
            return build("reciprocal", build("sqrt", args[0]))
        case "relu":
            return build("maximum", args[0], const(0))
        case "clip":
            x, low, high = args
            x = x if is_const(low, -np.inf) else build("maximum", x, low)
            return x if is_const(high, np.inf) else build("minimum", x, high)
    return None


def expand(roots: Sequence[Expr]) -> tuple[Expr, ...]:
    done: dict[Expr, Expr] = {}
    for expr in walk(roots):
        args = tuple(done[a] for a in expr.args)
        swap = _expand(expr, args)
        plain = build(expr.op, *args) if args else expr
        done[expr] = plain if swap is None else swap
    return tuple(done[root] for root in roots)


class _Writer:
    """Statements for expressions: those of single numbers first, then those of whole blocks."""

    def __init__(self, roots: Sequence[Expr], single: Sequence[bool], kind: np.dtype) -> None:
        self.roots, self.single, self.kind = roots, single, kind
        self.order = [e for e in walk(roots) if e.args]
        self.constants: dict[str, Any] = {}
        self.names: dict[Expr, str] = {}
        self.head: list[str] = []
        self.body: list[str] = []
        self.free: dict[bool, list[str]] = {False: [], True: []}
        self.made = {False: 0, True: 0}
        self.hoisted: list[str] = []

    def name(self, expr: Expr) -> str:
        if expr in self.names:
            return self.names[expr]
        if expr.op == "input":
            return f"x{expr.value}"
        name = f"c{len(self.constants)}"
        self.constants[name] = expr.value
        self.names[expr] = name
        return name

    def is_single(self, expr: Expr) -> bool:
        if expr.op == "input":
            return bool(self.single[expr.value])
        return expr.op == "const" or (expr in self.names and self.names[expr].startswith("s"))

    def function(self, expr: Expr) -> str:
        return "positive" if expr.op in ROUNDING and self.kind.kind in "iu" else _UFUNCS[expr.op]

    def write(self) -> None:
        blocks = []
        for expr in self.order:
            if any(self.single) and all(self.is_single(a) for a in expr.args):
                name = f"s{len(self.hoisted)}"
                call = "pick" if expr.op == "where" else self.function(expr)
                self.head.append(f"{name} = {call}({', '.join(map(self.name, expr.args))})")
                self.hoisted.append(name)
                self.names[expr] = name
            else:
                blocks.append(expr)
        self._write_blocks(blocks)

    def _write_blocks(self, blocks: list[Expr]) -> None:
        last = {a: i for i, expr in enumerate(blocks) for a in expr.args}
        read = max((i for a, i in last.items() if a.op == "input"), default=-1)
        late: list[tuple[str, Expr]] = []
        direct: dict[Expr, str] = {}
        for place, root in enumerate(self.roots):
            if root in blocks and blocks.index(root) >= read and root not in direct:
                direct[root] = f"o{place}"
            else:
                late.append((f"o{place}", root))
        kept = {root for _, root in late}
        for i, expr in enumerate(blocks):
            truth = expr.is_predicate
            target = direct.get(expr) or self._take(truth)
            args = ", ".join(self.name(a) for a in expr.args)
            self.body.append(f"{self.function(expr)}({args}, out={target})")
            self.names[expr] = target
            for a in dict.fromkeys(expr.args):
                held = self.names.get(a, "")
                if last[a] == i and a not in kept and held[:1] in ("n", "b"):
                    self.free[held[0] == "b"].append(held)
        self.body += [f"{out}[...] = {self.name(root)}" for out, root in late]

    def _take(self, truth: bool) -> str:
        if self.free[truth]:
            return self.free[truth].pop()
        self.made[truth] += 1
        return f"{'b' if truth else 'n'}{self.made[truth] - 1}"


def compiled(roots: Sequence[Expr], single: Sequence[bool], xp: Any, kind: np.dtype) -> Any:
    writer = _Writer(roots, single, kind)
    writer.write()
    inputs = ", ".join(f"x{i}" for i in range(len(single)))
    hoisted = ", ".join(writer.hoisted)
    outs = ", ".join(f"o{i}" for i in range(len(roots)))
    numbers, truths = writer.made[False], writer.made[True]
    held = ", ".join([f"n{i}" for i in range(numbers)] + [f"b{i}" for i in range(truths)])
    lines = [f"def head({inputs}):", *(f"    {s}" for s in writer.head)]
    lines += [f"    return ({hoisted}{',' if hoisted else ''})"]
    lines += [f"def body({', '.join(filter(None, (inputs, hoisted, outs, held)))}):"]
    lines += [f"    {s}" for s in writer.body]
    names = {n: getattr(xp, n) for n in set(_UFUNCS.values()) - {"erf", "choose"}}
    names |= {"positive": xp.positive, "erf": _erf_of(xp), "choose": choose, "pick": _pick}
    names |= writer.constants
    exec(compile("\n".join(lines), "<scalar expression>", "exec"), names)
    return names["head"], names["body"], numbers, truths


def _pick(condition: Any, yes: Any, no: Any) -> Any:
    return yes if condition else no


def _erf_of(xp: Any) -> Any:
    if xp is np:
        return erf
    from cupyx.scipy import special

    return special.erf
