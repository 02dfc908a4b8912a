"""Layers made of layers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engine import nn
from spec.layers.convolution import Window
from spec.layers.kinds import Arguments, Signal, layer
from spec.layers.layer import Layer
from spec.parts import MAX_LIST, Width

Layers = Annotated[list[Layer], Field(min_length=1, max_length=MAX_LIST)]


class Block(Arguments):
    """Holds layers of its own; `spec.network` walks through them."""

    layers: Layers = Field(description="The layers inside, in order.")


@layer("sequential", main="layers")
class Sequential(Block):
    """Layers one after the other, where a graph or block wants a single one."""


@layer("residual", main="layers")
class Residual(Block):
    """y = F(x) + x, where F are the layers inside (He et al. 2016)."""

    shortcut: Literal["auto", "identity", "projection"] = Field(
        default="auto",
        description="The way around the layers. projection: a linear layer or 1x1 convolution "
        "that changes the shape; auto: only where the shape changes.",
    )


@layer("squeeze_excite", main="reduction")
class SqueezeExciteArguments(Window):
    """Each channel scaled by a gate that sees the means of all channels (Hu et al. 2018)."""

    axes = 2

    reduction: Width = Field(
        default=16, description="How many times narrower the gate is inside.", examples=[4]
    )

    def make(self, x: Signal) -> nn.Module:
        channels = self.channels(x)
        return nn.SqueezeExcite(channels, max(1, channels // self.reduction))
