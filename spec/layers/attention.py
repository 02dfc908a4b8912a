"""Layers over sequences [positions, features] in which positions look at each other."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engine import nn
from spec.layers.dense import numbers
from spec.layers.kinds import Arguments, Misfit, Signal, layer
from spec.layers.modules import Along
from spec.parts import Rate, Width

Heads = Annotated[int, Field(ge=1, le=1024)]


def sequence(x: Signal, kind: str) -> tuple[int, int]:
    """(positions, features); Misfit where the input has other axes."""
    numbers(x, kind)
    if x.ndim != 2:
        hint = "put `reshape` before it" if x.ndim > 2 else "put `embedding` before it"
        raise Misfit(f"{kind} wants a sequence [positions, features]", x, hint=hint)
    return x.shape[0], x.shape[1]


class Attentive(Arguments):
    """What all layers with attention are told."""

    heads: Heads = Field(description="Number of heads; divides the features.", examples=[4])
    causal: bool = Field(default=False, description="Whether no position sees a later one.")
    rotary: bool = Field(
        default=False, description="Whether queries and keys are turned by their positions."
    )
    kv_heads: Heads | None = Field(
        default=None,
        description="Heads of keys and values; fewer ones serve several heads of queries.",
    )
    dropout: Rate = Field(default=0.0, description="Probability of 0 while training.")

    def width(self, x: Signal) -> int:
        """The features; Misfit where they do not part into heads."""
        _, features = sequence(x, self.kind)
        if features % self.heads:
            fits = [n for n in range(1, self.heads + 1) if features % n == 0]
            wanted = f"{self.heads} heads must divide {features} features"
            raise Misfit(wanted, x, hint=f"use heads: {fits[-1]}")
        if self.kv_heads is not None and self.heads % self.kv_heads:
            wanted = f"kv_heads: {self.kv_heads} must divide heads: {self.heads}"
            raise Misfit(wanted, x, hint="leave kv_heads out")
        if self.rotary and features // self.heads % 2:
            wanted = f"rotary wants an even number of features a head, not {features // self.heads}"
            raise Misfit(wanted, x, hint="use rotary: false, or other heads")
        return features


@layer("attention", main="heads")
class Attention(Attentive):
    """Every position takes from all others what resembles its query (Vaswani et al. 2017)."""

    bias: bool = Field(default=True, description="Whether biases are learned.")

    def make(self, x: Signal) -> nn.Module:
        return nn.MultiheadAttention(
            self.width(x),
            self.heads,
            self.dropout,
            self.bias,
            num_kv_heads=self.kv_heads,
            causal=self.causal,
            rotary=self.rotary,
        )


@layer("transformer", main="heads")
class Transformer(Attentive):
    """A block of attention and two linear layers, each with a norm and added to its input."""

    hidden: Width | None = Field(
        default=None,
        description="Width between the linear layers; 4 times the features where left out.",
        examples=[256],
    )
    activation: Literal["gelu", "relu"] = Field(
        default="gelu", description="Between the linear layers."
    )
    norm: Literal["pre", "post"] = Field(
        default="pre", description="Whether a norm stands before each part or behind its sum."
    )

    def make(self, x: Signal) -> nn.Module:
        features = self.width(x)
        return nn.TransformerEncoderLayer(
            features,
            self.heads,
            4 * features if self.hidden is None else self.hidden,
            self.dropout,
            self.activation,
            norm_first=self.norm == "pre",
            causal=self.causal,
            num_kv_heads=self.kv_heads,
            rotary=self.rotary,
        )


@layer("positions", main="how")
class Positions(Arguments):
    """Tells each position of a sequence where it stands: something is added to its features."""

    how: Literal["learned", "waves"] = Field(
        default="learned",
        description="learned: a vector for each position; waves: sines and cosines.",
    )

    def make(self, x: Signal) -> nn.Module:
        length, features = sequence(x, self.kind)
        if self.how == "waves":
            return nn.PositionalEncoding(features)
        return nn.PositionalEmbedding(length, features)


@layer("sequence_pool", main="how")
class SequencePool(Arguments):
    """One vector of a sequence: the mean or largest of its positions, its first or its last."""

    how: Literal["mean", "max", "first", "last"] = Field(
        default="mean", description="What is taken of the positions."
    )

    def make(self, x: Signal) -> nn.Module:
        sequence(x, self.kind)
        return Along(self.how)
