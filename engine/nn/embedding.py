"""Embeddings: a row of numbers for each of a number of things."""

from __future__ import annotations

import numpy as np

from engine.errors import DtypeError
from engine.keyed import Draws
from engine.nn import init
from engine.nn.module import Module
from engine.nn.parameter import Parameter
from engine.nn.sizes import positive
from engine.ops.bags import MODES, embedding_bag
from engine.ops.index import embedding
from engine.tensor import Tensor


class Embedding(Module):
    """Rows of a table by number: integers [...] -> [..., embedding_dim].

    padding_idx: this row begins as zeros and has no gradient, so it stays.
    The table begins as N(0, 1), as in PyTorch.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        weight_init: init.Rule | None = None,
        dtype: object = "float32",
    ) -> None:
        self.num_embeddings = positive("num_embeddings", num_embeddings)
        self.embedding_dim = positive("embedding_dim", embedding_dim)
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(
                f"padding_idx must be a row of the {num_embeddings}, got {padding_idx}"
            )
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        rule = _but_for(self.padding_idx, weight_init or init.normal())
        self.weight = Parameter((num_embeddings, embedding_dim), rule, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype.kind not in "iu":
            raise DtypeError(f"{self.label()}: expected integers, got {x.type}")
        return embedding(self.weight, x, self.padding_idx)

    def describe(self) -> str:
        words = f"{self.num_embeddings}, {self.embedding_dim}"
        return words if self.padding_idx is None else f"{words}, padding_idx={self.padding_idx}"


class EmbeddingBag(Module):
    """Rows of a table made one for each bag, by sum, mean or maximum -> [bags, embedding_dim].

    Bags are the lines of integers [bags, length], or stretches of integers [entries] that begin at
    `offsets` [bags]. Entries that are `padding_idx` count for nothing. The table begins as N(0, 1).
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        mode: str = "mean",
        padding_idx: int | None = None,
        *,
        weight_init: init.Rule | None = None,
        dtype: object = "float32",
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        table = Embedding(
            num_embeddings, embedding_dim, padding_idx, weight_init=weight_init, dtype=dtype
        )
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.mode, self.padding_idx = mode, table.padding_idx
        self.weight = table.weight

    def forward(
        self,
        x: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        if x.dtype.kind not in "iu":
            raise DtypeError(f"{self.label()}: expected integers, got {x.type}")
        return embedding_bag(
            self.weight,
            x,
            offsets,
            mode=self.mode,
            per_sample_weights=per_sample_weights,
            padding_idx=self.padding_idx,
        )

    def describe(self) -> str:
        words = f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}"
        return words if self.padding_idx is None else f"{words}, padding_idx={self.padding_idx}"


def _but_for(row: int | None, rule: init.Rule) -> init.Rule:
    """The rule, with one row of zeros."""

    def filled(shape: tuple[int, ...], draws: Draws) -> np.ndarray:
        values = np.array(rule(shape, draws))
        if row is not None:
            values[row] = 0.0
        return values

    return filled
