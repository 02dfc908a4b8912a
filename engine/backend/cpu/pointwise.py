"""Scalar expressions as C, over tensors of any strides that broadcast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.backend.cpu.kernels import C_TYPES, Kernel, declare, literal, one
from engine.backend.cpu.loops import Loop
from engine.compile.plan import Launch
from engine.ops.fused import FUSED
from engine.ops.scalar import PREDICATES, Expr, walk

_FLOAT = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}",
    "neg": "-{0}", "square": "{0} * {0}", "reciprocal": "1 / {0}",
    "eq": "{0} == {1}", "ne": "{0} != {1}", "lt": "{0} < {1}", "le": "{0} <= {1}",
    "gt": "{0} > {1}", "ge": "{0} >= {1}", "isnan": "{0} != {0}",
    "logical_and": "({0} != 0) & ({1} != 0)", "logical_or": "({0} != 0) | ({1} != 0)",
    "logical_xor": "({0} != 0) ^ ({1} != 0)", "logical_not": "{0} == 0",
    "where": "{0} ? {1} : {2}",
    "maximum": "({0} > {1} || {0} != {0}) ? {0} : {1}",
    "minimum": "({0} < {1} || {0} != {0}) ? {0} : {1}",
    "relu": "({0} > 0 || {0} != {0}) ? {0} : 0",
    "sign": "{0} != {0} ? {0} : ({0} > 0) - ({0} < 0)",
    "isinf": "{abs}({0}) == INFINITY", "isfinite": "{abs}({0}) < INFINITY",
}  # fmt: skip

#: float: of the runtime, vectorised; double and the rest: the C library's.
_CALLS = {
    "exp": ("gw_exp", "exp"), "log": ("gw_log", "log"), "tanh": ("gw_tanh", "tanh"),
    "erf": ("gw_erf", "erf"), "sigmoid": ("gw_sigmoid", "gw_sigmoid_double"),
    "softplus": ("gw_softplus", "gw_softplus_double"), "log1p": ("gw_log1p", "log1p"),
    "expm1": ("gw_expm1", "expm1"), "sqrt": ("sqrtf", "sqrt"), "abs": ("fabsf", "fabs"),
    "rsqrt": ("gw_rsqrt", "gw_rsqrt_double"), "floor": ("floorf", "floor"),
    "ceil": ("ceilf", "ceil"), "round": ("rintf", "rint"), "trunc": ("truncf", "trunc"),
    "pow": ("powf", "pow"), "log2": ("log2f", "log2"), "sin": ("sinf", "sin"),
    "cos": ("cosf", "cos"), "tan": ("tanf", "tan"), "asin": ("asinf", "asin"),
    "acos": ("acosf", "acos"), "atan": ("atanf", "atan"), "sinh": ("sinhf", "sinh"),
    "cosh": ("coshf", "cosh"), "asinh": ("asinhf", "asinh"), "acosh": ("acoshf", "acosh"),
    "atanh": ("atanhf", "atanh"), "atan2": ("atan2f", "atan2"),
    "clip": ("gw_clip", "gw_clip_double"),
}  # fmt: skip

_BITS = {
    "bit_and": "{0} & {1}", "bit_or": "{0} | {1}", "bit_xor": "{0} ^ {1}", "bit_not": "~{0}",
}  # fmt: skip
_LOGIC = {*PREDICATES, "bit_and", "bit_or", "bit_xor", "where", "input", "const"}

_INTEGER = {
    "add", "sub", "mul", "neg", "square", "eq", "ne", "lt", "le", "gt", "ge", "logical_and",
    "logical_or", "logical_xor", "logical_not", "where", "maximum", "minimum", "relu", "sign",
}  # fmt: skip

_COSTS = {"exp": 8, "log": 8, "tanh": 12, "erf": 16, "sigmoid": 10, "softplus": 16, "pow": 60}


def pointwise(launch: Launch) -> Kernel | None:
    """The kernel of a pointwise operation; None where C lacks one of its primitives or dtypes."""
    op = launch.op
    assert op is not None
    assert op.exprs is not None
    roots = op.exprs(**launch.attrs)
    free = [s for i, s in enumerate(launch.inputs) if i not in op.held]
    name = launch.attrs["kind"] if op is FUSED else (free or launch.inputs)[0].type.dtype.name
    kind = C_TYPES[name]
    shape = launch.outputs[0].type.shape
    if name == "bool" and not _is_logic(roots):
        return None
    loop = Loop([*launch.inputs, *launch.outputs], shape, cost(roots))
    single = {i for i, s in enumerate(launch.inputs) if s.type.size == 1}
    steady = {i for i in range(len(launch.inputs)) if loop.is_steady(i)}
    body = Statements(roots, kind, [set(single), set(steady)])
    if not body.complete:
        return None
    loads: list[list[str]] = [[], [], []]
    for i, slot in enumerate(launch.inputs):
        depth = 0 if i in single else 1 if i in steady else 2
        at = "0" if i in single else loop.index(i)
        loads[depth].append(f"const {C_TYPES[slot.type.dtype.name]} a{i} = x{i}[{at}];")
    head, before, lines = ([*load, *made] for load, made in zip(loads, body.lines, strict=True))
    ins = len(launch.inputs)
    lines += [f"y{i}[{loop.index(ins + i)}] = {body.names[root]};" for i, root in enumerate(roots)]
    text = loop.text(lines, before=before)
    return one("\n".join([declare(launch), *head, text]), loop.parts)


def _is_logic(roots: Sequence[Expr]) -> bool:
    """Whether truth values stay truth values: arithmetic on them is NumPy's own."""
    return all(expr.op in _LOGIC for expr in walk(roots))


def cost(roots: Sequence[Expr]) -> int:
    """Operations of an element, roughly."""
    return sum(_COSTS.get(e.op, 1) for e in walk(roots))


class Statements:
    """C that makes the values of expressions of `a0`, `a1`, …

    levels: the inputs that stay the same at each level of loops, from the outermost on; what
        depends on nothing else is computed there, once.
    lines: statements for each level, and last those of the innermost loop.
    names: what each expression is called. complete: whether C has all primitives.
    """

    def __init__(
        self,
        roots: Sequence[Expr],
        kind: str,
        levels: Sequence[set[int]] = (),
        inputs: Mapping[int, str] | None = None,
    ) -> None:
        self.lines: list[list[str]] = [[] for _ in range(len(levels) + 1)]
        self.names: dict[Expr, str] = {}
        self.complete = True
        self._held: dict[Expr, str] = {}  # what gw_erf_bell gave, by its argument
        self._pairs = _bells(roots) if kind == "float" else {}
        depths: dict[Expr, int] = {}
        for expr in walk(roots):
            if expr.op == "input":
                place = expr.value
                self.names[expr] = inputs[place] if inputs else f"a{place}"
                known = (i for i, level in enumerate(levels) if place in level)
                depths[expr] = next(known, len(levels))
            elif expr.op == "const":
                self.names[expr] = literal(expr.value, kind)
                depths[expr] = 0
            else:
                depths[expr] = max(depths[a] for a in expr.args)
                self._add(expr, depths[expr], kind)

    def _add(self, expr: Expr, depth: int, kind: str) -> None:
        name = f"v{len(self.names)}"
        text = self._of_pair(expr, depth, name)
        if text is None:
            text = _apply(expr, [self.names[a] for a in expr.args], kind)
        self.complete = self.complete and text is not None
        self.names[expr] = name
        held = "int32_t" if expr.is_predicate else kind
        self.lines[depth].append(f"const {held} {name} = {text};")

    def _of_pair(self, expr: Expr, depth: int, name: str) -> str | None:
        """A member of what gw_erf_bell gives, for an expression that is one; the first asks."""
        source = self._pairs.get(expr)
        if source is None:
            return None
        held = self._held.get(source)
        if held is None:
            held = self._held[source] = f"{name}_"
            call = f"gw_erf_bell({self.names[source]})"
            self.lines[depth].append(f"const GwErfBell {held} = {call};")
        return f"{held}.{'erf' if expr.op == 'erf' else 'bell'}"


def _bells(roots: Sequence[Expr]) -> dict[Expr, Expr]:
    """erf z and e^(-z²), where both are wanted, as of GELU and its slope; to z."""
    known = [*walk(roots)]
    sources = {expr.args[0] for expr in known if expr.op == "erf"}
    bells = {expr: z for expr in known if (z := _bell_of(expr)) in sources}
    used = set(bells.values())
    erfs = {expr: expr.args[0] for expr in known if expr.op == "erf" and expr.args[0] in used}
    return erfs | bells


def _bell_of(expr: Expr) -> Expr | None:
    """The z of e^(-z²)."""
    for op in ("exp", "neg", "square"):
        if expr.op != op:
            return None
        (expr,) = expr.args
    return expr


def _apply(expr: Expr, args: list[str], kind: str) -> str | None:
    floating = kind in ("float", "double")
    if not floating and expr.op in _BITS:
        return _BITS[expr.op].format(*args)
    if not floating and expr.op not in _INTEGER:
        return None
    if expr.op in _FLOAT:
        return _FLOAT[expr.op].format(*args, abs="fabsf" if kind == "float" else "fabs")
    if expr.op in _CALLS:
        return f"{_CALLS[expr.op][kind != 'float']}({', '.join(args)})"
    return None
