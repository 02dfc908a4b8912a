"""Whether a graph keeps its promises: single assignment, order, and the types that rules give."""

from __future__ import annotations

from engine.errors import GraphError
from engine.ir.graph import Graph, Node, Value
from engine.ops.registry import outputs_of


def verify(graph: Graph) -> Graph:
    """The same graph, if it is sound; GraphError names the first node that is not."""
    known: set[int] = set()
    for value in [*graph.inputs, *graph.constants]:
        _define(graph, value, known, "an input or constant")
        if value.node is not None:
            raise GraphError(f"{value!r} is an input or constant and has a node")
    for value, array in graph.constants.items():
        if (tuple(array.shape), array.dtype) != (value.type.shape, value.type.dtype):
            raise GraphError(f"constant {value!r} holds {array.dtype.name}{list(array.shape)}")
    for index, node in enumerate(graph.nodes):
        _check_node(graph, index, node, known)
    for value in graph.outputs:
        if id(value) not in known:
            raise GraphError(f"output {value!r} is never made")
    _check_updates(graph)
    return graph


def _define(graph: Graph, value: Value, known: set[int], what: str) -> None:
    if value.graph is not graph:
        raise GraphError(f"{value!r} ({what}) belongs to another graph")
    if id(value) in known:
        raise GraphError(f"{value!r} ({what}) is made twice")
    known.add(id(value))


def _check_node(graph: Graph, index: int, node: Node, known: set[int]) -> None:
    what = f"node {index}, {node.op.name}"
    for value in node.inputs:
        if id(value) not in known:
            raise GraphError(f"{what} uses {value!r} before it is made")
    types = outputs_of(node.op.infer(*[value.type for value in node.inputs], **node.attrs))
    if types != tuple(value.type for value in node.outputs):
        given = ", ".join(map(str, types))
        raise GraphError(f"{what} makes {list(node.outputs)}; its rule says {given}")
    for position, value in enumerate(node.outputs):
        if value.node is not node or value.index != position:
            raise GraphError(f"{what}: {value!r} does not know where it comes from")
        _define(graph, value, known, what)


def _check_updates(graph: Graph) -> None:
    for source, target in graph.updates.items():
        if source >= len(graph.inputs) or target >= len(graph.outputs):
            raise GraphError(f"update {source} -> {target} names an input or output not there")
        before, after = graph.inputs[source], graph.outputs[target]
        if before.type != after.type:
            raise GraphError(f"{before!r} is updated by {after!r}, which is of another type")
