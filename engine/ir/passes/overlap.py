"""Whether a memory plan keeps every value whole until its last read."""

from __future__ import annotations

from typing import NamedTuple

from engine.errors import GraphError
from engine.ir.arena import ALIGNMENT
from engine.ir.graph import Graph, Node, TensorType, Value
from engine.ir.layout import Layouts, c_strides, extent
from engine.ir.passes.memory import ARENA, Memory, Place, writes_last


class Span(NamedTuple):
    """The bytes from `low` to before `high` of a buffer."""

    buffer: int
    low: int
    high: int

    def meets(self, other: Span) -> bool:
        return self.buffer == other.buffer and self.low < other.high and other.low < self.high


def check_memory(graph: Graph, memory: Memory) -> None:
    """Play the plan through; GraphError where a value is read after something wrote over it."""
    _Replay(graph, memory).run()


def span(type: TensorType, place: Place) -> Span:
    low, high = extent(type, place.strides)
    return Span(place.buffer, place.offset + low, place.offset + high)


class _Replay:
    def __init__(self, graph: Graph, memory: Memory) -> None:
        self.graph, self.memory = graph, memory
        self.layouts = Layouts()
        self.whole: dict[int, set[tuple[Value, Span]]] = {}  # by buffer, what can be read where
        self.writable = {graph.inputs[index] for index in graph.updates}

    def run(self) -> None:
        graph, memory = self.graph, self.memory
        for value in [*graph.inputs, *graph.constants]:
            self._hold(value, memory.places[value])
        for node in graph.nodes:
            self._run(node)
        for value, source, target in memory.copies:
            self._read(value, source, "a closing copy")
            self._write(value, target)
        for value, place in zip(graph.outputs, memory.outputs, strict=True):
            self._read(value, place, "the caller")

    def _run(self, node: Node) -> None:
        places = self.memory.places
        for value in node.inputs:
            self._read(value, places[value], node.op.name)
        written = [v for v in node.outputs if self.layouts.of(v).root is v]
        for value in node.outputs:
            if value in written:
                self._check_inputs_spared(node, value)
                self._write(value, places[value])
            else:
                self._hold(value, places[value])
        for value in written:
            self._read(value, places[value], f"{node.op.name} itself")

    def _check_inputs_spared(self, node: Node, output: Value) -> None:
        """Only a pointwise operation may write over what it reads, and only over itself."""
        place = self.memory.places[output]
        target = span(output.type, place)
        for value in node.inputs:
            other = self.memory.places[value]
            if not target.meets(span(value.type, other)):
                continue
            same = other == place and value.type == output.type
            if not (same and writes_last(node)):
                raise GraphError(f"{node.op.name} writes {output!r} over its input {value!r}")

    def _read(self, value: Value, place: Place, reader: str) -> None:
        held = self.whole.get(place.buffer, set())
        if value.type.size and (value, span(value.type, place)) not in held:
            raise GraphError(f"{reader} reads {value!r}, which has been written over")

    def _write(self, value: Value, place: Place) -> None:
        target = span(value.type, place)
        self._check_target(value, place, target)
        held = self.whole.setdefault(place.buffer, set())
        held -= {known for known in held if known[1].meets(target)}
        self._hold(value, place)

    def _check_target(self, value: Value, place: Place, target: Span) -> None:
        owner = self.memory.buffers[place.buffer]
        size = self.memory.size if owner is None else owner.type.nbytes
        if target.low < 0 or target.high > size:
            raise GraphError(f"{value!r} lies outside its buffer")
        if place.buffer == ARENA and place.offset % ALIGNMENT:
            raise GraphError(f"{value!r} is not aligned")
        if place.buffer != ARENA and owner not in self.writable:
            raise GraphError(f"{value!r} is written over {owner!r}, which is not updated")
        if place.strides != c_strides(value.type):
            raise GraphError(f"{value!r} is written with strides {place.strides}")

    def _hold(self, value: Value, place: Place) -> None:
        self.whole.setdefault(place.buffer, set()).add((value, span(value.type, place)))
