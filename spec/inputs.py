"""From the columns to the first layer: how each input of the data enters the network.

- An image and a vector of numbers enter as they are.
- A category with `embedding` becomes a learned vector; with `one_hot` it is one already. Several
  columns of one input (`columns`) have their vectors put end to end.
- With `layers` or `mlp`, a category without either becomes one-hot, unless it is the only input and
  the first layer itself takes codes (embedding, embedding_bag, one_hot). Several inputs are
  vectors, put end to end in their order.
- In a graph, a category without either is fed as codes, for a node such as `embedding`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import engine
from core.errors import Problem
from engine import Tensor, nn
from engine.dtypes import dtype
from spec.data.shapes import InputShape
from spec.layers import Layer, Signal
from spec.layers.modules import OneHot, Reshape
from spec.problems import pointer

CODES = ("embedding", "embedding_bag", "one_hot")


@dataclass(frozen=True, slots=True)
class Entry:
    """One input of the data: what arrives, and the width of its learned vector if it has one."""

    signal: Signal
    embedding: int | None = None

    def encoder(self, *, one_hot: bool) -> nn.Module | None:
        """What turns codes into numbers; None where the input enters as it is."""
        count = self.signal.codes
        if count is None or (self.embedding is None and not one_hot):
            return None
        made: nn.Module = (
            OneHot(count) if self.embedding is None else nn.Embedding(count, self.embedding)
        )
        width = self.embedding or count
        if self.signal.ndim:
            return nn.Sequential(made, Reshape((self.signal.size * width,)))
        return made


class Join(nn.Module):
    """Several inputs end to end, each made flat: (N, …), (N, …) → (N, sum of their sizes)."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return engine.cat([engine.flatten(x, 1) for x in inputs], axis=1)


def encoders(
    entries: Mapping[str, Entry | None], layers: Sequence[Layer] | None
) -> dict[str, nn.Module]:
    """What turns codes into numbers, by input; `layers` is None for a graph."""
    takes_codes = len(entries) == 1 and bool(layers) and layers[0].kind in CODES  # type: ignore[index]
    one_hot = layers is not None and not takes_codes
    made = {n: entry.encoder(one_hot=one_hot) for n, entry in entries.items() if entry is not None}
    return {name: module for name, module in made.items() if module is not None}


def mixed(entries: Mapping[str, Entry | None]) -> list[Problem]:
    """With layers, several inputs must be vectors: images need a graph."""
    if len(entries) == 1:
        return []
    return [
        Problem(
            pointer(("data", "inputs", name)),
            "misfit",
            f"{name} is {entry.signal}; beside other inputs, layers take numbers and categories",
            expected="a vector",
            got=str(entry.signal),
            hint="use model.graph, where an image has layers of its own before the inputs meet",
        )
        for name, entry in entries.items()
        if entry is not None and entry.signal.codes is None and entry.signal.ndim > 1
    ]


def entry(shape: InputShape) -> Entry:
    """How an input described by the data enters the network."""
    codes = shape.cardinality if shape.dtype == "int64" else None
    return Entry(Signal(tuple(shape.shape), dtype(shape.dtype), codes), shape.embedding)
