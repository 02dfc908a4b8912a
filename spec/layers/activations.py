"""Activations: functions of one number at a time, between the layers that learn."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, create_model

from engine import nn
from spec.layers.dense import numbers
from spec.layers.kinds import Arguments, Misfit, Signal, layer

#: Kind → the engine's class, formula. These have no arguments.
PLAIN = {
    "relu": ("ReLU", "max(x, 0)"),
    "gelu": ("GELU", "x Φ(x), with Φ the normal distribution"),
    "silu": ("SiLU", "x sigmoid(x), also called swish"),
    "sigmoid": ("Sigmoid", "1 / (1 + e⁻ˣ)"),
    "tanh": ("Tanh", "tanh x"),
    "selu": ("SELU", "elu with the constants that keep mean 0 and deviation 1"),
    "softplus": ("Softplus", "log(1 + eˣ)"),
    "mish": ("Mish", "x tanh(softplus x)"),
    "hardswish": ("Hardswish", "x min(max(x + 3, 0), 6) / 6"),
    "hardsigmoid": ("Hardsigmoid", "min(max(x + 3, 0), 6) / 6"),
    "relu6": ("ReLU6", "min(max(x, 0), 6)"),
}

Activation = Literal[*PLAIN, "leaky_relu", "elu"]  # type: ignore[valid-type]


class PlainActivation(Arguments):
    """An activation without arguments."""

    module: ClassVar[str]

    def make(self, x: Signal) -> nn.Module:
        numbers(x, self.kind)
        made: nn.Module = getattr(nn, self.module)()
        return made


for _kind, (_module, _formula) in PLAIN.items():
    _class = create_model(_module, __base__=PlainActivation, __doc__=f"{_formula}.")
    _class.module = _module
    layer(_kind)(_class)


@layer("leaky_relu", main="negative_slope")
class LeakyReLU(Arguments):
    """x where it is positive, else negative_slope x."""

    negative_slope: float = Field(default=0.01, ge=0, le=1, description="Slope below 0.")

    def make(self, x: Signal) -> nn.Module:
        numbers(x, self.kind)
        return nn.LeakyReLU(self.negative_slope)


@layer("elu", main="alpha")
class ELU(Arguments):
    """x where it is positive, else alpha (eˣ - 1)."""

    alpha: float = Field(default=1.0, gt=0, le=100, description="How far below 0 it goes.")

    def make(self, x: Signal) -> nn.Module:
        numbers(x, self.kind)
        return nn.ELU(self.alpha)


@layer("softmax", main="axis")
class Softmax(Arguments):
    """eˣ over the sum of eˣ along an axis of a row. Losses bring their own."""

    axis: int = Field(default=-1, ge=-1, le=7, description="The axis; -1 is the last.")

    def make(self, x: Signal) -> nn.Module:
        numbers(x, self.kind)
        if self.axis >= x.ndim:
            raise Misfit(f"softmax wants an axis {self.axis}", x, hint="use axis: -1")
        return nn.Softmax(self.axis if self.axis < 0 else self.axis + 1)
