"""Exponential moving averages of parameters, which often predict better than the last ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from engine.errors import StateError
from engine.ir.graph import TensorType
from engine.nn.state import fill, mismatches
from engine.ops.pointwise import pointwise
from engine.ops.scalar import Expr
from engine.tape import set_recording
from engine.tensor import Tensor


@pointwise(name="ema")
def ema(average: Expr, value: Expr, weight: Expr) -> Expr:
    """average + weight * (value - average); weight is 1 - decay, a tensor without axes."""
    return average + weight * (value - average)


class EMA:
    """Averages of named tensors: a = decay * a + (1 - decay) * p. Polyak and Juditsky (1992).

    warmup: use min(decay, (1 + t) / (10 + t)) at update t, so that the beginning is soon forgotten.
    """

    def __init__(
        self, named: Iterable[tuple[str, Tensor]], decay: float = 0.999, *, warmup: bool = True
    ) -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay must be from 0 up to but not including 1, got {decay}")
        self.tensors = dict(named)
        self.decay = decay
        self.warmup = warmup
        self.updates = 0
        self._averages: dict[str, Tensor] = {}

    @property
    def averages(self) -> dict[str, Tensor]:
        """The averages by name; they begin as copies of the tensors."""
        if not self._averages:
            self._averages = {n: Tensor(np.array(t.numpy())) for n, t in self.tensors.items()}
        return self._averages

    def weight(self, update: int) -> float:
        """1 - decay at an update, counted from 1."""
        rate = min(self.decay, (1.0 + update) / (10.0 + update)) if self.warmup else self.decay
        return 1.0 - rate

    def update(self) -> None:
        """Move the averages towards the tensors as they are now."""
        averages = self.averages
        self.updates += 1
        with set_recording(False):
            for name, tensor in self.tensors.items():
                weight = Tensor(np.asarray(self.weight(self.updates), tensor.dtype))
                fill(averages[name], ema(averages[name], Tensor(tensor.data), weight).data)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Let the model have its averages for a while, for evaluation or saving."""
        held = {name: np.array(tensor.numpy()) for name, tensor in self.tensors.items()}
        try:
            for name, average in self.averages.items():
                fill(self.tensors[name], average.numpy())
            yield
        finally:
            for name, array in held.items():
                fill(self.tensors[name], array)

    def state_dict(self) -> dict[str, np.ndarray]:
        """The count of updates ("updates") and each average ("average.<name>"), as copies."""
        found = {f"average.{n}": np.array(t.numpy()) for n, t in self.averages.items()}
        return {"updates": np.array(self.updates, np.int64), **found}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a `state_dict`; StateError names every entry that does not fit."""
        wanted = {f"average.{name}": tensor.type for name, tensor in self.tensors.items()}
        wanted["updates"] = TensorType((), np.dtype(np.int64))
        problems = mismatches(wanted, state, strict=True)
        if problems:
            raise StateError("the state does not fit EMA:\n  " + "\n  ".join(problems))
        self.updates = int(state["updates"])
        self._averages = {
            name: Tensor(np.array(state[f"average.{name}"], tensor.dtype))
            for name, tensor in self.tensors.items()
        }
