"""Normalization: numbers are brought to a common scale between layers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine import nn
from spec.layers.dense import numbers
from spec.layers.kinds import Arguments, Misfit, Signal, layer
from spec.parts import Width

Epsilon = Annotated[
    float,
    Field(gt=0, le=1, allow_inf_nan=False, description="Keeps the division finite."),
]


#: The engine's class for the axes of a row.
AXES = {1: nn.BatchNorm1d, 2: nn.BatchNorm1d, 3: nn.BatchNorm2d, 4: nn.BatchNorm3d}


@layer("batch_norm")
class BatchNorm(Arguments):
    """Each channel to mean 0 and deviation 1 over the batch, then scaled and shifted as learned."""

    eps: Epsilon = 1e-5
    momentum: float = Field(
        default=0.1, gt=0, le=1, description="How fast the running statistics follow."
    )

    def make(self, x: Signal) -> nn.Module:
        numbers(x, self.kind)
        if x.ndim not in AXES:
            raise Misfit("batch_norm wants channels, and at most three more axes", x)
        made = AXES[x.ndim]
        return made(x.shape[0], eps=self.eps, momentum=self.momentum)


@layer("layer_norm")
class LayerNorm(Arguments):
    """The last axis of each row to mean 0 and deviation 1, then scaled and shifted as learned."""

    eps: Epsilon = 1e-5

    def make(self, x: Signal) -> nn.Module:
        return nn.LayerNorm(_last(x, self.kind), eps=self.eps)


@layer("rms_norm")
class RMSNorm(Arguments):
    """The last axis of each row divided by its root mean square, then scaled as learned."""

    eps: Epsilon = 1e-5

    def make(self, x: Signal) -> nn.Module:
        return nn.RMSNorm(_last(x, self.kind), eps=self.eps)


@layer("group_norm", main="num_groups")
class GroupNorm(Arguments):
    """Groups of channels of each row to mean 0 and deviation 1, then scaled and shifted."""

    num_groups: Width = Field(description="Number of groups.", examples=[8])
    eps: Epsilon = 1e-5

    def make(self, x: Signal) -> nn.Module:
        numbers(x, self.kind)
        if x.ndim == 0 or x.shape[0] % self.num_groups:
            hint = "use a number of groups that divides the channels"
            raise Misfit(f"{self.num_groups} groups must divide the channels", x, hint=hint)
        return nn.GroupNorm(self.num_groups, x.shape[0], eps=self.eps)


def _last(x: Signal, kind: str) -> int:
    numbers(x, kind)
    if x.ndim == 0:
        raise Misfit(f"{kind} wants at least one axis", x)
    return x.shape[-1]
