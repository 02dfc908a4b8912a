"""Matrix products of which only some columns are read, made of those alone.

So is the gradient of inputs put side by side, some of which are data: nobody asks for theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.ir.graph import Graph, Node, TensorType, Value
from engine.ir.passes.columns import columns, columns_read
from engine.ir.passes.dead import prune
from engine.ir.rewrite import Rewrite, rewrite


def narrow_products(graph: Graph) -> Graph:
    """The same graph; products whose readers are slices end where the last of these does."""
    read = _read(graph)
    if not read:
        return graph

    def narrow(new: Rewrite, node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        if node.op.name == "matmul" and node.outputs[0] in read:
            first, last = read[node.outputs[0]]
            x, weight = inputs
            some = columns(new, node, weight, first, last)
            shape = (*node.outputs[0].type.shape[:-1], last - first)
            types = [TensorType(shape, node.outputs[0].type.dtype)]
            return new.target.emit(node.op, (x, some), node.attrs, types, node.origin)
        if node.op.name == "slice" and node.inputs[0] in read:
            *starts, start = node.attrs["starts"]
            shifted = (*starts, start - read[node.inputs[0]][0])
            types = [node.outputs[0].type]
            attrs = node.attrs | {"starts": shifted}
            return new.target.emit(node.op, inputs, attrs, types, node.origin)
        return None

    return prune(rewrite(graph, narrow))


def _read(graph: Graph) -> dict[Value, tuple[int, int]]:
    """From products of which slices read less than all to their first column and their last."""
    users = graph.readers()
    kept, found = set(graph.outputs), {}
    for node in graph.nodes:
        value = node.outputs[0]
        if node.op.name != "matmul" or value in kept or value not in users:
            continue
        spans = [span for user in users[value] if (span := columns_read(user))]
        if len(spans) == len(users[value]):
            first, last = min(start for start, _ in spans), max(end for _, end in spans)
            if 0 < last - first < value.type.shape[-1]:
                found[value] = first, last
    return found
