"""Small engine modules that only the spec's layers need."""

from __future__ import annotations

from collections.abc import Sequence

import engine
from engine import Tensor
from engine.nn import Module


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
