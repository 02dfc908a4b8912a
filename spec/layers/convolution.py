"""Convolutions over one, two or three axes."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from core.errors import Problem
from engine import nn
from spec.layers.dense import numbers
from spec.layers.kinds import Arguments, Misfit, Signal, layer
from spec.parts import Width

Size = Annotated[int, Field(ge=1, le=1024)]
Room = Annotated[int, Field(ge=0, le=1024)]
Sizes = Size | Annotated[list[Size], Field(min_length=1, max_length=3)]
Rooms = Room | Annotated[list[Room], Field(min_length=1, max_length=3)]

AXES = {
    1: "[channels, length]",
    2: "[channels, height, width]",
    3: "[channels, depth, height, width]",
}


class Window(Arguments):
    """Arguments that may have a number for each axis that the window moves along."""

    axes: ClassVar[int]
    per_axis: ClassVar[tuple[str, ...]] = ("kernel_size", "stride", "padding", "dilation")

    @classmethod
    def conflicts(cls, written: dict[str, Any]) -> list[Problem]:
        lists = {f: written[f] for f in cls.per_axis if isinstance(written.get(f), list)}
        return [_count(name, value, cls) for name, value in lists.items() if len(value) != cls.axes]

    def each(self, value: int | list[int]) -> tuple[int, ...]:
        return (value,) * self.axes if isinstance(value, int) else tuple(value)

    def channels(self, x: Signal) -> int:
        """The number of channels that come in; Misfit where the input has other axes."""
        numbers(x, self.kind)
        if x.ndim != self.axes + 1:
            raise Misfit(f"{self.kind} wants {AXES[self.axes]}", x, hint=self._remedy(x))
        return x.shape[0]

    def _remedy(self, x: Signal) -> str:
        if x.ndim == self.axes:
            return f"put `reshape: {[1, *x.shape]}` before it"
        if x.ndim - 1 in AXES:
            return f"use a layer over {x.ndim - 1} axes"
        return "put `reshape` before it" if x.ndim < self.axes else "remove it"

    def fits(self, x: Signal, kernel: tuple[int, ...], padding: tuple[int, ...]) -> None:
        """Misfit where the window is larger than the input with its padding."""
        room = [size + 2 * pad for size, pad in zip(x.shape[1:], padding, strict=True)]
        if any(window > size for window, size in zip(kernel, room, strict=True)):
            wanted = f"the window {list(kernel)} of {self.kind} is larger"
            hint = "use a smaller kernel_size, more padding, or fewer pooling layers before it"
            raise Misfit(wanted, x, hint=hint)


def _count(name: str, value: list[Any], owner: type[Window]) -> Problem:
    expected = f"one number, or {owner.axes}"
    return Problem(
        pointer=f"/{name}",
        code="wrong_length",
        detail=f"{name} of {owner.kind} needs {expected}, not {len(value)}",
        expected=expected,
        got=f"{len(value)} numbers",
    )


class Convolution(Window):
    """A window of weights moves over the input; every output channel has weights of its own."""

    out_channels: Width = Field(description="Number of output channels.", examples=[16])
    kernel_size: Sizes = Field(
        default=3, description="Size of the window; one number, or one an axis.", examples=[3]
    )
    stride: Sizes = Field(default=1, description="How far the window moves at a time.")
    padding: Literal["same", "valid"] | Rooms = Field(
        default=0,
        description="Zeros put around the input. same: as many as keep its size (stride 1); "
        "valid: none.",
        examples=["same", 1],
    )
    dilation: Sizes = Field(default=1, description="Distance between the points of the window.")
    groups: Width = Field(
        default=1, description="Groups of channels that see only each other.", examples=[1]
    )
    bias: bool = Field(default=True, description="Whether a bias is learned for each channel.")

    def make(self, x: Signal) -> nn.Module:
        channels = self.channels(x)
        if channels % self.groups or self.out_channels % self.groups:
            wanted = f"groups: {self.groups} must divide {channels} channels in and "
            raise Misfit(f"{wanted}{self.out_channels} out", x, hint="use groups: 1")
        kernel, dilation = self.each(self.kernel_size), self.each(self.dilation)
        spread = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
        padding = self._padding(x, spread)
        self.fits(x, spread, padding)
        made: nn.Module = self.module()(
            channels,
            self.out_channels,
            kernel,
            stride=self.each(self.stride),
            padding=padding,
            dilation=dilation,
            groups=self.groups,
            bias=self.bias,
        )
        return made

    def _padding(self, x: Signal, spread: tuple[int, ...]) -> tuple[int, ...]:
        if self.padding == "valid":
            return (0,) * self.axes
        if self.padding != "same":
            return self.each(self.padding)
        if any(step != 1 for step in self.each(self.stride)):
            raise Misfit("padding: same needs stride: 1", x, hint="give the padding as a number")
        if any(window % 2 == 0 for window in spread):
            hint = "use an odd kernel_size, or give the padding as a number"
            raise Misfit("padding: same needs an odd window", x, hint=hint)
        return tuple(window // 2 for window in spread)

    def module(self) -> Any:
        return {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[self.axes]


@layer("conv1d", main="out_channels")
class Conv1d(Convolution):
    """Convolution over [channels, length]."""

    axes = 1


@layer("conv2d", main="out_channels")
class Conv2d(Convolution):
    """Convolution over images: [channels, height, width]."""

    axes = 2


@layer("conv3d", main="out_channels")
class Conv3d(Convolution):
    """Convolution over volumes: [channels, depth, height, width]."""

    axes = 3


@layer("conv_transpose2d", main="out_channels")
class ConvTranspose2d(Window):
    """The way back from a convolution: makes images larger."""

    axes = 2
    per_axis = ("kernel_size", "stride", "padding", "output_padding")

    out_channels: Width = Field(description="Number of output channels.", examples=[16])
    kernel_size: Sizes = Field(default=2, description="Size of the window.", examples=[2])
    stride: Sizes = Field(default=2, description="How many times larger the image becomes.")
    padding: Rooms = Field(default=0, description="Cut from every side of the output.")
    output_padding: Rooms = Field(default=0, description="Added to one side of the output.")
    bias: bool = Field(default=True, description="Whether a bias is learned for each channel.")

    def make(self, x: Signal) -> nn.Module:
        return nn.ConvTranspose2d(
            self.channels(x),
            self.out_channels,
            self.each(self.kernel_size),
            stride=self.each(self.stride),
            padding=self.each(self.padding),
            output_padding=self.each(self.output_padding),
            bias=self.bias,
        )
