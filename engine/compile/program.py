"""What one training step computes, written once in tensors for the tape and for the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine import autograd
from engine.errors import GradientError, ShapeError, StateError
from engine.ir.graph import Value
from engine.ir.passes.differentiate import gradients
from engine.ir.structure import build, flatten
from engine.ir.trace import entering
from engine.nn.module import Module
from engine.nn.parameter import Uninitialised
from engine.ops.elementwise import cast, minimum
from engine.ops.movement import cat
from engine.optim.clip import clip_by_norm, clip_by_value, global_norm
from engine.optim.ema import ema as average
from engine.optim.optimizer import Optimizer
from engine.random import stream
from engine.tape import set_recording
from engine.tensor import Tensor

#: loss(model, batch) -> a scalar, or (scalar, further tensors by name)
Loss = Callable[[Any, Any], Any]
#: Gradients of a scalar by tensors; None where a tensor has no part in it.
Differentiate = Callable[[Tensor, Sequence[Tensor]], Sequence[Tensor | None]]


@dataclass(frozen=True, slots=True)
class Options:
    """clip_norm, clip_value: limits of the gradients, by global norm and by element.

    accumulate: parts that a batch is cut into, whose gradients are added up.
    ema: decay of the moving averages of the weights, None for none. Update t uses
        min(decay, (1 + t) / (10 + t)), so that the beginning is soon forgotten.
    """

    clip_norm: float | None = None
    clip_value: float | None = None
    accumulate: int = 1
    ema: float | None = None

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            raise ValueError(f"accumulate must be at least 1, got {self.accumulate}")
        if self.ema is not None and not 0.0 <= self.ema < 1.0:
            raise ValueError(f"ema must be from 0 up to but not including 1, got {self.ema}")


@dataclass(slots=True)
class Program:
    """A step on tensors that live on from step to step (`leaves`): it gives them new data.

    weights: parameters and buffers by the name of their owner and their own, see `owned`.

    Call it with the batch, the seed, the step (counted from 0) and the learning rate, as tensors.
    """

    model: Module
    loss: Loss
    optimizer: Optimizer
    options: Options
    weights: dict[str, Tensor] = field(init=False)
    state: dict[str, dict[str, Tensor]] = field(init=False)
    averages: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.weights = owned(self.model, self.loss, self.optimizer)
        self.state = {
            name: {slot: Tensor(Uninitialised(type)) for slot, type in slots.items()}
            for name, slots in self.optimizer.state_types().items()
        }
        kept = dict(self.optimizer.trainable()) if self.options.ema is not None else {}
        self.averages = {name: Tensor(Uninitialised(p.type)) for name, p in kept.items()}

    def leaves(self) -> Iterator[tuple[str, Tensor]]:
        """Everything that a step may change, by name."""
        yield from self.weights.items()
        for name, slots in self.state.items():
            for slot, tensor in slots.items():
                yield f"optimizer.{slot}.{name}", tensor
        for name, tensor in self.averages.items():
            yield f"ema.{name}", tensor

    def __call__(
        self, batch: Any, seed: Tensor, step: Tensor, lr: Tensor, differentiate: Differentiate
    ) -> dict[str, Tensor]:
        names, parameters = zip(*self.optimizer.trainable(), strict=True)
        with stream(seed=seed, step=step):
            results, found = self._accumulate(batch, parameters, differentiate)
        with set_recording(False), entering("update"):
            moved = {n: g for n, g in zip(names, found, strict=True) if g is not None}
            clipped, norm = self._clip(list(moved.values()))
            self._update(dict(zip(moved, clipped, strict=True)), step + 1, lr)
        return {"loss": results.pop("loss"), "grad_norm": norm, **results}

    def _accumulate(
        self, batch: Any, parameters: Sequence[Tensor], differentiate: Differentiate
    ) -> tuple[dict[str, Tensor], list[Tensor | None]]:
        parts = list(cut(batch, self.options.accumulate))
        total: dict[str, list[Tensor]] = {}
        found: list[Tensor | None] = [None] * len(parameters)
        for part, share in parts:
            results = _named(self.loss(self.model, part))
            if share != 1.0:
                results["loss"] = results["loss"] * share
            fresh = differentiate(results["loss"], parameters)
            with set_recording(False), entering("backward"):
                found = [_added(old, new) for old, new in zip(found, fresh, strict=True)]
            for name, tensor in results.items():
                total.setdefault(name, []).append(tensor)
        with set_recording(False):
            shares = [share for _, share in parts]
            return {n: _together(n, tensors, shares) for n, tensors in total.items()}, found

    def _clip(self, found: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        if not found:
            raise GradientError(
                "the loss depends on none of the optimizer's parameters, so nothing can be learned"
            )
        if self.options.clip_value is not None:
            found = clip_by_value(found, self.options.clip_value)
        if self.options.clip_norm is None:
            return found, global_norm(found)
        return clip_by_norm(found, self.options.clip_norm)

    def _update(self, moved: Mapping[str, Tensor], count: Tensor, lr: Tensor) -> None:
        optimizer = self.optimizer
        for name, gradient in moved.items():
            p, held = optimizer.parameters[name], self.state[name]
            old = {slot: Tensor(tensor.data) for slot, tensor in held.items()}
            fresh, after = optimizer.update(
                Tensor(p.data), gradient, old, lr=lr, step=count, **optimizer.options[name]
            )
            p.data = fresh.data
            for slot, tensor in after.items():
                held[slot].data = tensor.data
        for name, tensor in self.averages.items():
            p = optimizer.parameters[name]
            done = cast(count, p.dtype)
            rate = minimum((done + 1.0) / (done + 10.0), self.options.ema)
            tensor.data = average(Tensor(tensor.data), Tensor(p.data), 1.0 - rate).data


def owned(model: Module, loss: Loss, optimizer: Optimizer) -> dict[str, Tensor]:
    """Parameters and buffers: "model.", "loss." where that is a module, "other." for strays."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()

    def enter(owner: str, named: Iterable[tuple[str, Tensor]]) -> None:
        for name, tensor in named:
            if id(tensor) not in seen:
                seen.add(id(tensor))
                found[f"{owner}.{name}"] = tensor

    for owner, module in (("model", model), ("loss", loss)):
        if isinstance(module, Module):
            enter(owner, module.named_parameters())
            enter(owner, module.named_buffers())
    enter("other", optimizer.parameters.items())
    return found


def by_tape(output: Tensor, inputs: Sequence[Tensor]) -> Sequence[Tensor | None]:
    return autograd.grad(output, inputs)


def by_graph(output: Tensor, inputs: Sequence[Tensor]) -> Sequence[Tensor | None]:
    found = gradients(output.data, [x.data for x in inputs])
    return [None if g is None else _hooked(x, g) for x, g in zip(inputs, found, strict=True)]


def _hooked(x: Tensor, gradient: Value) -> Tensor:
    """The gradient, after the hooks of the tensor have seen it."""
    current = Tensor(gradient)
    for hook in x.hooks or ():
        changed = hook(current)
        current = current if changed is None else changed
    return current


def cut(batch: Any, parts: int) -> Iterator[tuple[Any, float]]:
    """Parts of a batch along the first axis of its tensors, and the share of each."""
    leaves, names, form = flatten(batch)
    if parts == 1:
        yield batch, 1.0
        return
    shapes = {name: leaf.shape for name, leaf in zip(names, leaves, strict=True)}
    if len({shape[:1] for shape in shapes.values()}) != 1 or () in shapes.values():
        raise ShapeError(
            f"a batch to be cut into {parts} parts needs tensors of one length along the first "
            f"axis; got {shapes}"
        )
    size = leaves[0].shape[0]
    for index in range(parts):
        start, end = index * size // parts, (index + 1) * size // parts
        if start < end:
            yield build(form, iter([leaf[start:end] for leaf in leaves])), (end - start) / size


def _named(result: Any) -> dict[str, Tensor]:
    loss, further = result if isinstance(result, tuple) else (result, {})
    if not isinstance(loss, Tensor) or loss.size != 1:
        raise GradientError(f"a loss must be one number, as a tensor; got {_kind(loss)}")
    further = {name: _tensor(value) for name, value in further.items()}
    taken = sorted({"loss", "grad_norm"} & set(further))
    if taken:
        raise StateError(
            f"the loss gives {taken[0]!r} among its metrics, a name of the step itself"
        )
    return {"loss": loss, **further}


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else Tensor(np.asarray(value))


def _kind(value: Any) -> str:
    return str(value.type) if isinstance(value, Tensor) else type(value).__name__


def _added(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    if old is None or new is None:
        return new if old is None else old
    return old + new


def _together(name: str, tensors: list[Tensor], shares: list[float]) -> Tensor:
    """Over all parts of a batch: the loss added up, other numbers averaged, the rest in a row."""
    first = tensors[0]
    if len(tensors) == 1:
        return first
    if first.shape:
        return cat(tensors)
    if name != "loss":
        tensors = [tensor * share for tensor, share in zip(tensors, shares, strict=True)]
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total
