"""A compiled step laid open: the graph after each pass, the kernels, and who lies where in memory.

Nothing is compiled and nothing of the size of a tensor is allocated.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from engine.compile.plan import Launch, Plan, Slot, make_plan
from engine.compile.program import Loss, Options, Program
from engine.compile.step import resident, trace_step
from engine.ir.graph import Graph
from engine.ir.passes.conv_epilogue import end_convolutions
from engine.ir.passes.fuse import fuse
from engine.ir.passes.memory import ARENA
from engine.ir.passes.narrow import narrow_products
from engine.ir.passes.overlap import Span, span
from engine.ir.passes.simplify import simplify
from engine.ir.passes.sparse import mark_sparse
from engine.ir.passes.tables import multiply_tables
from engine.ir.structure import transform
from engine.ir.trace import type_of_leaf
from engine.nn.module import Module
from engine.optim.optimizer import Optimizer

#: Kernels and blocks told of one step; of a larger one the rest is only counted.
MOST_LINES = 2000
#: Nodes of a step that is laid open; of a larger one only the trace is told.
MOST_NODES = 20_000
#: Finding who lies where looks at pairs; beyond so many launches it is left.
MOST_PLACED = 3000
#: What stands before each pass is what stood after the one before it.
PASSES: tuple[tuple[str, Callable[[Graph], Graph]], ...] = (
    ("simplify", simplify),
    ("multiply tables", multiply_tables),
    ("narrow products", narrow_products),
    ("fuse", fuse),
    ("end convolutions", end_convolutions),
    ("mark sparse", mark_sparse),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """The graph after a pass. listing: its text, where that was asked for."""

    name: str
    nodes: int
    constants: int
    operations: dict[str, int]
    listing: str | None = None


@dataclass(frozen=True, slots=True)
class KernelLine:
    """One launch. runs_as: "c" or "reference"; None where nobody looked.

    operations: primitives that an element of it takes, for those that were fused.
    bytes: of the tensors that it reads and writes. seconds: of one run, where it was measured;
    kernels that ran side by side share theirs by their work.
    """

    index: int
    name: str
    operations: list[str]
    runs_as: str | None
    module: str
    phase: str
    inputs: list[str]
    outputs: list[str]
    flops: int
    bytes: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class BlockLine:
    """A stretch of the arena, in use from launch `first` (-1: before any) to launch `last`."""

    offset: int
    bytes: int
    first: int
    last: int
    tensor: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """left_out: kernels, blocks or nodes that are not told, because there are too many."""

    stages: list[Stage]
    kernels: list[KernelLine]
    arena: list[BlockLine]
    totals: dict[str, Any]
    left_out: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def timed(self, seconds: dict[int, float]) -> Explanation:
        """The same with what the launches took."""
        kernels = [replace(line, seconds=seconds.get(line.index)) for line in self.kernels]
        totals = self.totals | {"seconds": sum(seconds.values())}
        return replace(self, kernels=kernels, totals=totals)


def explain(
    model: Module,
    loss: Loss,
    optimizer: Optimizer,
    batch: Any,
    *,
    graphs: bool = False,
    most: int = MOST_LINES,
    **options: Any,
) -> Explanation:
    """The step that `TrainStep` would compile for batches of these types.

    options: clip_norm, clip_value, accumulate, ema. graphs: list the graph after each pass, too.
    The model may be uninitialised.
    """
    program = Program(model, loss, optimizer, Options(**options))
    graph = trace_step(program, transform(batch, type_of_leaf))
    held = resident(graph, len(dict(program.leaves())))
    return explain_graph(graph, held, graphs=graphs, most=most)


def explain_graph(
    graph: Graph, resident: Collection[int], *, graphs: bool = False, most: int = MOST_LINES
) -> Explanation:
    """A traced graph, pass by pass, and its plan."""
    stages = [_stage("trace", graph, graphs)]
    if len(graph.nodes) > MOST_NODES:
        return Explanation(stages, [], [], {}, {"nodes": len(graph.nodes)})
    for name, run in PASSES:
        graph = run(graph)
        stages.append(_stage(name, graph, graphs))
    plan = make_plan(graph, resident)
    kernels = [_kernel(i, launch) for i, launch in enumerate(plan.launches[:most])]
    blocks = _blocks(plan) if len(plan.launches) <= MOST_PLACED else []
    written = sum(slot.place.buffer == ARENA for one in plan.launches for slot in one.outputs)
    left = {
        "kernels": len(plan.launches) - len(kernels),
        "blocks": max(0, len(blocks) - most) if blocks else written,
    }
    return Explanation(stages, kernels, blocks[:most], _totals(plan, kernels), left)


def _stage(name: str, graph: Graph, listed: bool) -> Stage:
    counts: dict[str, int] = {}
    for node in graph.nodes:
        counts[node.op.name] = counts.get(node.op.name, 0) + 1
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    text = str(graph) if listed else None
    return Stage(name, len(graph.nodes), len(graph.constants), ordered, text)


def _kernel(index: int, launch: Launch) -> KernelLine:
    from engine.backend.cpu.source import emit

    slots = (*launch.inputs, *launch.outputs)
    return KernelLine(
        index,
        launch.name,
        _primitives(launch),
        "reference" if emit(launch) is None else "c",
        launch.origin.scope,
        launch.origin.phase,
        [str(slot.type) for slot in launch.inputs],
        [str(slot.type) for slot in launch.outputs],
        launch.flops,
        sum(slot.type.nbytes for slot in slots),
    )


def _primitives(launch: Launch) -> list[str]:
    """The operations of the expressions of a pointwise or fused launch, each once."""
    op = launch.op
    if op is None:
        return []
    roots = launch.attrs.get("roots") or (op.exprs(**launch.attrs) if op.exprs else ())
    found: dict[str, None] = {}
    pending = list(roots)
    seen: set[int] = set()
    while pending:
        expr = pending.pop()
        if id(expr) in seen:
            continue
        seen.add(id(expr))
        if expr.args:
            found.setdefault(expr.op)
        pending.extend(expr.args)
    return sorted(found)


def _blocks(plan: Plan) -> list[BlockLine]:
    """Tensors in the arena, by offset, from the launch that writes each to its last reader."""
    tenants = _Tenants()
    for slot in plan.inputs:
        tenants.write(slot, -1)
    for index, launch in enumerate(plan.launches):
        for slot in launch.inputs:
            tenants.read(slot, index)
        for slot in launch.outputs:
            tenants.write(slot, index)
    for slot in plan.results:
        tenants.read(slot, len(plan.launches))
    return sorted(tenants.blocks(), key=lambda block: (block.offset, block.first))


@dataclass(slots=True)
class _Tenant:
    where: Span
    first: int
    last: int
    label: str


class _Tenants:
    """What lies in the arena, launch after launch."""

    def __init__(self) -> None:
        self._living: list[_Tenant] = []
        self._gone: list[_Tenant] = []

    def read(self, slot: Slot, at: int) -> None:
        where = span(slot.type, slot.place)
        for one in self._living:
            if one.where.meets(where):
                one.last = at

    def write(self, slot: Slot, at: int) -> None:
        if slot.place.buffer != ARENA:
            return
        where = span(slot.type, slot.place)
        self._gone += [one for one in self._living if one.where.meets(where)]
        self._living = [one for one in self._living if not one.where.meets(where)]
        label = f"{slot.name}: {slot.type}" if slot.name else str(slot.type)
        self._living.append(_Tenant(where, at, at, label))

    def blocks(self) -> list[BlockLine]:
        return [
            BlockLine(one.where.low, one.where.high - one.where.low, one.first, one.last, one.label)
            for one in self._gone + self._living
        ]


def _totals(plan: Plan, kernels: Sequence[KernelLine]) -> dict[str, Any]:
    return {
        "kernels": len(plan.launches),
        "references": sum(line.runs_as == "reference" for line in kernels),
        "flops": plan.flops,
        "bytes": sum(line.bytes for line in kernels),
        "arena_bytes": plan.arena_bytes,
        "live_bytes": plan.live_bytes,
        "resident_bytes": sum(b.nbytes for b in plan.buffers if b.kind == "input"),
        "constant_bytes": sum(b.nbytes for b in plan.buffers if b.kind == "constant"),
    }
