"""Writing a graph anew, node by node, with rules that may say what a node becomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.ir.graph import Graph, Node, Value
from engine.ir.layout import Layouts


class Rewrite:
    """A graph on its way to another.

    target: the graph being written. to: the new value of every old one.
    layouts: where the new values lie.
    """

    def __init__(self, source: Graph) -> None:
        self.source = source
        self.target = Graph(names=list(source.names), form=source.form)
        self.target.updates = dict(source.updates)
        self.layouts = Layouts()
        self.to: dict[Value, Value] = {
            value: self.target.input(value.type, value.name) for value in source.inputs
        }

    def value(self, old: Value) -> Value:
        """The new value of an old one; a constant follows when it is first asked for."""
        found = self.to.get(old)
        if found is None:
            found = self.to[old] = self.target.constant(self.source.constants[old])
            found.name = old.name
        return found

    def copy(self, node: Node, inputs: Sequence[Value]) -> tuple[Value, ...]:
        """The same operation on new inputs."""
        types = [value.type for value in node.outputs]
        return self.target.emit(node.op, inputs, node.attrs, types, node.origin)

    def finish(self) -> Graph:
        self.target.outputs = [self.value(value) for value in self.source.outputs]
        self.target.closed = True
        return self.target


#: What a node with these new inputs becomes; None for no opinion.
Rule = Callable[[Rewrite, Node, tuple[Value, ...]], Sequence[Value] | None]


def rewrite(graph: Graph, *rules: Rule) -> Graph:
    """The graph with the first rule that has an opinion applied to each node, in order."""
    new = Rewrite(graph)
    for node in graph.nodes:
        inputs = tuple([new.value(value) for value in node.inputs])
        outputs: Sequence[Value] | None = None
        for rule in rules:
            outputs = rule(new, node, inputs)
            if outputs is not None:
                break
        if outputs is None:
            outputs = new.copy(node, inputs)
        for old, fresh in zip(node.outputs, outputs, strict=True):
            new.to[old] = fresh
    return new.finish()
