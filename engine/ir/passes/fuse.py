"""Fewer, larger operations for back ends that compile them: nothing here is for the interpreter.

Pointwise operations of one shape become one with several results. It may begin with a matrix
product, which then also takes the rows of a table that they read; or end in a reduction or in rows
added up by place: then what lies between is never stored. Numbers change by the rounding of
expressions that are simplified together.

A group runs where its last member stood: so nothing else may read what it makes before that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.ir.graph import Graph, Node, TensorType, Value
from engine.ir.passes.dead import prune
from engine.ir.passes.slopes import keep_slopes
from engine.ir.rewrite import Rewrite
from engine.ops.fused import FUSED, FUSED_PRODUCT, FUSED_REDUCE, FUSED_ROWS, Gathers
from engine.ops.registry import OpDef
from engine.ops.scalar import ONE, ZERO, Expr, argument, build, operations, replace

#: Limits of a group: primitives, tensors read, tensors made.
MOST_OPERATIONS, MOST_INPUTS, MOST_OUTPUTS = 80, 28, 8
REDUCTIONS = ("sum", "amax", "amin", "any", "all")
PRODUCTS = ("matmul", "linear")
KINDS = ("float32", "float64")


@dataclass(slots=True)
class Group:
    """Nodes, by index, that become one. kind: the dtype of numbers. head: a product, if any.

    tail: a reduction, or rows added up by place, if any; nothing is added behind it.
    """

    shape: tuple[int, ...]
    kind: str
    members: list[int] = field(default_factory=list)
    head: int | None = None
    tail: int | None = None


def fuse(graph: Graph) -> Graph:
    """The same graph in fewer nodes."""
    return _Fusion(keep_slopes(graph)).run()


class _Fusion:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.end = len(graph.nodes)
        self.index = {v: i for i, node in enumerate(graph.nodes) for v in node.outputs}
        self.users: dict[Value, list[int]] = {}
        for i, node in enumerate(graph.nodes):
            for value in node.inputs:
                self.users.setdefault(value, []).append(i)
        for value in graph.outputs:
            self.users.setdefault(value, []).append(self.end)
        self.groups: dict[int, Group] = {}  # by the index of each member

    def run(self) -> Graph:
        for i, node in enumerate(self.graph.nodes):
            self._visit(i, node)
        new = Rewrite(self.graph)
        for i, node in enumerate(self.graph.nodes):
            group = self.groups.get(i)
            if group is None or not self._is_worthwhile(group):
                inputs = [new.value(value) for value in node.inputs]
                new.to.update(zip(node.outputs, new.copy(node, inputs), strict=True))
            elif group.members[-1] == i:
                self._write(new, group)
        return prune(new.finish())  # of rows that products take for themselves

    def _is_rows(self, value: Value, group: Group) -> bool:
        """Whether a value is rows of a table that only a group reads, behind its product."""
        i = self.index.get(value, -1)
        if group.head is None or i < 0 or value.type.shape != group.shape or len(group.shape) != 2:
            return False
        node = self.graph.nodes[i]
        if value in self.graph.nodes[group.head].inputs:
            return False
        if node.op.name != "embedding" or node.attrs["padding_idx"] is not None:
            return False
        return node.inputs[1].type.ndim == 1 and set(self.users[value]) <= set(group.members)

    # Groups

    def _visit(self, i: int, node: Node) -> None:
        name = node.op.name
        if name in PRODUCTS:
            kind = node.outputs[0].type.dtype.name
            if kind in KINDS:
                self.groups[i] = Group(node.outputs[0].type.shape, kind, [i], head=i)
        elif name in REDUCTIONS or _adds_rows(node):
            self._end(i, node)
        else:
            found = kind_of(node)
            if found is not None:
                self._join(i, Group(node.outputs[0].type.shape, found, [i]))

    def _join(self, i: int, group: Group) -> None:
        """Take over the groups that the node reads from, as far as they go together."""
        self.groups[i] = group
        for other in self._sources(i):
            if other.shape != group.shape or other.kind != group.kind or other.tail is not None:
                continue
            if other.head is not None and (group.head is not None or self._is_for_reduction(i)):
                continue
            head = group.head if group.head is not None else other.head
            members = sorted({*group.members, *other.members})
            joint = Group(group.shape, group.kind, members, head)
            if self._is_sound(joint) and self._is_small(joint):
                group = joint
        for member in group.members:
            self.groups[member] = group

    def _is_for_reduction(self, i: int) -> bool:
        """Whether a reduction alone reads the node: then it is better off with that."""
        users = {user for v in self.graph.nodes[i].outputs for user in self.users.get(v, ())}
        return len(users) == 1 and all(
            user < self.end and self.graph.nodes[user].op.name in REDUCTIONS for user in users
        )

    def _end(self, i: int, node: Node) -> None:
        """End a group in what reads it, if that is all it is for."""
        for group in self._sources(i):
            source = node.inputs[0]
            if group.head is not None or group.tail is not None or self.groups.get(i) is not None:
                continue
            joint = Group(group.shape, group.kind, [*group.members, i], tail=i)
            made = [v for v in self._made(group) if v is not source]
            alone = self.users[source] == [i] and not made
            if alone and source.type.shape == group.shape and self._is_small(joint):
                for member in joint.members:
                    self.groups[member] = joint

    def _sources(self, i: int) -> list[Group]:
        found: dict[int, Group] = {}
        for value in self.graph.nodes[i].inputs:
            group = self.groups.get(self.index.get(value, -1))
            if group is not None:
                found[id(group)] = group
        return list(found.values())

    def _is_sound(self, group: Group) -> bool:
        """Whether everybody else reads after the last member, and the product reads no member."""
        members, last = set(group.members), group.members[-1]
        if group.head is not None:
            factors = self.graph.nodes[group.head].inputs
            if any(self.index.get(value) in members for value in factors):
                return False
        return all(
            user in members or user > last
            for m in group.members
            for value in self.graph.nodes[m].outputs
            for user in self.users.get(value, ())
        )

    def _is_small(self, group: Group) -> bool:
        roots, inputs, outputs = self._composed(group)
        return (
            operations(roots) <= MOST_OPERATIONS
            and len(inputs) <= MOST_INPUTS
            and len(outputs) <= MOST_OUTPUTS
        )

    def _is_worthwhile(self, group: Group) -> bool:
        return len(group.members) > 1

    def _made(self, group: Group) -> list[Value]:
        """What others read."""
        members = set(group.members)
        return [
            value
            for m in group.members
            for value in self.graph.nodes[m].outputs
            if any(user not in members for user in self.users.get(value, ()))
        ]

    # Expressions

    def _composed(self, group: Group) -> tuple[tuple[Expr, ...], list[Value], list[Value]]:
        """The expressions of a group, what they read and what they make.

        The product of a head comes before all inputs; the matrices are not among them.
        """
        exprs: dict[Value, Expr] = {}
        inputs: dict[Value, Expr] = {}
        shift = 0

        def read(value: Value) -> Expr:
            known = exprs.get(value)
            if known is None:
                known = inputs.get(value)
            if known is None:
                known = inputs[value] = argument(len(inputs) + shift)
            return known

        if group.head is not None:
            shift = 1
            node = self.graph.nodes[group.head]
            first = argument(0)
            exprs[node.outputs[0]] = first + read(node.inputs[2]) if _has_bias(node) else first
        for m in group.members:
            if m in (group.head, group.tail):
                continue
            node = self.graph.nodes[m]
            swap = {argument(p): read(value) for p, value in enumerate(node.inputs)}
            exprs.update(zip(node.outputs, _substituted(node, swap), strict=True))
        if group.tail is not None:
            made = [self.graph.nodes[group.tail].inputs[0]]
        else:
            made = self._made(group)
        return tuple(exprs[value] for value in made), list(inputs), made

    def _write(self, new: Rewrite, group: Group) -> None:
        roots, inputs, made = self._composed(group)
        attrs: dict[str, Any] = {"roots": roots, "kind": group.kind}
        op: OpDef = FUSED
        types: Sequence[TensorType] = [value.type for value in made]
        if group.head is not None:
            head = self.graph.nodes[group.head]
            attrs["base"] = head.op.name
            inputs, gathers = self._gathered(inputs, group)
            attrs |= {"gathers": gathers} if gathers else {}
            inputs, op = [*head.inputs[:2], *inputs], FUSED_PRODUCT
        elif group.tail is not None:
            tail = self.graph.nodes[group.tail]
            made, types = list(tail.outputs), [tail.outputs[0].type]
            if tail.op.name in REDUCTIONS:
                op = FUSED_REDUCE
                attrs |= {"how": tail.op.name, **tail.attrs}
            else:
                inputs, op = [*inputs, tail.inputs[1]], FUSED_ROWS
                attrs["size"] = tail.attrs["size"]
        origin = self.graph.nodes[group.head or group.members[-1]].origin
        values = [new.value(value) for value in inputs]
        outputs = new.target.emit(op, values, attrs, types, origin)
        new.to.update(zip(made, outputs, strict=True))

    def _gathered(self, inputs: list[Value], group: Group) -> tuple[list[Value], Gathers]:
        """Tables in place of their rows, and behind all inputs the places of these."""
        found, gathers = list(inputs), []
        places: list[Value] = []
        for at, value in enumerate(inputs):
            if self._is_rows(value, group):
                found[at], index = self.graph.nodes[self.index[value]].inputs
                gathers.append((at, len(inputs) + len(places)))
                places.append(index)
        return [*found, *places], tuple(gathers)


def _adds_rows(node: Node) -> bool:
    """Whether it adds up the rows of a matrix of numbers by place."""
    if node.op.name != "add_rows" or node.attrs["axis"] != 0:
        return False
    x, index = (value.type for value in node.inputs)
    return x.ndim == 2 and index.ndim == 1 and x.dtype.name in KINDS


def _has_bias(node: Node) -> bool:
    return len(node.inputs) == 3


def kind_of(node: Node) -> str | None:
    """The dtype of numbers in a pointwise operation that can be part of another; else None."""
    if node.op.name == "cast":
        source, target = node.inputs[0].type.dtype.name, node.outputs[0].type.dtype.name
        return target if source == "bool" and target in KINDS else None
    if node.op.exprs is None or node.op.random:
        return None
    kinds = {value.type.dtype.name for p, value in enumerate(node.inputs) if p not in node.op.held}
    held = {node.inputs[p].type.dtype.name for p in node.op.held}
    made = {value.type.dtype.name for value in node.outputs}
    if len(kinds) != 1 or not held <= {"bool"} or not kinds <= set(KINDS):
        return None
    kind = kinds.pop()
    return kind if made <= {kind, "bool"} else None


def _substituted(node: Node, swap: dict[Expr, Expr]) -> tuple[Expr, ...]:
    if node.op.name == "cast":
        return (build("where", swap[argument(0)], ONE, ZERO),)
    assert node.op.exprs is not None
    return replace(node.op.exprs(**node.attrs), swap)
