"""Small tables of embeddings are multiplied before their rows are taken.

A linear layer of embeddings side by side multiplies each row of a table as often as it is taken.
Where a table has fewer rows than a batch, its columns of the layer give the same sums with fewer
operations:

    linear(cat(E[i], x), W, b)  =  linear(x, W_x, b) + (E W_E')[i]

Backwards the gradient of the layer's output is added up by place first: then its products with W_E
and with E are small, too. Rows of what a table gives are taken where the product of the rest ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from engine.ir.graph import Graph, Node, TensorType, Value
from engine.ir.passes.columns import columns, columns_read
from engine.ir.passes.dead import prune
from engine.ir.rewrite import Rewrite, rewrite
from engine.ops.registry import OPS

#: Examples of a batch for a row of a table, at least; columns that a table must have, and the
#: layer's outputs: taking and adding rows costs as much as a few products of each element.
RATE, WIDTH, OUTPUTS = 4, 8, 64
#: Operations of a product of all rows from which it is worth the further launches.
FLOPS = 1_000_000


@dataclass(slots=True)
class _Part:
    """Columns first..last of what is put side by side; of a small table, its numbers and places."""

    value: Value
    first: int
    last: int
    table: Value | None = None
    places: Value | None = None

    @property
    def width(self) -> int:
        return self.last - self.first


@dataclass(slots=True)
class _Layer:
    """A linear layer of parts side by side."""

    joined: Node
    linear: Node
    parts: list[_Part]

    @property
    def weight(self) -> Value:
        return self.linear.inputs[1]

    @property
    def rest(self) -> list[_Part]:
        return [part for part in self.parts if part.table is None]


def multiply_tables(graph: Graph) -> Graph:
    """The same graph, with products of small tables in place of those of their rows."""
    users = graph.readers()
    layers = [
        layer
        for node in graph.nodes
        if node.op.name == "cat" and (layer := _layer(node, users, set(graph.outputs)))
    ]
    return prune(rewrite(graph, _Rule(layers, users))) if layers else graph


def _layer(joined: Node, users: dict[Value, list[Node]], kept: set[Value]) -> _Layer | None:
    """The layer that reads what a node puts side by side, if small tables are among it."""
    value = joined.outputs[0]
    readers = users.get(value, [])
    linear = [node for node in readers if node.op.name == "linear" and node.inputs[0] is value]
    if len(linear) != 1 or value in kept or value.type.ndim != 2:
        return None
    outputs = linear[0].inputs[1].type.shape[0]
    if joined.attrs["axis"] != 1 or value.type.dtype.name != "float32" or outputs < OUTPUTS:
        return None
    stops = accumulate(part.type.shape[1] for part in joined.inputs)
    parts = [
        _Part(part, stop - part.type.shape[1], stop)
        for part, stop in zip(joined.inputs, stops, strict=True)
    ]
    for part in parts:
        if _is_small(part, outputs) and users[part.value] == [joined] and part.value not in kept:
            assert part.value.node is not None
            part.table, part.places = part.value.node.inputs
    layer = _Layer(joined, linear[0], parts)
    others = [node for node in readers if node is not linear[0]]
    if len(layer.rest) in (0, len(parts)) or not all(_flow(value, node) for node in others):
        return None
    return layer


def _is_small(part: _Part, outputs: int) -> bool:
    node = part.value.node
    if node is None or node.op.name != "embedding" or node.attrs["padding_idx"] is not None:
        return False
    table, places = node.inputs
    batch = part.value.type.shape[0]
    return (
        places.type.ndim == 1
        and RATE * table.type.shape[0] <= batch
        and part.width >= WIDTH
        and 2 * batch * part.width * outputs >= FLOPS
    )


def _flow(joined: Value, node: Node) -> Value | None:
    """The matrix whose turned product with what is put side by side a node makes, as the gradient
    of a weight; None if it is no such node."""
    left = node.inputs[0].node
    if node.op.name != "matmul" or node.inputs[1] is not joined or left is None:
        return None
    is_turned = left.op.name == "transpose" and left.inputs[0].type.ndim == 2
    return left.inputs[0] if is_turned and node.inputs[0].type.ndim == 2 else None


class _Rule:
    """What the nodes of such layers become."""

    def __init__(self, layers: Sequence[_Layer], users: dict[Value, list[Node]]) -> None:
        self._joins = {layer.joined.outputs[0]: layer for layer in layers}
        self._linear = {layer.linear.outputs[0]: layer for layer in layers}
        #: Rows added up by place, and what they are the gradient of: a flow, a weight, a part.
        self._added: dict[Value, tuple[Value, Value, _Part]] = {}
        self._sums: dict[tuple[Value, Value], Value] = {}  # of a flow, by the places of a part
        for layer in layers:
            for part in layer.parts:
                for flow, node in _gradients(layer, part, users):
                    self._added[node.outputs[0]] = flow, layer.weight, part

    def __call__(
        self, new: Rewrite, node: Node, inputs: tuple[Value, ...]
    ) -> Sequence[Value] | None:
        made = node.outputs[0]
        if made in self._joins:
            rest = [new.value(part.value) for part in self._joins[made].rest]
            return [_cat(new, rest, node)]
        if made in self._linear:
            return [self._forward(new, node, self._linear[made])]
        if made in self._added:
            flow, weight, part = self._added[made]
            some = _columns(new, new.value(weight), part, node)
            return [_emit(new, "matmul", [self._sum(new, flow, part, node), some], {}, node)]
        if node.op.name == "matmul" and node.inputs[1] in self._joins:
            return [self._of_weight(new, node, inputs, self._joins[node.inputs[1]])]
        return None

    def _forward(self, new: Rewrite, node: Node, layer: _Layer) -> Value:
        weight = new.value(layer.weight)
        some = _cat(new, [_columns(new, weight, part, node) for part in _runs(layer.rest)], node)
        bias = [new.value(value) for value in node.inputs[2:]]
        total = _emit(new, "linear", [new.value(layer.joined.outputs[0]), some, *bias], {}, node)
        for part in layer.parts:
            if part.table is not None and part.places is not None:
                own = _columns(new, weight, part, node)
                made = _emit(new, "linear", [new.value(part.table), own], {}, node)
                taken = [made, new.value(part.places)]
                found = _emit(new, "embedding", taken, {"padding_idx": None}, node)
                total = _emit(new, "add", [total, found], {}, node)
        return total

    def _of_weight(
        self, new: Rewrite, node: Node, inputs: tuple[Value, ...], layer: _Layer
    ) -> Value:
        flow = _flow(layer.joined.outputs[0], node)
        assert flow is not None
        pieces = {
            part.first: self._of_table(new, node, flow, part)
            for part in layer.parts
            if part.table is not None
        }
        of_rest, at = _emit(new, "matmul", inputs, {}, node), 0
        for part in _runs(layer.rest):
            piece = _Part(of_rest, at, at + part.width)
            pieces[part.first] = _columns(new, of_rest, piece, node)
            at += part.width
        return _cat(new, [pieces[first] for first in sorted(pieces)], node)

    def _of_table(self, new: Rewrite, node: Node, flow: Value, part: _Part) -> Value:
        """The gradient of the columns of the weight that a small table meets."""
        assert part.table is not None
        sums = self._sum(new, flow, part, node)
        turned = _emit(new, "transpose", [sums], {"axes": (1, 0)}, node)
        return _emit(new, "matmul", [turned, new.value(part.table)], {}, node)

    def _sum(self, new: Rewrite, flow: Value, part: _Part, node: Node) -> Value:
        """A flow, added up by the rows of a small table that the layer took."""
        found = self._sums.get((flow, part.value))
        if found is None:
            assert part.table is not None
            assert part.places is not None
            attrs = {"axis": 0, "size": part.table.type.shape[0]}
            both = [new.value(flow), new.value(part.places)]
            found = self._sums[flow, part.value] = _emit(new, "add_rows", both, attrs, node)
        return found


def _gradients(
    layer: _Layer, part: _Part, users: dict[Value, list[Node]]
) -> Iterator[tuple[Value, Node]]:
    """The nodes that add up by place, for a small table, some columns of the product of a flow with
    the layer's weight; with the flow."""
    if part.table is None:
        return
    rows = part.table.type.shape[0]
    for node in users[layer.weight]:
        if node.op.name != "matmul" or node.inputs[1] is not layer.weight:
            continue
        for cut in users.get(node.outputs[0], []):
            if columns_read(cut) == (part.first, part.last):
                for user in users.get(cut.outputs[0], []):
                    given = user.inputs == (cut.outputs[0], part.places)
                    added = user.op.name == "add_rows" and user.attrs == {"axis": 0, "size": rows}
                    if given and added:
                        yield node.inputs[0], user


def _runs(parts: Sequence[_Part]) -> list[_Part]:
    """The same with neighbours made one that are not of small tables."""
    found: list[_Part] = []
    for part in parts:
        plain = part.table is None
        if found and plain and found[-1].table is None and found[-1].last == part.first:
            found[-1] = _Part(part.value, found[-1].first, part.last)
        else:
            found.append(part)
    return found


def _columns(new: Rewrite, matrix: Value, part: _Part, node: Node) -> Value:
    """The columns of a part in a matrix, where they lie."""
    whole = part.width == matrix.type.shape[1]
    return matrix if whole else columns(new, node, matrix, part.first, part.last)


def _cat(new: Rewrite, pieces: Sequence[Value], node: Node) -> Value:
    return pieces[0] if len(pieces) == 1 else _emit(new, "cat", pieces, {"axis": 1}, node)


def _emit(
    new: Rewrite, name: str, inputs: Sequence[Value], attrs: Mapping[str, Any], node: Node
) -> Value:
    op = OPS[name]
    kind = op.infer(*[value.type for value in inputs], **attrs)
    assert isinstance(kind, TensorType)
    return new.target.emit(op, inputs, dict(attrs), [kind], node.origin)[0]
