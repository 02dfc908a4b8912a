"""Reverse-mode differentiation of graphs, in the order in which eager tensors would do it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.autograd import pull_back
from engine.dispatch import apply, as_value
from engine.dtypes import is_float
from engine.errors import GradientError
from engine.ir.graph import Graph, Node, Origin, Value
from engine.ir.rewrite import rewrite
from engine.ir.trace import enter
from engine.tensor import Tensor


def differentiate(graph: Graph, wrt: Sequence[int] | None = None, *, output: int = 0) -> Graph:
    """The graph with d output / d input appended to its outputs, for the inputs at `wrt`.

    output: index of a scalar output. wrt: indices of inputs; all floating inputs by default. An
    input that has no part in the output gets zeros. Apply it again for higher orders.
    """
    new = rewrite(graph)
    chosen = wrt if wrt is not None else _floating(new)
    inputs = [new.inputs[index] for index in chosen]
    new.closed = False
    found = gradients(new.outputs[output], inputs)
    for value, gradient in zip(inputs, found, strict=True):
        new.names.append(f"d {value.name}" if value.name else "")
        new.outputs.append(_zeros(new, value) if gradient is None else gradient)
    new.closed, new.form = True, None
    return new


def gradients(output: Value, wrt: Sequence[Value]) -> list[Value | None]:
    """Append d output / d wrt to the graph of `output`; None where a value has no part in it."""
    graph = output.graph
    if output.type.size != 1 or not is_float(output.type.dtype):
        raise GradientError(f"only a floating scalar has a gradient; the output is {output.type}")
    found: dict[Value, Value] = {
        output: graph.constant(np.ones(output.type.shape, output.type.dtype))
    }
    with enter(graph):
        for node, needs in reversed(_path(graph, wrt)):
            if any(value in found for value in node.outputs):
                _pull(graph, node, needs, found)
    return [found.get(value) for value in wrt]


def _path(graph: Graph, wrt: Sequence[Value]) -> list[tuple[Node, tuple[bool, ...]]]:
    """The nodes through which `wrt` reaches anything, with the inputs that it comes by."""
    reached = set(wrt)
    path = []
    for node in graph.nodes:
        needs = tuple([value in reached for value in node.inputs])
        if not any(needs) or node.op.vjp is None or node.origin.passive:
            continue
        floats = [value for value in node.outputs if is_float(value.type.dtype)]
        if floats:
            reached.update(floats)
            path.append((node, needs))
    return path


def _pull(graph: Graph, node: Node, needs: tuple[bool, ...], found: dict[Value, Value]) -> None:
    origin = Origin(node.origin.scope, "backward")
    with graph.originating(lambda: origin):
        inputs = tuple([Tensor(value) for value in node.inputs])
        outputs = tuple([Tensor(value) for value in node.outputs])
        given = [found.get(value) for value in node.outputs]
        flows = [None if value is None else Tensor(value) for value in given]
        fresh = pull_back(node.op, inputs, node.attrs, outputs, flows, needs)
        for value, gradient in zip(node.inputs, fresh, strict=True):
            if gradient is None:
                continue
            held = found.get(value)
            total = gradient if held is None else apply("add", Tensor(held), gradient)
            found[value] = as_value(graph, total.data)


def _floating(graph: Graph) -> list[int]:
    return [i for i, value in enumerate(graph.inputs) if is_float(value.type.dtype)]


def _zeros(graph: Graph, value: Value) -> Value:
    return graph.constant(np.zeros(value.type.shape, value.type.dtype))
