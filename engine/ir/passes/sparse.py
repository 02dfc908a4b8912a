"""Which matrix products are of matrices with many zeros: activations, their gradients, dropout.

Whether there are enough of them shows only in the numbers; kernels of such products look at them,
see `runtime/sparse.h`. Products that nothing is known of are spared the look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.ir.graph import Graph, Node, Value
from engine.ir.rewrite import Rewrite, rewrite
from engine.ops.fused import FUSED_PRODUCT
from engine.ops.registry import OPS
from engine.ops.scalar import Expr, argument, is_zero

PRODUCTS = (OPS["matmul"], OPS["linear"])
#: Share of zeros that dropout has to leave behind.
DROPPED = 0.35
#: Primitives of one number that leave a zero as it is.
_KEEPING = frozenset(("neg", "abs", "sqrt", "square", "sign", "tanh"))


def mark_sparse(graph: Graph) -> Graph:
    """The same graph, with the attribute `sparse` (left, right) at products of such matrices."""
    sparse = {value for value, array in graph.constants.items() if not array.any()}

    def mark(new: Rewrite, node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        sparse.update(v for v, has in zip(node.outputs, _zeros(node, sparse), strict=True) if has)
        if not sparse.intersection(node.inputs[:2]):
            return None
        attrs = node.attrs
        if node.op in PRODUCTS:
            first = argument(0)
            roots = (first + argument(1),) if len(inputs) == 3 else (first,)
            kind = node.outputs[0].type.dtype.name
            attrs = {"roots": roots, "kind": kind, "base": node.op.name}
        elif node.op is not FUSED_PRODUCT:
            return None
        if attrs["kind"] != "float32":
            return None
        types = [value.type for value in node.outputs]
        attrs = attrs | {"sparse": tuple(value in sparse for value in node.inputs[:2])}
        return new.target.emit(FUSED_PRODUCT, inputs, attrs, types, node.origin)

    return rewrite(graph, mark)


def _zeros(node: Node, sparse: set[Value]) -> list[bool]:
    """For each output, whether many of its numbers are likely to be 0."""
    if node.op is FUSED_PRODUCT:
        read = [False, *(value in sparse for value in node.inputs[2:])]
        return [_has_zeros(root, read.__getitem__) for root in node.attrs["roots"]]
    given = [value in sparse for value in node.inputs]
    if node.op.exprs is not None:
        roots = node.op.exprs(**node.attrs)
        return [_has_zeros(root, given.__getitem__) for root in roots]
    if node.op.name == "dropout":
        return [given[0] or node.attrs["p"] >= DROPPED]
    return [node.op.view and given[0]] * len(node.outputs)


def _has_zeros(expr: Expr, of_input: Callable[[int], bool]) -> bool:
    if expr.op == "input":
        return of_input(expr.value)
    if expr.op in ("relu", "const"):
        return expr.op == "relu"
    if expr.op == "where":
        return any(is_zero(e) or _has_zeros(e, of_input) for e in expr.args[1:])
    if expr.op == "maximum" and any(map(is_zero, expr.args)):
        return True
    if expr.op == "mul":
        return any(_has_zeros(e, of_input) for e in expr.args)
    if expr.op == "div" or expr.op in _KEEPING:
        return _has_zeros(expr.args[0], of_input)
    return False
