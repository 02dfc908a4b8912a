"""What stands beside matrix products made so that `fuse` can take it up.

Two rewritings, both by graphs alone. An activation that follows a product keeps its slope instead
of what it was given: the expensive functions that both share are then computed once, the gradient
is left with a multiplication, and no more is stored. And what is done to a product behind a change
of shape is done before it. Numbers change by rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.ir.graph import Graph, Node, TensorType, Value
from engine.ir.passes.dead import prune
from engine.ir.rewrite import Rewrite, rewrite
from engine.ops.derivative import RULES, pull_back
from engine.ops.fused import FUSED
from engine.ops.registry import OPS
from engine.ops.scalar import ONE, ZERO, Expr, argument, is_const, replace, walk

PRODUCTS = ("matmul", "linear")
KINDS = ("float32", "float64")
#: Functions that are worth keeping the slope for.
COSTLY = frozenset(("exp", "expm1", "erf", "log", "log1p", "sigmoid", "softplus", "tanh"))


class Slope(NamedTuple):
    """Of an activation of x: its expression, and the index of the gradient that multiplies by it.

    flow: the place there of what flows in.
    """

    x: Value
    expr: Expr
    user: int
    flow: int


def keep_slopes(graph: Graph) -> Graph:
    """The same graph, its products followed at once by what is done to them."""
    return _Slopes(graph).run()


class _Slopes:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.users: dict[Value, list[int]] = {}
        for i, node in enumerate(graph.nodes):
            for value in set(node.inputs):
                self.users.setdefault(value, []).append(i)
        for value in graph.outputs:
            self.users.setdefault(value, []).append(len(graph.nodes))
        self.index = {id(node): i for i, node in enumerate(graph.nodes)}
        self.slopes: dict[int, Slope] = {}  # by the index of the activation
        self.flows: dict[int, Slope] = {}  # by that of its gradient
        self.kept: dict[Value, Value] = {}  # by x

    def run(self) -> Graph:
        for node in self.graph.nodes:
            if node.op.name in PRODUCTS:
                self._look(node.outputs[0])
        return prune(rewrite(self.graph, self._node))

    def _look(self, x: Value) -> None:
        """Whether an activation and its gradient are all that reads a product."""
        users = self.users.get(x, [])
        if len(users) != 2 or users[1] == len(self.graph.nodes):
            return
        activation, gradient = (self.graph.nodes[i] for i in users)
        if _is_plain(activation) and len(activation.inputs) == 1 and _is_plain(gradient):
            found = _slope_of(gradient, x)
            if found is not None:
                slope = Slope(x, found[0], users[1], found[1])
                self.slopes[users[0]] = self.flows[users[1]] = slope

    def _node(self, new: Rewrite, node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        i = self.index[id(node)]
        if i in self.slopes:
            made = new.copy(node, inputs)
            x = self.slopes[i].x
            attrs = {"roots": (self.slopes[i].expr,), "kind": x.type.dtype.name}
            self.kept[x] = new.target.emit(FUSED, inputs, attrs, [x.type], node.origin)[0]
            return made
        if i in self.flows:
            slope = self.flows[i]
            flow = node.inputs[slope.flow]
            pair = (new.value(flow), self.kept[slope.x])
            times = Node(OPS["mul"], pair, {}, node.outputs, node.origin)
            return self._before(new, times, (flow, None)) or new.copy(times, pair)
        if node.op.name == "reshape" and _is_reshape(inputs[0]):
            (source,) = _maker(inputs[0]).inputs
            return [source] if source.type == node.outputs[0].type else None
        if not _is_plain(node):
            return None
        return self._before(
            new, Node(node.op, inputs, node.attrs, node.outputs, node.origin), node.inputs
        )

    def _before(
        self, new: Rewrite, node: Node, olds: Sequence[Value | None]
    ) -> Sequence[Value] | None:
        """The node done before the change of shape of the one product among its inputs.

        node: with new inputs; olds: what they were, as far as they were in the old graph.
        """
        shaped = [v for v, old in zip(node.inputs, olds, strict=True) if self._is_shaped(old)]
        if len(shaped) != 1:
            return None
        shape = _maker(shaped[0]).inputs[0].type.shape
        inputs = [_reshaped(new, value, shape, node) for value in node.inputs]
        types = [TensorType(shape, value.type.dtype) for value in node.outputs]
        made = new.target.emit(node.op, inputs, node.attrs, types, node.origin)
        return [_reshaped(new, value, node.outputs[0].type.shape, node) for value in made]

    def _is_shaped(self, old: Value | None) -> bool:
        """Whether a value is a product in another shape, and nothing else reads either."""
        if old is None or not _is_reshape(old) or len(self.users[old]) != 1:
            return False
        (source,) = _maker(old).inputs
        made = source.node is not None and source.node.op.name in PRODUCTS
        return made and len(self.users[source]) == 1


def _is_plain(node: Node) -> bool:
    """Pointwise on floats of one kind and one shape."""
    if node.op.exprs is None or node.op.random:
        return False
    first = node.outputs[0].type
    alike = all(value.type == first for value in (*node.inputs, *node.outputs))
    return alike and first.dtype.name in KINDS


def _slope_of(gradient: Node, x: Value) -> tuple[Expr, int] | None:
    """(slope, place of g) of a node that makes g · slope(x), where the slope is costly."""
    assert gradient.op.exprs is not None
    places = [p for p, value in enumerate(gradient.inputs) if value is not x]
    roots = gradient.op.exprs(**gradient.attrs)
    if len(places) != 1 or len(gradient.inputs) != 2 or len(roots) != 1:
        return None
    g, given = argument(places[0]), argument(1 - places[0])
    if any(e.op not in RULES and e.args for e in walk(roots)):
        return None
    slope = pull_back(roots, [ONE], [g])[0]
    parts = set(walk((slope,)))
    if g in parts or not any(e.op in COSTLY for e in parts):
        return None
    if not is_const(replace(roots, {g: ZERO})[0], 0):
        return None
    return replace((slope,), {given: argument(0)})[0], places[0]


def _is_reshape(value: Value) -> bool:
    return value.node is not None and value.node.op.name == "reshape"


def _maker(value: Value) -> Node:
    assert value.node is not None
    return value.node


def _reshaped(new: Rewrite, value: Value, shape: tuple[int, ...], node: Node) -> Value:
    if value.type.shape == shape:
        return value
    if _is_reshape(value) and _maker(value).inputs[0].type.shape == shape:
        return _maker(value).inputs[0]
    wanted = TensorType(shape, value.type.dtype)
    return new.target.emit(OPS["reshape"], [value], {"shape": shape}, [wanted], node.origin)[0]
