"""All simplifications in one sweep. Whatever they do, no bit of a result changes."""

from __future__ import annotations

from engine.ir.graph import Graph
from engine.ir.passes.algebra import algebra
from engine.ir.passes.dead import prune
from engine.ir.passes.fold import fold_node
from engine.ir.passes.merge import merging
from engine.ir.rewrite import rewrite


def simplify(graph: Graph) -> Graph:
    """The same outputs with fewer nodes: identities, folding, merging, and then what is unused."""
    return prune(rewrite(graph, algebra, fold_node, merging()))
