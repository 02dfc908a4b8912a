"""Leaving out what no output needs."""

from __future__ import annotations

from engine.ir.graph import Graph, Value
from engine.ir.rewrite import rewrite


def remove_dead(graph: Graph) -> Graph:
    """Nodes that no output depends on are gone; inputs stay, so that callers need not change."""
    return prune(rewrite(graph))


def prune(graph: Graph) -> Graph:
    """The same graph, rid of them. For a graph that nobody else has yet."""
    needed: set[Value] = set(graph.outputs)
    kept = []
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    graph.nodes = kept[::-1]
    graph.constants = {v: array for v, array in graph.constants.items() if v in needed}
    return graph
