"""Small engine modules that only the spec's layers need."""

from __future__ import annotations

from collections.abc import Sequence

import engine
from engine import Tensor
from engine.nn import GRU, LSTM, RNN, Module


class Reshape(Module):
    """Each row in another shape: (N, …) → (N, *shape)."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        return engine.reshape(x, (x.shape[0], *self.shape))


class OneHot(Module):
    """Codes become zeros and a one: (N, …) → (N, …, count), float32."""

    def __init__(self, count: int) -> None:
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        return engine.one_hot(x, self.count, "float32")


class Along(Module):
    """One vector of each sequence: (N, positions, features) → (N, features)."""

    def __init__(self, how: str) -> None:
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        if self.how in ("mean", "max"):
            return engine.mean(x, 1) if self.how == "mean" else engine.amax(x, 1)
        place = 0 if self.how == "first" else x.shape[1] - 1
        return engine.reshape(engine.narrow(x, 1, place, 1), (x.shape[0], x.shape[2]))


class Recurrence(Module):
    """A recurrent layer without its states: (N, steps, features) → (N, steps, width).

    With `last` only the last state of the last layer, of both directions: (N, width).
    """

    def __init__(self, cell: RNN | GRU | LSTM, *, last: bool) -> None:
        self.cell, self.last = cell, last

    def forward(self, x: Tensor) -> Tensor:
        found: tuple[Tensor, Tensor | tuple[Tensor, Tensor]] = self.cell(x)
        y, states = found
        if not self.last:
            return y
        h = states[0] if isinstance(states, tuple) else states
        ends = [h[i] for i in range(h.shape[0])][-len(self.cell.directions) :]
        return ends[0] if len(ends) == 1 else engine.cat(ends, 1)
