"""Pointwise operations from scalar functions: `@pointwise` and their derivatives.

    @pointwise
    def gelu(x): return 0.5 * x * (1 + erf(x * 0.7071067811865476))

`gelu(tensor)` applies the operation; `gelu(expr)` inside another scalar function is part of it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from threading import Lock
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from engine import dtypes
from engine.errors import DtypeError, ShapeError
from engine.ir.graph import TensorType
from engine.ops.derivative import pull_back
from engine.ops.registry import OPS, OpDef, register
from engine.ops.scalar import (
    INTEGRAL,
    PREDICATES,
    Expr,
    argument,
    is_const,
    operations,
    replace,
    walk,
)
from engine.ops.vectors import Scratch, VectorCode
from engine.tape import Context

if TYPE_CHECKING:
    from engine.tensor import Tensor

#: The plain operation that does just one primitive to its inputs, e.g. "mul".
_PLAIN: dict[str, str] = {}
_deriving = Lock()


class Pointwise:
    """A scalar function entered into the table of operations; call it on tensors or expressions.

    held: names of inputs that keep their own dtype (conditions).
    """

    def __init__(
        self, name: str, function: Callable[..., Any], *, held: tuple[str, ...] = ()
    ) -> None:
        self.name, self._function = name, function
        parameters = inspect.signature(function).parameters.values()
        self.inputs = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
        self.held = tuple(place for place, n in enumerate(self.inputs) if n in held)
        self._defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        self._traced: dict[Any, tuple[tuple[Expr, ...], VectorCode]] = {}
        self.__doc__ = function.__doc__
        self.op = self._register()

    @overload
    def __call__(self, first: Expr, *inputs: Any, **attrs: Any) -> Expr: ...

    @overload
    def __call__(self, first: Any, *inputs: Any, **attrs: Any) -> Tensor: ...

    def __call__(self, *inputs: Any, **attrs: Any) -> Any:
        if any(isinstance(x, Expr) for x in inputs):
            return self._function(*inputs, **attrs)
        from engine.dispatch import apply

        return apply(self.op, *inputs, **attrs)

    def __repr__(self) -> str:
        return f"<pointwise {self.name}>"

    def trace(self, **attrs: Any) -> tuple[tuple[Expr, ...], VectorCode]:
        """The expressions (one per output) and their NumPy code, for one set of attributes."""
        key = tuple(sorted(attrs.items())) if attrs else ()
        found = self._traced.get(key)
        if found is None:
            result = self._function(*map(argument, range(len(self.inputs))), **attrs)
            roots = result if isinstance(result, tuple) else (result,)
            found = roots, VectorCode(roots)
            self._traced[key] = found
        return found

    def exprs(self, **attrs: Any) -> tuple[Expr, ...]:
        return self.trace(**attrs)[0]

    def _register(self) -> OpDef:
        floats = False
        if all(d is not inspect.Parameter.empty for d in self._defaults.values()):
            roots = self.exprs(**self._defaults)
            floats = _needs_floats(roots)
            _remember_plain(self.name, roots, len(self.inputs))
        return register(
            self.name,
            self._infer,
            self._ref,
            self._vjp,
            self._flops,
            inputs=self.inputs,
            promotes=True,
            floats=floats,
            into=True,
            held=self.held,
            exprs=self.exprs,
            bind=self._bind,
        )

    def _kind(self, kinds: list[np.dtype]) -> np.dtype:
        if not self.held:
            return kinds[0]
        free = [k for place, k in enumerate(kinds) if place not in self.held]
        return free[0] if free else kinds[0]

    def _infer(self, *types: TensorType, **attrs: Any) -> Any:
        kind = self._kind([t.dtype for t in types])
        try:
            shape = broadcast(*[t.shape for t in types])
        except ValueError:
            raise ShapeError(_mismatch(self.name, types)) from None
        found = [
            TensorType(shape, dtypes.bool_ if truth else kind)
            for truth in self.trace(**attrs)[1].predicates
        ]
        return tuple(found) if len(found) > 1 else found[0]

    def _ref(self, *arrays: Any, out: Any = None, **attrs: Any) -> Any:
        code = self.trace(**attrs)[1]
        try:
            found = code(arrays, self._kind([a.dtype for a in arrays]), out)
        except TypeError as error:
            kinds = ", ".join(a.dtype.name for a in arrays)
            raise DtypeError(f"{self.name} does not work on {kinds}: {error}") from error
        return found if len(found) > 1 else found[0]

    def _bind(
        self, arrays: Sequence[Any], outs: Sequence[Any], scratch: Scratch, **attrs: Any
    ) -> Callable[[], Any]:
        code = self.trace(**attrs)[1]
        return code.bind(arrays, self._kind([a.dtype for a in arrays]), tuple(outs), scratch)

    def _flops(self, *types: TensorType, **attrs: Any) -> int:
        return operations(self.exprs(**attrs)) * prod(broadcast(*(t.shape for t in types)))

    def _vjp(self, ctx: Context, *gradients: Any) -> tuple[Any, ...]:
        tensors = (*ctx.inputs, *ctx.ys, *gradients)
        return tuple(
            self._flow(place, tensors, ctx) if ctx.needs[place] else None
            for place in range(len(self.inputs))
        )

    def _flow(self, place: int, tensors: tuple[Any, ...], ctx: Context) -> Any:
        from engine.dispatch import apply
        from engine.ops.movement import sum_to

        expr = self.derivative(place, **ctx.attrs)
        if is_const(expr, 0):
            return None
        target = ctx.inputs[place].shape
        if expr.op == "input":
            return sum_to(tensors[expr.value], target)
        plain = _PLAIN.get(expr.op)
        if plain and all(a.op in ("input", "const") for a in expr.args):
            args = [a.value if a.op == "const" else tensors[a.value] for a in expr.args]
            return sum_to(apply(plain, *args), target)
        op, used = self._derived(place, expr, ctx.attrs)
        return sum_to(apply(op, *(tensors[i] for i in used), **ctx.attrs), target)

    def derivative(self, place: int, **attrs: Any) -> Expr:
        """What flows into input `place`, over (inputs, outputs, gradients of the outputs)."""
        key = (place, *sorted(attrs.items()))
        found = self._traced.get(key)
        if found is not None:
            return found[0][0]
        roots = self.exprs(**attrs)
        inputs, count = len(self.inputs), len(roots)
        gradients = [argument(inputs + count + i) for i in range(count)]
        flows = pull_back(roots, gradients, [argument(place)])
        by_output = {r: argument(inputs + i) for i, r in enumerate(roots) if r.args}
        expr = replace(flows, by_output)[0]
        self._traced[key] = ((expr,), VectorCode((expr,)))
        return expr

    def _derived(self, place: int, expr: Expr, attrs: dict[str, Any]) -> tuple[OpDef, list[int]]:
        """The pointwise operation that computes `expr`, and which tensors it reads."""
        used = sorted({e.value for e in walk((expr,)) if e.op == "input"})
        name = f"{self.name}.d{place}[{','.join(map(str, used))}]"
        with _deriving:
            if name not in OPS:
                _Derived(name, self, place, used)
        return OPS[name], used


class _Derived(Pointwise):
    """The derivative of a pointwise operation, itself one: so any order works."""

    def __init__(self, name: str, parent: Pointwise, place: int, used: list[int]) -> None:
        def function(*inputs: Expr, **attrs: Any) -> Expr:
            swap = {argument(i): x for i, x in zip(used, inputs, strict=True)}
            return replace((parent.derivative(place, **attrs),), swap)[0]

        names = [f"x{i}" for i in used]
        held = tuple(f"x{i}" for i in used if i in parent.held)
        super().__init__(name, _with_signature(function, names, parent._defaults), held=held)


def _with_signature(
    function: Callable[..., Any], names: list[str], defaults: dict[str, Any]
) -> Callable[..., Any]:
    kinds = inspect.Parameter
    parameters = [kinds(n, kinds.POSITIONAL_OR_KEYWORD) for n in names]
    parameters += [kinds(n, kinds.KEYWORD_ONLY, default=d) for n, d in defaults.items()]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return function


@overload
def pointwise(function: Callable[..., Any]) -> Pointwise: ...


@overload
def pointwise(
    *, name: str = "", held: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Pointwise]: ...


def pointwise(function: Any = None, *, name: str = "", held: tuple[str, ...] = ()) -> Any:
    """Enter a scalar function into the table; its keyword-only parameters become attributes.

    name: in the table, that of the function unless told. held: inputs that keep their own dtype.
    """

    def enter(given: Callable[..., Any]) -> Pointwise:
        return Pointwise(name or given.__name__.rstrip("_"), given, held=held)

    return enter if function is None else enter(function)


@lru_cache(4096)
def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    return np.broadcast_shapes(*shapes)


def _mismatch(name: str, types: tuple[TensorType, ...]) -> str:
    shapes = " and ".join(str(list(t.shape)) for t in types)
    return (
        f"{name}: the shapes {shapes} do not broadcast; counted from the last axis, lengths must "
        "be equal or 1"
    )


def _remember_plain(name: str, roots: tuple[Expr, ...], inputs: int) -> None:
    root = roots[0]
    if len(roots) == 1 and root.args == tuple(map(argument, range(inputs))):
        _PLAIN.setdefault(root.op, name)


def _needs_floats(roots: tuple[Expr, ...]) -> bool:
    """Whether integers must become floats before the expression makes sense."""
    for expr in walk(roots):
        if expr.op == "const":
            if isinstance(expr.value, float) and math.isfinite(expr.value):
                return True
        elif expr.op not in INTEGRAL and expr.op not in PREDICATES and expr.op != "input":
            return True
    return False
