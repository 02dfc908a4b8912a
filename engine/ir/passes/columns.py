"""Some columns of a matrix: slices of whole rows."""

from __future__ import annotations

from engine.ir.graph import Node, TensorType, Value
from engine.ir.rewrite import Rewrite
from engine.ops.registry import OPS


def columns_read(node: Node) -> tuple[int, int] | None:
    """The columns that a slice of whole rows reads; None of everything else."""
    if node.op.name != "slice":
        return None
    starts, sizes, steps = (node.attrs[name] for name in ("starts", "sizes", "steps"))
    shape = node.inputs[0].type.shape
    whole = all(n == size for n, size in zip(shape[:-1], sizes[:-1], strict=True))
    if not whole or any(step != 1 for step in steps):
        return None
    return starts[-1], starts[-1] + sizes[-1]


def columns(new: Rewrite, node: Node, matrix: Value, first: int, last: int) -> Value:
    """Columns of a matrix, or of many, where they lie; on behalf of a node."""
    *outer, _ = matrix.type.shape
    attrs = {
        "starts": (*(0 for _ in outer), first),
        "sizes": (*outer, last - first),
        "steps": (1,) * (len(outer) + 1),
    }
    wanted = TensorType((*outer, last - first), matrix.type.dtype)
    return new.target.emit(OPS["slice"], [matrix], attrs, [wanted], node.origin)[0]
