"""What every optimizer shares: groups of parameters, state by slot, and a step in eager mode."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from engine import aligned
from engine.errors import StateError
from engine.ir.graph import TensorType
from engine.nn.parameter import Parameter
from engine.nn.state import fill, mismatches
from engine.ops.elementwise import cast
from engine.tape import set_recording
from engine.tensor import Tensor

State = dict[str, Tensor]
Match = str | Collection[str] | Callable[[str], bool]


class Group:
    """Options of their own for some parameters: `Group("head.*", lr=1e-4)`.

    match: a pattern of dotted names, a collection of names, or a function of the name.
    options: any of the optimizer's options. `lr` is kept in proportion: the group always learns at
        lr / base lr times the rate of the others, whatever the schedule says.
    """

    def __init__(self, match: Match, **options: Any) -> None:
        self.match = match
        self.options = options

    def holds(self, name: str) -> bool:
        if isinstance(self.match, str):
            return fnmatchcase(name, self.match)
        return self.match(name) if callable(self.match) else name in self.match


def no_decay(named_parameters: Iterable[tuple[str, Parameter]]) -> Group:
    """No weight decay for biases and the scales of norms: all parameters of one axis or none."""
    names = {name for name, parameter in named_parameters if len(parameter.shape) <= 1}
    return Group(names, weight_decay=0.0)


class Optimizer:
    """A rule that moves parameters down their gradients.

    Subclasses give `slots` (the state a parameter needs, with its first value) and `rule`, written
    in tensor operations, so that it runs eagerly and is traced alike.

    named_parameters: pairs of name and parameter, as `model.named_parameters()` gives them.
    lr: the learning rate where `step` and `update` are not given another.
    groups: where several match a name, later options replace earlier ones.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Parameter]],
        lr: float,
        groups: Sequence[Group] = (),
        **options: Any,
    ) -> None:
        self.parameters = dict(named_parameters)
        if not self.parameters:
            raise StateError("an optimizer needs at least one parameter")
        self.lr = _rate(lr)
        self.steps = 0
        self.options = {name: self._options_of(name, groups, options) for name in self.parameters}
        self._state: dict[str, dict[str, Any]] = {}

    def _options_of(
        self, name: str, groups: Sequence[Group], defaults: Mapping[str, Any]
    ) -> dict[str, Any]:
        found = dict(defaults)
        for group in groups:
            unknown = sorted(set(group.options) - set(defaults) - {"lr"})
            if unknown:
                known = ", ".join(["lr", *defaults])
                raise ValueError(f"a group has {', '.join(unknown)}; expected some of {known}")
            if group.holds(name):
                found |= group.options
        lr = _rate(found.pop("lr", self.lr))
        if lr != self.lr and self.lr == 0.0:
            raise ValueError("a group cannot have an lr of its own beside a base lr of 0")
        self.check(**found)
        return found | {"lr_scale": lr / self.lr if lr != self.lr else 1.0}

    # What a subclass gives

    def check(self, **options: Any) -> None:
        """Refuse options out of range with ValueError."""

    def slots(self, **options: Any) -> dict[str, float]:
        """The names of the state that a parameter needs, and the number each starts with."""
        return {}

    def rule(
        self, p: Tensor, g: Tensor, state: State, *, lr: Any, step: Any, **options: Any
    ) -> tuple[Tensor, State]:
        raise NotImplementedError(f"{type(self).__name__} has no rule")

    # What a training step uses

    def update(
        self,
        p: Tensor,
        g: Tensor,
        state: State,
        *,
        lr: Any,
        step: Any,
        lr_scale: float = 1.0,
        **options: Any,
    ) -> tuple[Tensor, State]:
        """(parameter, state) after one step: a pure function, eager or traced.

        lr, step: a number or a tensor without axes; steps count from 1.
        options: those of `self.options[name]`.
        """
        rate, count = _scalar(lr, p.dtype), _scalar(step, p.dtype)
        if lr_scale != 1.0:
            rate = rate * lr_scale
        return self.rule(p, g, state, lr=rate, step=count, **options)

    def trainable(self) -> Iterator[tuple[str, Parameter]]:
        """The parameters that are not frozen."""
        return ((name, p) for name, p in self.parameters.items() if p.requires_grad)

    def state_types(self) -> dict[str, dict[str, TensorType]]:
        """The state of each trainable parameter, as types: what it will take, not yet allocated."""
        return {
            name: dict.fromkeys(self.slots(**self.options[name]), p.type)
            for name, p in self.trainable()
        }

    @property
    def state(self) -> dict[str, dict[str, Any]]:
        """The arrays by name of the parameter and slot; made here when they are first needed."""
        for name, p in self.trainable():
            if name not in self._state:
                slots = self.slots(**self.options[name])
                self._state[name] = {s: _full_like(p, first) for s, first in slots.items()}
        return self._state

    def step(self, lr: float | None = None) -> None:
        """Move every parameter that has a gradient, in place, and count the step."""
        self.steps += 1
        rate = self.lr if lr is None else lr
        with set_recording(False):
            for name, p in self.trainable():
                if p.grad is not None:
                    self._move(name, p, p.grad, rate)

    def _move(self, name: str, p: Parameter, g: Tensor, lr: float) -> None:
        held = self.state[name]
        state = {slot: Tensor(array) for slot, array in held.items()}
        fresh, after = self.update(p, g, state, lr=lr, step=self.steps, **self.options[name])
        fill(p, fresh.data)
        for slot, tensor in state.items():
            fill(tensor, after[slot].data)
            held[slot] = tensor.data

    def zero_grad(self) -> None:
        for p in self.parameters.values():
            p.grad = None

    # State for checkpoints

    def state_dict(self) -> dict[str, np.ndarray]:
        """The count of steps ("steps") and each slot ("<slot>.<parameter>"), as copies."""
        found = {"steps": np.array(self.steps, np.int64)}
        for name, slots in self.state.items():
            for slot, array in slots.items():
                found[f"{slot}.{name}"] = np.array(Tensor(array).numpy())
        return found

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a `state_dict`; StateError names every entry that does not fit."""
        leaves = {
            f"{slot}.{name}": Tensor(array)
            for name, slots in self.state.items()
            for slot, array in slots.items()
        }
        wanted = {name: leaf.type for name, leaf in leaves.items()}
        wanted["steps"] = TensorType((), np.dtype(np.int64))
        problems = mismatches(wanted, state, strict=True)
        if problems:
            kind = type(self).__name__
            raise StateError(f"the state does not fit {kind}:\n  " + "\n  ".join(problems))
        self.steps = int(state["steps"])
        for name, leaf in leaves.items():
            fill(leaf, np.asarray(state[name]))

    def __repr__(self) -> str:
        count = sum(p.type.size for _, p in self.trainable())
        return f"{type(self).__name__}({len(self.parameters)} parameters, {count} numbers)"


def _rate(lr: float) -> float:
    if not 0.0 <= lr < float("inf"):
        raise ValueError(f"lr must be a finite number from 0, got {lr}")
    return float(lr)


def _scalar(value: Any, dtype: np.dtype) -> Tensor:
    """A number as a tensor without axes, in the dtype of the parameter."""
    return cast(value, dtype) if isinstance(value, Tensor) else Tensor(np.asarray(value, dtype))


def _full_like(p: Parameter, value: float) -> Any:
    """An array of one number, on the device of the parameter."""
    on_device = hasattr(p.data, "get")
    full = p.data.copy() if on_device else aligned.zeros(p.shape, p.dtype)
    if value or on_device:
        full.fill(value)
    return full
