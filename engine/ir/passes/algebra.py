"""Identities that leave every bit, and every stride that a later operation sees, as it was."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from engine.ir.graph import Graph, Node, Value
from engine.ir.passes.dead import prune
from engine.ir.rewrite import Rewrite, rewrite

Inputs = tuple[Value, ...]


def reduce_algebra(graph: Graph) -> Graph:
    """x*1, x/1, x + -0.0, x - 0.0, casts to the same dtype and views of views, done away with."""
    return prune(rewrite(graph, algebra))


def algebra(new: Rewrite, node: Node, inputs: Inputs) -> Sequence[Value] | None:
    rule = _RULES.get(node.op.name)
    return None if rule is None else rule(new, node, inputs)


def _scaling(new: Rewrite, node: Node, inputs: Inputs) -> Sequence[Value] | None:
    x, y = inputs
    if _is_number(new, y, 1):
        return _same(new, node, x)
    return _same(new, node, y) if node.op.name == "mul" and _is_number(new, x, 1) else None


def _addition(new: Rewrite, node: Node, inputs: Inputs) -> Sequence[Value] | None:
    """Adding 0.0 turns -0.0 into 0.0, so only -0.0 is neutral to floats."""
    for one, other in (inputs, inputs[::-1]):
        if _is_zero(new, other, negative=True):
            return _same(new, node, one)
    return None


def _subtraction(new: Rewrite, node: Node, inputs: Inputs) -> Sequence[Value] | None:
    x, y = inputs
    return _same(new, node, x) if _is_zero(new, y, negative=False) else None


def _cast(new: Rewrite, node: Node, inputs: Inputs) -> Sequence[Value] | None:
    return _same(new, node, inputs[0])


def _same(new: Rewrite, node: Node, x: Value) -> Sequence[Value] | None:
    """x itself, if it has the type and the layout that the node would have given its output."""
    same = x.type == node.outputs[0].type and new.layouts.is_contiguous(x)
    return [x] if same else None


def _reshape(new: Rewrite, node: Node, inputs: Inputs) -> Sequence[Value] | None:
    """reshape(reshape(x)) = reshape(x), where neither copies."""
    (plain,) = new.copy(node, inputs)
    below = inputs[0].node
    if below is not None and below.op is node.op:
        source = below.inputs[0]
        if source.type == plain.type and _alike(new, source, plain):
            return [source]
        (direct,) = new.copy(node, [source])
        return [direct if _alike(new, direct, plain) else plain]
    return [inputs[0] if _alike(new, inputs[0], plain) else plain]


def _transpose(new: Rewrite, node: Node, inputs: Inputs) -> Sequence[Value] | None:
    """transpose(transpose(x)) is one transpose, or x."""
    source = inputs[0]
    axes: tuple[int, ...] = tuple(node.attrs["axes"])
    below = source.node
    if below is not None and below.op is node.op:
        source = below.inputs[0]
        axes = tuple([below.attrs["axes"][axis] for axis in axes])
    if axes == tuple(range(len(axes))):
        return [source]
    types = [node.outputs[0].type]
    return new.target.emit(node.op, [source], {"axes": axes}, types, node.origin)


def _expand(new: Rewrite, node: Node, inputs: Inputs) -> Sequence[Value] | None:
    (plain,) = new.copy(node, inputs)
    return [inputs[0] if _alike(new, inputs[0], plain) else plain]


def _alike(new: Rewrite, one: Value, other: Value) -> bool:
    """Whether two values are the same bytes seen with the same strides."""
    return one.type == other.type and new.layouts.of(one) == new.layouts.of(other)


def _is_number(new: Rewrite, value: Value, number: float) -> bool:
    array = new.target.constants.get(value)
    return array is not None and array.size == 1 and np.asarray(array).item() == number


def _is_zero(new: Rewrite, value: Value, *, negative: bool) -> bool:
    if not _is_number(new, value, 0):
        return False
    sign = math.copysign(1, np.asarray(new.target.constants[value]).item())
    return value.type.dtype.kind != "f" or (sign < 0) == negative


_RULES: dict[str, Callable[[Rewrite, Node, Inputs], Sequence[Value] | None]] = {
    "add": _addition,
    "sub": _subtraction,
    "mul": _scaling,
    "div": _scaling,
    "cast": _cast,
    "reshape": _reshape,
    "transpose": _transpose,
    "expand": _expand,
}
