"""Layers that only change the shape, and those that put several inputs together."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Annotated

from pydantic import Field

from engine import nn
from spec.layers.dense import numbers
from spec.layers.kinds import Arguments, Misfit, Shape, Signal, layer
from spec.layers.modules import Reshape

Axis = Annotated[int, Field(ge=0, le=7)]
Extents = Annotated[list[Annotated[int, Field(ge=1, le=2**31)]], Field(min_length=1, max_length=6)]


@layer("flatten")
class Flatten(Arguments):
    """All axes of a row become one: an image becomes a vector."""

    def make(self, x: Signal) -> nn.Module:
        return Reshape((x.size,))


@layer("reshape", main="shape")
class ReshapeArguments(Arguments):
    """The same numbers of a row in another shape."""

    shape: Extents = Field(description="The new shape of a row.", examples=[[1, 8, 8]])

    def make(self, x: Signal) -> nn.Module:
        if prod(self.shape) != x.size:
            wanted = f"reshape to {self.shape} needs {prod(self.shape)} numbers, not {x.size}"
            raise Misfit(wanted, x, hint=f"use a shape whose product is {x.size}")
        return Reshape(tuple(self.shape))

    def outcome(self) -> Shape:
        return tuple(self.shape)


class Merge(Arguments):
    """Takes several inputs; only in a graph."""

    merges = True


@layer("concat")
class ConcatArguments(Merge):
    """The inputs one after the other along an axis."""

    axis: Axis = Field(default=0, description="The axis of a row; 0 is its first, the channels.")

    def join(self, inputs: Sequence[Signal]) -> nn.Module:
        for x in inputs:
            numbers(x, self.kind)
        first = inputs[0]
        rests = {(*x.shape[: self.axis], *x.shape[self.axis + 1 :]) for x in inputs}
        if self.axis >= first.ndim or len({x.ndim for x in inputs}) > 1 or len(rests) > 1:
            wanted = f"concat along axis {self.axis} wants shapes that differ only there"
            raise Misfit(wanted, _all(inputs), hint="flatten the inputs first")
        return nn.Concat(self.axis + 1)


class SameShape(Merge):
    def alike(self, inputs: Sequence[Signal]) -> None:
        for x in inputs:
            numbers(x, self.kind)
        if len({x.shape for x in inputs}) > 1:
            hint = "bring them to one shape first, for instance with linear"
            raise Misfit(f"{self.kind} wants inputs of one shape", _all(inputs), hint=hint)


@layer("add")
class AddArguments(SameShape):
    """The sum of the inputs, number by number."""

    def join(self, inputs: Sequence[Signal]) -> nn.Module:
        self.alike(inputs)
        return nn.Add()


@layer("multiply")
class MultiplyArguments(SameShape):
    """The product of the inputs, number by number."""

    def join(self, inputs: Sequence[Signal]) -> nn.Module:
        self.alike(inputs)
        return nn.Multiply()


def _all(inputs: Sequence[Signal]) -> str:
    return ", ".join(map(str, inputs))
