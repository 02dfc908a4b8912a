"""Which convolutions are given weights that no run of the graph changes.

Such weights are parameters that stay with their owner, of a graph that updates none of them:
evaluation, as a rule. Kernels may keep what they make of them; see `engine.backend.cpu.kept`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from engine.ir.graph import Graph, Node, Value
from engine.ir.rewrite import Rewrite, rewrite
from engine.ops.fused_conv import FUSED_CONV
from engine.ops.registry import OPS


def mark_steady(graph: Graph, resident: Collection[int]) -> Graph:
    """The same graph, with the attribute `steady` where a convolution has such a weight."""
    kept = [index for index in resident if index not in graph.updates]

    def mark(new: Rewrite, node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        steady = {new.target.inputs[index] for index in kept}
        if node.op not in (OPS["conv"], FUSED_CONV) or inputs[1] not in steady:
            return None
        plain = {"after": ("shift",) if len(inputs) == 3 else (), "relu": False}
        types = [value.type for value in node.outputs]
        attrs = (plain if node.op is OPS["conv"] else {}) | node.attrs | {"steady": True}
        return new.target.emit(FUSED_CONV, inputs, attrs, types, node.origin)

    return rewrite(graph, mark)
