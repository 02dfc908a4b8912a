"""Convolutions take over what follows them: the scale and shift of each channel, an addition, ReLU.

For back ends that compile them, after `fuse`: what stood in an operation of its own is done while
the numbers are on their way to memory. Batch normalisation in evaluation is such a scale and shift,
and both depend on the weights of the model alone. Numbers change by rounding.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from engine.ir.graph import Graph, Node, TensorType, Value
from engine.ir.passes.fuse import kind_of
from engine.ir.rewrite import Rewrite
from engine.ops.fused import FUSED
from engine.ops.fused_conv import FUSED_CONV
from engine.ops.pointwise import broadcast
from engine.ops.registry import OPS, OpDef
from engine.ops.scalar import ONE, ZERO, Expr, argument, build, const, is_const, replace, walk

KIND = "float32"


def end_convolutions(graph: Graph) -> Graph:
    """The same graph with convolutions that end in what followed them."""
    while True:  # what is added to one convolution may be the result of another
        endings = _endings(graph)
        if not endings:
            return graph
        graph = _rewritten(graph, endings)


class Line(NamedTuple):
    """slope · t + rest, for the result t of a convolution."""

    slope: Expr
    rest: Expr


@dataclass(frozen=True, slots=True)
class Ending:
    """A convolution and what its result t becomes: scale · t + shift + more, then maybe ReLU.

    inputs: what the expressions read, those of the pointwise operation.
    """

    conv: Node
    inputs: tuple[Value, ...]
    scale: Expr
    shift: Expr
    more: Expr
    relu: bool


def _endings(graph: Graph) -> dict[int, Ending]:
    """By the index of the operation that a convolution takes over."""
    uses = Counter(value for node in graph.nodes for value in set(node.inputs))
    uses.update(graph.outputs)
    order = {value: i for i, node in enumerate(graph.nodes) for value in node.outputs}
    found: dict[int, Ending] = {}
    for i, node in enumerate(graph.nodes):
        if len(node.outputs) != 1 or kind_of(node) != KIND or node.op.name == "cast":
            continue
        convs = [v for v in node.inputs if _is_conv(v) and uses[v] == 1]
        for value in sorted(set(convs), key=lambda v: -order[v]):
            ending = _ending(graph, node, value)
            if ending is not None:
                found[i] = ending
                break
    return found


def _is_conv(value: Value) -> bool:
    return value.node is not None and value.node.op is OPS["conv"]


def _ending(graph: Graph, node: Node, result: Value) -> Ending | None:
    """The node as the ending of the convolution that makes `result`; None where it is none."""
    made = node.outputs[0].type
    if node.op.exprs is None or result.type != made or result.node is None:
        return None
    (root,) = node.op.exprs(**node.attrs)
    known: dict[Value, Expr] = {}
    for p, value in enumerate(node.inputs):
        single = value.type.size == 1 and value.type.dtype.name == KIND
        array = graph.constants.get(value) if single else None
        known.setdefault(value, argument(p) if array is None else const(array.item()))
    swap = {argument(p): known[value] for p, value in enumerate(node.inputs)}
    (root,) = replace((root,), swap)
    relu = root.op == "relu"
    line = _line(root.args[0] if relu else root, known[result])
    if line is None:
        return None
    each = {p for p, v in enumerate(node.inputs) if _is_of_channel(v.type, made)}
    shift, more = _parted(line.rest, each)
    ending = Ending(result.node, node.inputs, line.slope, shift, more, relu)
    return ending if _inputs(line.slope) <= each and _is_whole(ending, made) else None


def _is_whole(ending: Ending, made: TensorType) -> bool:
    """Whether scale, shift and what is added have the sizes that they need."""
    added = [ending.inputs[p].type for p in _inputs(ending.more)]
    if added and broadcast(*(kind.shape for kind in added)) != made.shape:
        return False
    if ending.more.op == "input" and added[0] != made:
        return False
    lines = [e for e in (ending.scale, ending.shift) if not is_const(e)]
    return all(
        any(ending.inputs[p].type.size == made.shape[1] for p in _inputs(e)) for e in lines
    ) and all(ending.inputs[p].type.dtype == made.dtype for e in lines for p in _inputs(e))


def _is_of_channel(given: TensorType, made: TensorType) -> bool:
    """Whether a tensor is one number, or one for each channel."""
    shape = (1,) * (made.ndim - given.ndim) + given.shape
    return all(n == 1 or axis == 1 for axis, n in enumerate(shape))


def _line(e: Expr, t: Expr) -> Line | None:
    """The expression as a line in t; None where it is none."""
    if e == t:
        return Line(ONE, ZERO)
    if t not in walk((e,)):
        return None
    sides = [_line(a, t) for a in e.args]
    match e.op, sides:
        case "neg", [Line(slope, rest)]:
            return Line(-slope, -rest)
        case "add", [Line(slope, rest), None]:
            return Line(slope, rest + e.args[1]) if _free(e.args[1], t) else None
        case "add", [None, Line(slope, rest)]:
            return Line(slope, e.args[0] + rest) if _free(e.args[0], t) else None
        case "sub", [Line(slope, rest), None]:
            return Line(slope, rest - e.args[1]) if _free(e.args[1], t) else None
        case "sub", [None, Line(slope, rest)]:
            return Line(-slope, e.args[0] - rest) if _free(e.args[0], t) else None
        case "mul", [Line(slope, rest), None]:
            b = e.args[1]
            return Line(slope * b, rest * b) if _free(b, t) else None
        case "mul", [None, Line(slope, rest)]:
            a = e.args[0]
            return Line(a * slope, a * rest) if _free(a, t) else None
        case "div", [Line(slope, rest), None]:
            b = e.args[1]
            return Line(slope / b, rest / b) if _free(b, t) else None
    return None


def _free(e: Expr, t: Expr) -> bool:
    return t not in walk((e,))


def _inputs(e: Expr) -> set[int]:
    return {part.value for part in walk((e,)) if part.op == "input"}


def _parted(e: Expr, each: set[int]) -> tuple[Expr, Expr]:
    """A sum as what depends on the channel alone, and the rest."""
    if _inputs(e) <= each:
        return e, ZERO
    if e.op not in ("add", "sub"):
        return ZERO, e
    (a, b), (c, d) = (_parted(part, each) for part in e.args)
    return build(e.op, a, c), build(e.op, b, d)


def _rewritten(graph: Graph, endings: dict[int, Ending]) -> Graph:
    new = Rewrite(graph)
    moved = {id(ending.conv) for ending in endings.values()}
    for i, node in enumerate(graph.nodes):
        if i in endings:
            new.to[node.outputs[0]] = _write(new, node, endings[i])
        elif id(node) not in moved:
            inputs = [new.value(value) for value in node.inputs]
            new.to.update(zip(node.outputs, new.copy(node, inputs), strict=True))
    return new.finish()


def _write(new: Rewrite, node: Node, ending: Ending) -> Value:
    conv, made = ending.conv, node.outputs[0].type
    result = conv.outputs[0]
    given = {p: new.value(v) for p, v in enumerate(ending.inputs) if v is not result}
    scale, shift, more = ending.scale, ending.shift, ending.more
    if len(conv.inputs) == 3:
        bias = new.value(conv.inputs[2])
        if not (is_const(scale, 1) and is_const(shift, 0)):
            line = (made.shape[1], *(1,) * (made.ndim - 2))
            bias = _emit(new, OPS["reshape"], [bias], {"shape": line}, line, node)
        given[len(ending.inputs)] = bias
        shift = shift + scale * argument(len(ending.inputs))
    after: dict[str, Value] = {}
    if not is_const(scale, 1):
        after["scale"] = _of_channels(new, scale, given, node)
    if not is_const(shift, 0):
        after["shift"] = _of_channels(new, shift, given, node)
    if not is_const(more, 0):
        after["more"] = _computed(new, more, given, made.shape, node)
    inputs = [*map(new.value, conv.inputs[:2]), *after.values()]
    attrs = {**conv.attrs, "after": tuple(after), "relu": ending.relu}
    return new.target.emit(FUSED_CONV, inputs, attrs, [made], conv.origin)[0]


def _of_channels(new: Rewrite, e: Expr, given: dict[int, Value], node: Node) -> Value:
    if e.op == "const":
        channels = node.outputs[0].type.shape[1]
        return new.target.constant(np.full(channels, e.value, KIND))
    return _computed(new, e, given, None, node)


def _computed(
    new: Rewrite, e: Expr, given: dict[int, Value], shape: tuple[int, ...] | None, node: Node
) -> Value:
    """The value of an expression of `given`, of this shape or as its inputs have it."""
    if e.op == "input":
        return given[e.value]
    places = sorted(_inputs(e))
    inputs = [given[p] for p in places]
    swap = {argument(p): argument(i) for i, p in enumerate(places)}
    if shape is None:
        shape = broadcast(*(value.type.shape for value in inputs))
    return _emit(new, FUSED, inputs, {"roots": replace((e,), swap), "kind": KIND}, shape, node)


def _emit(
    new: Rewrite, op: OpDef, inputs: list[Value], attrs: dict[str, Any], shape: Any, node: Node
) -> Value:
    kind = TensorType(tuple(shape), np.dtype(KIND))
    return new.target.emit(op, inputs, attrs, [kind], node.origin)[0]
