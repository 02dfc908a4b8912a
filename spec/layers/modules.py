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
