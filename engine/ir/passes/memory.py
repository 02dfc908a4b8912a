"""Where every value lives: one arena for all, and the memory that callers own.

Values whose lives do not meet share room. Views lie in the memory of what they view. A pointwise
operation writes over an input that dies there. An updated input that lives outside (a parameter,
optimizer state) is written in place if nothing reads its old value afterwards, else the new value
is copied over it at the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from engine.ir.arena import Block, pack
from engine.ir.graph import Graph, Node, Value
from engine.ir.layout import Layouts, c_strides

ARENA = 0


@dataclass(frozen=True, slots=True)
class Place:
    """buffer: 0 is the arena, others are listed in `Memory.buffers`. offset, strides: bytes."""

    buffer: int
    offset: int
    strides: tuple[int, ...]


@dataclass(slots=True)
class Memory:
    """places: of every value. buffers: the value that owns each buffer; None for the arena.

    copies: at the end, in this order, of a value from place to place.
    outputs: where each output of the graph is after that.
    size: bytes of the arena. live: most bytes of it that are in use at one time.
    """

    places: dict[Value, Place] = field(default_factory=dict)
    buffers: list[Value | None] = field(default_factory=lambda: [None])
    copies: list[tuple[Value, Place, Place]] = field(default_factory=list)
    outputs: list[Place] = field(default_factory=list)
    size: int = 0
    live: int = 0


def plan_memory(graph: Graph, resident: Collection[int] = ()) -> Memory:
    """Places for all values of a graph.

    resident: indices of the inputs that stay in memory of their owner. All others are copied into
    the arena before a run. Inputs in `graph.updates` that are resident are updated in place.
    """
    return _Planner(graph, resident).plan()


def writes_last(node: Node) -> bool:
    """Whether the operation reads an element of all inputs before it writes that of any output.

    So do pointwise operations, unless an output is just an input, and those that say so.
    """
    exprs = node.op.exprs
    if node.op.overwrites:
        return True
    return exprs is not None and all(root.args for root in exprs(**node.attrs))


def values(graph: Graph) -> Iterator[Value]:
    """Every value of a graph, once."""
    yield from graph.inputs
    yield from graph.constants
    for node in graph.nodes:
        yield from node.outputs


class _Planner:
    def __init__(self, graph: Graph, resident: Collection[int]) -> None:
        self.graph = graph
        self.layouts = Layouts()
        self.memory = Memory()
        self.end = len(graph.nodes)
        self.resident = sorted(resident)
        self.roots = {value: self.layouts.of(value).root for value in values(graph)}
        self.outside: dict[Value, int] = {}  # root -> buffer, for what is not in the arena
        self.blocks: dict[Value, Block] = {}  # root -> its part of the arena
        self.moved: dict[Value, Block] = {}  # where what lay in an input is kept at the end
        self.last: dict[Value, int] = {}  # root -> index of the last node that reads it
        self.closing: list[tuple[Value, Value]] = []  # (new value, input it is copied over)

    def plan(self) -> Memory:
        graph = self.graph
        for index in self.resident:
            self._own_buffer(graph.inputs[index])
        for value in graph.constants:
            self._own_buffer(value)
        self._find_last_reads()
        self._place_updates()
        for value in graph.inputs:
            if value not in self.outside:
                self._take(value, -1)
        for index, node in enumerate(graph.nodes):
            self._place_node(index, node)
        self._move_old_values()
        return self._settle()

    def root(self, value: Value) -> Value:
        return self.roots[value]

    def _own_buffer(self, value: Value) -> None:
        self.outside[value] = len(self.memory.buffers)
        self.memory.buffers.append(value)

    # Lifetimes

    def _find_last_reads(self) -> None:
        for index, node in enumerate(self.graph.nodes):
            for value in node.outputs:
                self.last.setdefault(self.root(value), index)
            for value in node.inputs:
                self._read(value, index)
        kept = {self.graph.updates.get(index) for index in self.resident}
        for index, value in enumerate(self.graph.outputs):
            if index not in kept:
                self._read(value, self.end)

    def _read(self, value: Value, at: int) -> None:
        root = self.root(value)
        self.last[root] = max(at, self.last.get(root, at))

    # Inputs updated in place

    def _place_updates(self) -> None:
        graph = self.graph
        pairs = [
            (graph.outputs[graph.updates[index]], graph.inputs[index])
            for index in self.resident
            if index in graph.updates
        ]
        candidates: dict[Value, Value] = {}
        for after, before in pairs:
            if after is before:
                continue
            if after.node is None or self.root(after) is not after or after in candidates:
                self._copy_at_end(after, before)
            else:
                candidates[after] = before
        order = {value: i for i, node in enumerate(graph.nodes) for value in node.outputs}
        for after, before in candidates.items():
            if self._may_write(order[after], after, before):
                self.outside[after] = self.outside[before]
            else:
                self._copy_at_end(after, before)

    def _copy_at_end(self, after: Value, before: Value) -> None:
        self._read(after, self.end)
        self.closing.append((after, before))

    def _may_write(self, index: int, after: Value, before: Value) -> bool:
        last = self.last.get(before, -1)
        node = self.graph.nodes[index]
        return last < index or (last == index and self._overwrites(node, after, before))

    def _overwrites(self, node: Node, after: Value, before: Value) -> bool:
        """Whether the node may write `after` onto `before`, which it reads: element by element."""
        if not writes_last(node) or before.type != after.type:
            return False
        return all(
            value.type == after.type and self.layouts.of(value)[1:] == (0, c_strides(after.type))
            for value in node.inputs
            if self.root(value) is before
        )

    # The arena

    def _place_node(self, index: int, node: Node) -> None:
        dying = self._dying(index, node)
        for value in node.outputs:
            if self.root(value) is not value or value in self.outside:
                continue
            reused = next((v for v in dying if self._overwrites(node, value, v)), None)
            if reused is None:
                self._take(value, index)
            else:
                dying.remove(reused)
                block = self.blocks[value] = self.blocks[reused]
                block.end = self.last[value]

    def _dying(self, index: int, node: Node) -> list[Value]:
        roots = dict.fromkeys(self.root(value) for value in node.inputs)
        return [v for v in roots if v in self.blocks and self.last[v] == index]

    def _take(self, root: Value, start: int) -> None:
        self.blocks[root] = Block(start, self.last.get(root, start), root.type.nbytes)

    # The end

    def _move_old_values(self) -> None:
        """What is still wanted of an input that is about to be overwritten moves away first."""
        graph = self.graph
        kept = {graph.updates.get(index): graph.inputs[index] for index in self.resident}
        overwritten = {before for _, before in self.closing}
        for index, value in enumerate(graph.outputs):
            if kept.get(index) is not value and self.root(value) in overwritten:
                self.moved[value] = Block(self.end, self.end, value.type.nbytes)

    def _settle(self) -> Memory:
        graph, memory = self.graph, self.memory
        blocks = dict.fromkeys([*self.blocks.values(), *self.moved.values()])
        memory.size, memory.live = pack(list(blocks))
        memory.places = {value: self._place(value) for value in self.roots}
        moved = {
            value: Place(ARENA, block.offset, c_strides(value.type))
            for value, block in self.moved.items()
        }
        memory.copies = [(value, memory.places[value], place) for value, place in moved.items()]
        now = memory.places | moved
        memory.copies += [(new, now[new], memory.places[old]) for new, old in self.closing]
        kept = {graph.updates.get(index): graph.inputs[index] for index in self.resident}
        memory.outputs = [
            memory.places[kept[index]] if index in kept else now[value]
            for index, value in enumerate(graph.outputs)
        ]
        return memory

    def _place(self, value: Value) -> Place:
        root, offset, strides = self.layouts.of(value)
        if root in self.outside:
            return Place(self.outside[root], offset, strides)
        return Place(ARENA, self.blocks[root].offset + offset, strides)
