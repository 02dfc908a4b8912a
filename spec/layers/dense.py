"""Layers that mix features: linear, embedding (of one code or several), one-hot, dropout."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engine import nn
from engine.dtypes import is_float
from spec.layers.kinds import Arguments, Misfit, Shape, Signal, layer
from spec.layers.modules import OneHot
from spec.parts import Rate, Width


def numbers(x: Signal, kind: str) -> None:
    """Misfit where codes of categories come in."""
    if not is_float(x.dtype):
        hint = "put `embedding` or `one_hot` before it"
        raise Misfit(f"{kind} wants numbers, not codes of categories", x, hint=hint)


def codes(x: Signal, kind: str) -> int:
    """How many codes there are; Misfit where no codes come in."""
    if is_float(x.dtype) or x.codes is None:
        hint = "feed it a category input, before any other layer"
        raise Misfit(f"{kind} wants codes of categories", x, hint=hint)
    return x.codes


@layer("linear", main="out_features")
class Linear(Arguments):
    """y = x Wᵀ + b: every output sees every input feature."""

    out_features: Width = Field(description="Width of the output.", examples=[128])
    bias: bool = Field(default=True, description="Whether b is learned.")

    def make(self, x: Signal) -> nn.Module:
        numbers(x, "linear")
        if x.ndim not in (1, 2):
            raise Misfit("linear wants a flat vector", x, hint="put `flatten` before it")
        return nn.Linear(x.shape[-1], self.out_features, bias=self.bias)

    def outcome(self) -> Shape:
        return (self.out_features,)


@layer("embedding", main="embedding_dim")
class Embedding(Arguments):
    """A learned vector for each code of a category; the data says how many codes there are."""

    embedding_dim: Width = Field(description="Width of the vectors.", examples=[16])

    def make(self, x: Signal) -> nn.Module:
        return nn.Embedding(codes(x, "embedding"), self.embedding_dim)


@layer("embedding_bag", main="embedding_dim")
class EmbeddingBag(Arguments):
    """The learned vectors of all codes of a row made one: a set of categories as a vector."""

    embedding_dim: Width = Field(description="Width of the vectors.", examples=[16])
    mode: Literal["sum", "mean", "max"] = Field(
        default="mean", description="How the vectors become one."
    )

    def make(self, x: Signal) -> nn.Module:
        count = codes(x, "embedding_bag")
        if x.ndim != 1:
            hint = "give the category several columns, or use embedding for a single one"
            raise Misfit("embedding_bag wants several codes a row", x, hint=hint)
        return nn.EmbeddingBag(count, self.embedding_dim, self.mode)


@layer("one_hot")
class OneHotArguments(Arguments):
    """Zeros, and a one for the category, in place of its code."""

    def make(self, x: Signal) -> nn.Module:
        return OneHot(codes(x, "one_hot"))


@layer("dropout", main="p")
class Dropout(Arguments):
    """While training, sets each number to 0 with probability p and scales up the rest."""

    p: Rate = Field(default=0.5, description="Probability of 0.", examples=[0.2])

    def make(self, x: Signal) -> nn.Module:
        numbers(x, "dropout")
        return nn.Dropout(self.p)
