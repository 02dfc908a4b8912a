"""What training a model will take, told before anything is allocated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from engine.compile.plan import Plan, make_plan
from engine.compile.program import Loss, Options, Program
from engine.compile.step import resident, trace_step
from engine.ir.graph import Graph, Origin, TensorType
from engine.ir.passes.simplify import simplify
from engine.ir.structure import flatten, transform
from engine.ir.trace import type_of_leaf
from engine.nn.module import Module
from engine.nn.parameter import Parameter
from engine.optim.optimizer import Optimizer
from engine.tensor import Tensor

Flops = list[tuple[Origin, int]]


@dataclass(frozen=True, slots=True)
class Layer:
    """One module of the model, with what lies below it.

    path: dotted; "" is the model, with which the loss is counted.
    output: the type of what its operations make last; None where they make nothing.
    flops: floating-point operations of a step in its forward and backward pass.
    """

    path: str
    kind: str
    parameters: int
    output: TensorType | None
    forward_flops: int
    backward_flops: int

    @property
    def flops(self) -> int:
        return self.forward_flops + self.backward_flops


@dataclass(frozen=True, slots=True)
class Analysis:
    """The cost of a training step, in numbers, floating-point operations and bytes.

    parameters: numbers in the weights; trainable: those that learn.
    flops: of one step; forward, backward and update are parts of it.
    weight_bytes: parameters and buffers. gradient_bytes: lie in the arena, like the batch.
    optimizer_bytes: its state, and moving averages.
    activation_bytes: the arena, in which everything that a step computes has its place.
    constant_bytes: tables that the program brings along.
    peak_bytes: weights, optimizer, constants and arena.
    """

    parameters: int
    trainable: int
    flops: int
    forward_flops: int
    backward_flops: int
    update_flops: int
    weight_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    batch_bytes: int
    activation_bytes: int
    constant_bytes: int
    layers: tuple[Layer, ...]
    plan: Plan

    @property
    def peak_bytes(self) -> int:
        return (
            self.weight_bytes + self.optimizer_bytes + self.constant_bytes + self.activation_bytes
        )


def analyse(
    model: Module,
    loss: Loss,
    optimizer: Optimizer,
    batch: Any,
    *,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    accumulate: int = 1,
    ema: float | None = None,
) -> Analysis:
    """The cost of a `TrainStep` with the same arguments, on batches of the given types.

    The model may be uninitialised. Nothing of the size of a tensor is allocated.
    """
    program = Program(model, loss, optimizer, Options(clip_norm, clip_value, accumulate, ema))
    traced = trace_step(program, transform(batch, type_of_leaf))
    graph = simplify(traced)
    leaves = dict(program.leaves())
    plan = make_plan(graph, resident(graph, len(leaves)))
    flops = [(launch.origin, launch.flops) for launch in plan.launches]
    learned = [p for _, p in optimizer.trainable()]
    return Analysis(
        parameters=sum(p.size for p in program.weights.values() if isinstance(p, Parameter)),
        trainable=sum(p.size for p in learned),
        flops=sum(count for _, count in flops),
        forward_flops=_in_phase(flops, "forward"),
        backward_flops=_in_phase(flops, "backward"),
        update_flops=_in_phase(flops, "update"),
        weight_bytes=_bytes(program.weights.values()),
        gradient_bytes=_bytes(learned),
        optimizer_bytes=_bytes(t for name, t in leaves.items() if name not in program.weights),
        batch_bytes=sum(type_of_leaf(leaf).nbytes for leaf in flatten(batch)[0]),
        activation_bytes=plan.arena_bytes,
        constant_bytes=sum(b.nbytes for b in plan.buffers if b.kind == "constant"),
        layers=tuple(_layers(model, traced, flops)),
        plan=plan,
    )


def _in_phase(flops: Flops, phase: str) -> int:
    return sum(count for origin, count in flops if origin.phase == phase)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.type.nbytes for tensor in tensors)


def _layers(model: Module, graph: Graph, flops: Flops) -> Iterator[Layer]:
    """Every module; what happens in a module counts for all modules around it."""
    forward: Counter[str] = Counter()
    backward: Counter[str] = Counter()
    outputs: dict[str, TensorType] = {}
    for origin, count in flops:
        for path in _around(origin.scope):
            if origin.phase == "forward":
                forward[path] += count
            elif origin.phase == "backward":
                backward[path] += count
    for node in graph.nodes:
        origin = node.origin
        if origin.phase == "forward" and not origin.passive:  # statistics aside
            outputs.update(dict.fromkeys(_around(origin.scope), node.outputs[0].type))
    for path, module in model.named_modules():
        size = sum(parameter.size for parameter in module.parameters())
        kind = type(module).__name__
        output = outputs.get(path) if path else None
        yield Layer(path, kind, size, output, forward[path], backward[path])


def _around(scope: str) -> Iterator[str]:
    """The path and those of all modules around it, up to the model itself."""
    while scope:
        yield scope
        scope = scope.rpartition(".")[0]
    yield ""
