"""The plan: a list of launches over offsets into one arena. Every back end runs the same one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, overload

import numpy as np

from engine.ir.graph import UNKNOWN, Graph, Origin, TensorType, Value
from engine.ir.layout import Layouts, extent, is_contiguous
from engine.ir.passes.memory import ARENA, Memory, Place, plan_memory
from engine.ir.passes.merge import frozen
from engine.ir.printer import attributes
from engine.ops.registry import OpDef


@dataclass(frozen=True, slots=True)
class Slot:
    """A tensor at its place."""

    type: TensorType
    place: Place
    name: str = ""


@dataclass(frozen=True, slots=True)
class Launch:
    """One operation on tensors at fixed places. `op` is None for a copy."""

    op: OpDef | None
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    origin: Origin = UNKNOWN

    @property
    def name(self) -> str:
        return "copy" if self.op is None else self.op.name

    @property
    def likeness(self) -> Hashable:
        """Equal for launches that differ only in where their tensors lie; TypeError for those
        with attributes that cannot be compared."""
        kinds = [(s.type.shape, s.type.dtype, s.place.strides) for s in self.inputs]
        made = [(s.type.shape, s.type.dtype, s.place.strides) for s in self.outputs]
        return self.op, frozen(self.attrs), tuple(kinds), tuple(made)

    @property
    def flops(self) -> int:
        """Floating-point operations that one run takes."""
        if self.op is None:
            return 0
        return int(self.op.flops(*[slot.type for slot in self.inputs], **self.attrs))


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory that launches address by offset.

    kind: "arena", "input" (memory of the caller, bound once) or "constant".
    index: for an input, which input of the plan.
    """

    kind: str
    nbytes: int
    name: str = ""
    index: int = -1
    array: Any = None


class Launches(Sequence[Launch]):
    """The launches of a plan whose code is known: made when somebody looks at them."""

    def __init__(self, count: int, make: Callable[[], Plan]) -> None:
        self._count, self._make = count, make

    @cached_property
    def _made(self) -> Sequence[Launch]:
        return self._make().launches

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Launch]:
        return iter(self._made)

    @overload
    def __getitem__(self, index: int) -> Launch: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Launch]: ...
    def __getitem__(self, index: int | slice) -> Launch | Sequence[Launch]:
        return self._made[index]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, in order, and where everything lies.

    inputs: those in the arena are copied in before a run, the others are bound.
    outputs: where to read them afterwards. updates: from input to the output that replaces it.
    live_bytes: the most bytes of the arena in use at one time; the rest is lost between them.
    form: how the results are nested, see `engine.ir.structure`.
    key: of what a back end keeps of it on disk. code: what was kept.
    """

    launches: Sequence[Launch]
    buffers: tuple[Buffer, ...]
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    updates: dict[int, int]
    live_bytes: int
    form: Any = None
    key: str = ""
    code: Any = None

    def named(self, key: str) -> Plan:
        return replace(self, key=key)

    @property
    def arena_bytes(self) -> int:
        return self.buffers[ARENA].nbytes

    @property
    def results(self) -> list[Slot]:
        """The outputs that are not the next values of inputs."""
        kept = set(self.updates.values())
        return [slot for index, slot in enumerate(self.outputs) if index not in kept]

    @property
    def flops(self) -> int:
        return sum(launch.flops for launch in self.launches)

    def to_json(self) -> dict[str, Any]:
        """Everything but the numbers of the constants, as JSON would have it."""
        return {
            "arena_bytes": self.arena_bytes,
            "live_bytes": self.live_bytes,
            "buffers": [{"kind": b.kind, "bytes": b.nbytes, "name": b.name} for b in self.buffers],
            "inputs": [_slot_json(slot) for slot in self.inputs],
            "outputs": [_slot_json(slot) for slot in self.outputs],
            "updates": {str(source): target for source, target in self.updates.items()},
            "launches": [
                {
                    "op": launch.name,
                    "inputs": [_slot_json(slot) for slot in launch.inputs],
                    "outputs": [_slot_json(slot) for slot in launch.outputs],
                    "attrs": attributes(launch.attrs),
                    "module": launch.origin.scope,
                    "phase": launch.origin.phase,
                    "flops": launch.flops,
                }
                for launch in self.launches
            ],
        }

    def fingerprint(self) -> str:
        """A digest of all that compiled code depends on: equal for plans that run alike."""
        found = sha256()
        for buffer in self.buffers:
            found.update(repr((buffer.kind, buffer.nbytes, buffer.index)).encode())
            if buffer.array is not None:
                found.update(np.ascontiguousarray(buffer.array).tobytes())
        for launch in self.launches:
            slots = [(str(s.type), s.place) for s in (*launch.inputs, *launch.outputs)]
            found.update(repr((launch.name, frozen(launch.attrs), slots)).encode())
        for slot in (*self.inputs, *self.outputs):
            found.update(repr((str(slot.type), slot.place)).encode())
        return found.hexdigest()

    def describe(self) -> str:
        """A table of the launches for people."""
        lines = [
            f"{len(self.launches)} launches, {self.flops:,} flops, "
            f"arena {self.arena_bytes:,} bytes ({self.live_bytes:,} live)"
        ]
        lines += [f"input   {_slot_text(self, slot)}" for slot in self.inputs]
        lines += [
            f"{index:5}   {_launch_text(self, launch)}"
            for index, launch in enumerate(self.launches)
        ]
        lines += [f"output  {_slot_text(self, slot)}" for slot in self.outputs]
        return "\n".join(lines)


def make_plan(graph: Graph, resident: Collection[int] = ()) -> Plan:
    """Give every value of a graph its place; views vanish, they are places already.

    resident: indices of the inputs that stay in memory of the caller, see `plan_memory`.
    """
    memory = plan_memory(graph, resident)
    layouts = Layouts()
    launches = [
        Launch(
            node.op,
            tuple([Slot(v.type, memory.places[v]) for v in node.inputs]),
            tuple([Slot(v.type, memory.places[v]) for v in node.outputs]),
            node.attrs,
            node.origin,
        )
        for node in graph.nodes
        if any(layouts.of(value).root is value for value in node.outputs)
    ]
    launches += [
        Launch(None, (Slot(value.type, source),), (Slot(value.type, target),))
        for value, source, target in memory.copies
    ]
    names = graph.names or [""] * len(graph.outputs)
    return Plan(
        tuple(launches),
        tuple(_buffers(graph, memory)),
        tuple([Slot(v.type, memory.places[v], v.name) for v in graph.inputs]),
        tuple(
            [
                Slot(value.type, place, name)
                for value, place, name in zip(graph.outputs, memory.outputs, names, strict=True)
            ]
        ),
        dict(graph.updates),
        memory.live,
        graph.form,
    )


def _buffers(graph: Graph, memory: Memory) -> list[Buffer]:
    index_of = {value: index for index, value in enumerate(graph.inputs)}
    return [
        _buffer(graph, index_of, value) if value else Buffer("arena", memory.size)
        for value in memory.buffers
    ]


def _buffer(graph: Graph, index_of: dict[Value, int], value: Value) -> Buffer:
    array = graph.constants.get(value)
    if array is not None:
        low, high = extent(value.type, tuple(array.strides))
        return Buffer("constant", high - low, value.name, array=array)
    return Buffer("input", value.type.nbytes, value.name, index_of[value])


def _slot_json(slot: Slot) -> dict[str, Any]:
    found: dict[str, Any] = {
        "dtype": slot.type.dtype.name,
        "shape": list(slot.type.shape),
        "buffer": slot.place.buffer,
        "offset": slot.place.offset,
        "strides": list(slot.place.strides),
    }
    return found | ({"name": slot.name} if slot.name else {})


def _launch_text(plan: Plan, launch: Launch) -> str:
    given = ", ".join(_slot_text(plan, slot) for slot in launch.inputs)
    made = ", ".join(_slot_text(plan, slot) for slot in launch.outputs)
    attrs = attributes(launch.attrs)
    where = f"{launch.origin.phase} {launch.origin.scope}".strip()
    return f"{made} = {launch.name}({given}{', ' + attrs if attrs else ''})  # {where}"


def _slot_text(plan: Plan, slot: Slot) -> str:
    buffer = plan.buffers[slot.place.buffer]
    if buffer.kind == "constant" and buffer.nbytes == slot.type.dtype.itemsize:
        return f"{np.asarray(buffer.array).flat[0].item()!r}"
    where = f"@{slot.place.offset}" if buffer.kind == "arena" else buffer.name or buffer.kind
    strided = "" if _is_dense(slot) else f" strides {list(slot.place.strides)}"
    label = f"{slot.name}=" if slot.name and slot.name != where else ""
    return f"{label}{where}:{slot.type}{strided}"


def _is_dense(slot: Slot) -> bool:
    return is_contiguous(slot.type, slot.place.strides)
