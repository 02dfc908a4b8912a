"""Pooling: many neighbours become one number."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from engine import nn
from spec.layers.convolution import Rooms, Sizes, Window
from spec.layers.dense import numbers
from spec.layers.kinds import Arguments, Misfit, Signal, layer


class Pooling(Window):
    """A window moves over the input and leaves one number where it stops."""

    per_axis = ("kernel_size", "stride", "padding")

    kernel_size: Sizes = Field(default=2, description="Size of the window.", examples=[2])
    stride: Sizes | None = Field(
        default=None, description="How far the window moves; its own size where left out."
    )
    padding: Rooms = Field(default=0, description="Put around the input.")

    def make(self, x: Signal) -> nn.Module:
        self.channels(x)
        kernel, padding = self.each(self.kernel_size), self.each(self.padding)
        if any(2 * pad > window for pad, window in zip(padding, kernel, strict=True)):
            raise Misfit("padding may be at most half of kernel_size", x)
        self.fits(x, kernel, padding)
        stride = kernel if self.stride is None else self.each(self.stride)
        made: nn.Module = self.module()(kernel, stride=stride, padding=padding)
        return made

    def module(self) -> Any:
        raise NotImplementedError


class MaxPooling(Pooling):
    """The largest number in the window."""

    def module(self) -> Any:
        return {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}[self.axes]


class AveragePooling(Pooling):
    """The mean of the window."""

    def module(self) -> Any:
        return {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}[self.axes]


@layer("max_pool1d", main="kernel_size")
class MaxPool1d(MaxPooling):
    """The largest number in each window over [channels, length]."""

    axes = 1


@layer("max_pool2d", main="kernel_size")
class MaxPool2d(MaxPooling):
    """The largest number in each window over [channels, height, width]."""

    axes = 2


@layer("max_pool3d", main="kernel_size")
class MaxPool3d(MaxPooling):
    """The largest number in each window over [channels, depth, height, width]."""

    axes = 3


@layer("avg_pool1d", main="kernel_size")
class AvgPool1d(AveragePooling):
    """The mean of each window over [channels, length]."""

    axes = 1


@layer("avg_pool2d", main="kernel_size")
class AvgPool2d(AveragePooling):
    """The mean of each window over [channels, height, width]."""

    axes = 2


@layer("avg_pool3d", main="kernel_size")
class AvgPool3d(AveragePooling):
    """The mean of each window over [channels, depth, height, width]."""

    axes = 3


@layer("adaptive_avg_pool2d", main="output_size")
class AdaptiveAvgPool2d(Window):
    """Means over as many windows as give an output of `output_size`, whatever comes in."""

    axes = 2
    per_axis = ("output_size",)

    output_size: Sizes = Field(default=1, description="Height and width of the output.")

    def make(self, x: Signal) -> nn.Module:
        self.channels(x)
        return nn.AdaptiveAvgPool2d(self.each(self.output_size))


@layer("global_avg_pool")
class GlobalAvgPool(Arguments):
    """The mean of each channel over all other axes: an image becomes a flat vector."""

    def make(self, x: Signal) -> nn.Module:
        numbers(x, self.kind)
        if x.ndim < 2:
            raise Misfit("global_avg_pool wants channels and more axes", x, hint="remove it")
        return nn.GlobalAvgPool()
