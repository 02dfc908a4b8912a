"""Layers that read a sequence [steps, features] step by step and carry a state along."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from engine import nn
from spec.layers.attention import sequence
from spec.layers.kinds import Arguments, Signal, layer
from spec.layers.modules import Recurrence
from spec.parts import Rate, Width

Depth = Annotated[int, Field(ge=1, le=64)]


class Recurrent(Arguments):
    """What all recurrent layers are told."""

    module: ClassVar[str]

    hidden_size: Width = Field(description="Width of the state.", examples=[128])
    num_layers: Depth = Field(default=1, description="Layers over each other.")
    bidirectional: bool = Field(
        default=False, description="Whether the sequence is read backwards as well."
    )
    dropout: Rate = Field(default=0.0, description="Probability of 0 between layers, in training.")
    bias: bool = Field(default=True, description="Whether biases are learned.")
    returns: Literal["last", "sequence"] = Field(
        default="last", description="What comes out: the last state, or that of every step."
    )

    def make(self, x: Signal) -> nn.Module:
        _, features = sequence(x, self.kind)
        cell = getattr(nn, self.module)(
            features,
            self.hidden_size,
            num_layers=self.num_layers,
            bias=self.bias,
            batch_first=True,
            dropout=self.dropout,
            bidirectional=self.bidirectional,
        )
        return Recurrence(cell, last=self.returns == "last")


@layer("rnn", main="hidden_size")
class RNN(Recurrent):
    """A state that each step mixes with its input, through tanh (Elman 1990)."""

    module = "RNN"


@layer("gru", main="hidden_size")
class GRU(Recurrent):
    """Gates say what each step keeps of the state and what it renews (Cho et al. 2014)."""

    module = "GRU"


@layer("lstm", main="hidden_size")
class LSTM(Recurrent):
    """A memory that gates write, keep and read (Hochreiter and Schmidhuber 1997)."""

    module = "LSTM"
