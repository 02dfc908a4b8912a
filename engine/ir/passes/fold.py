"""Computing now what depends on constants only, as long as the result is small."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.ir.graph import Graph, Node, Value
from engine.ir.rewrite import Rewrite, rewrite
from engine.ops.registry import outputs_of

#: A folded result takes no more bytes than this.
FOLDED_BYTES = 1 << 16


def fold(graph: Graph) -> Graph:
    """Constants in place of nodes whose inputs are constants; never in place of draws."""
    return rewrite(graph, fold_node)


def fold_node(new: Rewrite, node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
    if node.op.random or sum(value.type.nbytes for value in node.outputs) > FOLDED_BYTES:
        return None
    constants = new.target.constants
    if any(value not in constants for value in inputs):
        return None
    arrays = [constants[value] for value in inputs]
    if any(array.nbytes > FOLDED_BYTES for array in arrays):
        return None
    with np.errstate(all="ignore"):
        results = outputs_of(node.op.ref(*arrays, **node.attrs))
    return [new.target.constant(_owned(node, array)) for array in results]


def _owned(node: Node, array: np.ndarray) -> np.ndarray:
    """As running it would leave it: in C order, or for a view with the strides of the view."""
    return np.asarray(array) if node.op.view else np.asarray(array, order="C")
