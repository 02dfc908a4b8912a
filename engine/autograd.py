"""Reverse-mode differentiation of eager programs: iterative, of any order."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.backend.modules import array_module
from engine.dispatch import apply
from engine.errors import GradientError
from engine.ir.graph import Value
from engine.tape import Context, TapeNode, set_recording
from engine.tensor import Tensor

Key = Any  # of a tensor: (id of its node, which output), or the id of a leaf


def pull_back(
    op: Any,
    inputs: tuple[Tensor, ...],
    attrs: dict[str, Any],
    outputs: tuple[Tensor, ...],
    gradients: Sequence[Tensor | None],
    needs: tuple[bool, ...],
) -> list[Tensor | None]:
    """One application of a `vjp` rule; the eager tape and the graph pass both go through here."""
    live = tuple(g is not None for g in gradients)
    full = [_zeros_like(y) if g is None else g for g, y in zip(gradients, outputs, strict=True)]
    found = op.vjp(Context(op, inputs, attrs, outputs, needs, live), *full)
    listed = list(found) if isinstance(found, tuple) else [found]
    if len(listed) != len(inputs):
        raise GradientError(f"{op.name} gave {len(listed)} gradients for {len(inputs)} inputs")
    return [g if need else None for g, need in zip(listed, needs, strict=True)]


def _filled_like(y: Tensor, value: float) -> Tensor:
    """One number seen everywhere: it takes the memory of one element."""
    xp = np if isinstance(y.data, Value) else array_module(y.data)
    return Tensor(xp.broadcast_to(xp.full((), value, y.dtype), y.shape))


def _zeros_like(y: Tensor) -> Tensor:
    return _filled_like(y, 0)


def grad(
    output: Tensor | Sequence[Tensor],
    inputs: Sequence[Tensor],
    *,
    gradient: Tensor | Sequence[Tensor | None] | None = None,
    create_graph: bool = False,
    within: bool = False,
) -> list[Tensor | None]:
    """Σ gradient · d output / d inputs, None where an input has no part in the output.

    `gradient` may be left out for an output of one element. With `create_graph` the result can be
    differentiated again. `within` stops the walk at the inputs: what they came from is left alone.
    """
    outputs = [output] if isinstance(output, Tensor) else list(output)
    given = [gradient] if gradient is None or isinstance(gradient, Tensor) else list(gradient)
    wanted = {_key(x) for x in inputs}
    with set_recording(create_graph):
        sweep = _Sweep(wanted, wanted if within else set())
        sweep.start(outputs, given if gradient is not None else [None] * len(outputs))
        sweep.run()
    return [sweep.found.get(_key(x)) for x in inputs]


def backward(output: Tensor, gradient: Tensor | None = None, *, create_graph: bool = False) -> None:
    """Add d output / d leaf to `.grad` of every leaf that asked for one."""
    with set_recording(create_graph):
        sweep = _Sweep(None, set())
        sweep.start([output], [gradient])
        sweep.run()
        for key, leaf in sweep.leaves.items():
            fresh = sweep.found[key]
            leaf.grad = fresh if leaf.grad is None else apply("add", leaf.grad, fresh)


def _key(tensor: Tensor) -> Key:
    return id(tensor) if tensor.node is None else (id(tensor.node), tensor.index)


class _Sweep:
    """A walk over the tape, latest application first, adding up gradients by tensor.

    A gradient is let go as soon as it has been passed on, unless it is wanted.
    """

    def __init__(self, wanted: set[Key] | None, stops: set[Key]) -> None:
        self.wanted = wanted  # None: every leaf
        self.stops = stops
        self.found: dict[Key, Tensor] = {}
        self.leaves: dict[Key, Tensor] = {}
        self.pending: list[tuple[int, TapeNode]] = []
        self.seen: set[int] = set()

    def start(self, outputs: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
        for output, gradient in zip(outputs, gradients, strict=True):
            if output.requires_grad:
                self.add(output, _seed(output, gradient))
            elif len(outputs) == 1:
                raise GradientError(
                    "the output does not depend on a tensor with requires_grad=True"
                )

    def add(self, tensor: Tensor, gradient: Tensor) -> None:
        key, node = _key(tensor), tensor.node
        held = self.found.get(key)
        self.found[key] = gradient if held is None else apply("add", held, gradient)
        if node is None:
            self.leaves[key] = tensor
        elif id(node) not in self.seen and key not in self.stops:
            self.seen.add(id(node))
            heapq.heappush(self.pending, (-node.order, node))

    def run(self) -> None:
        while self.pending:
            _, node = heapq.heappop(self.pending)
            self.pass_on(node)
        for key, leaf in self.leaves.items():
            if leaf.hooks:
                self.found[key] = _hooked(leaf.hooks, self.found[key])

    def pass_on(self, node: TapeNode) -> None:
        keys = [(id(node), index) for index in range(len(node.datas))]
        for index, hooks in node.hooks.items():
            if keys[index] in self.found:
                self.found[keys[index]] = _hooked(hooks, self.found[keys[index]])
        gradients = [self.found.get(key) for key in keys]
        for key in keys:
            if self.wanted is None or key not in self.wanted:
                self.found.pop(key, None)
        outputs = tuple(_again(node, index) for index in range(len(node.datas)))
        needs = tuple(t.requires_grad for t in node.inputs)
        flows = pull_back(node.op, node.inputs, node.attrs, outputs, gradients, needs)
        for tensor, fresh in zip(node.inputs, flows, strict=True):
            if fresh is not None:
                self.add(tensor, fresh)


def _seed(output: Tensor, gradient: Tensor | None) -> Tensor:
    if gradient is not None:
        if gradient.shape != output.shape:
            raise GradientError(f"the gradient {gradient.type} does not fit {output.type}")
        return gradient
    if output.type.size != 1:
        raise GradientError(
            f"only a scalar has a gradient by itself; the output is {output.type}: reduce it with "
            ".sum() or .mean(), or pass gradient="
        )
    return _filled_like(output, 1)


def _hooked(hooks: Sequence[Callable[[Tensor], Tensor | None]], gradient: Tensor) -> Tensor:
    for hook in tuple(hooks):
        changed = hook(gradient)
        gradient = gradient if changed is None else changed
    return gradient


def _again(node: TapeNode, index: int) -> Tensor:
    """The output of a node as a tensor that remembers where it came from."""
    tensor = Tensor(node.datas[index])
    tensor.requires_grad, tensor.node, tensor.index = True, node, index
    return tensor
