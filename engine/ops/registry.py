"""The table of operations: one definition each, for every way of running it.

    @op("softmax")
    class Softmax:
        def infer(x, *, axis): return x                  # shape and dtype rule
        def ref(x, *, axis): ...                         # NumPy or CuPy arrays in, arrays out
        def vjp(ctx, g): return ctx.y * (g - (g * ctx.y).sum(ctx.axis, keepdims=True))
        def flops(x, *, axis): return 5 * x.size         # optional; default: one per output element

`infer` takes a `TensorType` per input and returns one (or a tuple of them); it raises the error a
user reads. `ref` takes arrays and returns one (or a tuple). `vjp(ctx, *gradients)` takes and
returns tensors, written in operations, so that tracing and higher orders need nothing more; it
returns one gradient per input (a tuple where there are several), None where there is none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.ir.graph import TensorType

OPS: dict[str, OpDef] = {}


@dataclass(frozen=True, eq=False, slots=True)
class OpDef:
    """One operation.

    promotes: inputs are cast to their common dtype before `infer`.
    view: the output may share memory with input 0 (the interpreter then copies nothing).
    into: `ref` takes `out=` (an array, or a tuple where there are several outputs) and fills it.
    random: draws random numbers; never merged with its twin, never folded away.
    floats: with `promotes`, integer inputs become `float32` as well.
    held: with `promotes`, the places of inputs that keep their own dtype (conditions, indices).
    exprs: of a pointwise operation: attributes -> its scalar expressions, one per output.
    overwrites: an output may lie over an input of its type that nobody reads afterwards.
    bind: (arrays, outs, scratch, attributes) -> a call without arguments that fills the outs as
        `ref` would, with less work each time; the arrays stay where they are. `scratch(place,
        shape, dtype)` lends an array until the call returns.
    """

    name: str
    infer: Callable[..., Any]
    ref: Callable[..., Any]
    vjp: Callable[..., Any] | None
    flops: Callable[..., int]
    inputs: tuple[str, ...]
    variadic: bool
    promotes: bool = False
    view: bool = False
    into: bool = False
    random: bool = False
    floats: bool = False
    held: tuple[int, ...] = ()
    exprs: Callable[..., tuple[Any, ...]] | None = None
    overwrites: bool = False
    bind: Callable[..., Callable[[], Any]] | None = None

    def __repr__(self) -> str:
        return f"<op {self.name}>"


def op(name: str, **flags: Any) -> Callable[[type], OpDef]:
    """Enter the class below into the table; the name then stands for its `OpDef`."""

    def enter(definition: type) -> OpDef:
        members = vars(definition)
        return register(
            name,
            members["infer"],
            members["ref"],
            members.get("vjp"),
            members.get("flops"),
            **flags,
        )

    return enter


def register(
    name: str,
    infer: Callable[..., Any],
    ref: Callable[..., Any],
    vjp: Callable[..., Any] | None = None,
    flops: Callable[..., int] | None = None,
    *,
    inputs: tuple[str, ...] | None = None,
    **flags: Any,
) -> OpDef:
    if name in OPS:
        raise ValueError(f"an operation called {name!r} is registered already")
    parameters = inspect.signature(infer).parameters.values()
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if inputs is None:
        inputs = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
    definition = OpDef(
        name, infer, ref, vjp, flops or _one_per_element(infer), inputs, variadic, **flags
    )
    OPS[name] = definition
    return definition


def _one_per_element(infer: Callable[..., Any]) -> Callable[..., int]:
    def flops(*types: TensorType, **attrs: Any) -> int:
        return sum(t.size for t in outputs_of(infer(*types, **attrs)))

    return flops


def outputs_of(result: Any) -> tuple[Any, ...]:
    """`infer` and `ref` may return one thing or a tuple of things; make it a tuple."""
    return result if isinstance(result, tuple) else (result,)
