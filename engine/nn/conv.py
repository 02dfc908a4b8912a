"""Convolutions over one, two and three axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

from engine.nn import init
from engine.nn.module import Module
from engine.nn.parameter import Parameter
from engine.nn.sizes import Size, positive, told, tuple_of
from engine.ops.arrange import pad
from engine.ops.conv import conv, conv_transpose
from engine.tensor import Tensor

MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """y[n, o, p] = bias[o] + sum over c, t of weight[o, c, t] * x[n, c, p * stride + t * dilation].

    x: [N, in_channels, *size] -> [N, out_channels, *positions], where
    positions = (size + padding - dilation * (kernel_size - 1) - 1) // stride + 1.

    padding: a number, one for each axis, "valid" (none) or "same" (the size stays; stride 1).
    groups: input and output channels are cut into this many groups, each convolved by itself;
        groups = in_channels is a depthwise convolution.
    Weight and bias begin as in PyTorch: U(-k, k), k = 1 / sqrt(fan_in).
    """

    axes: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        weight_init: init.Rule | None = None,
        bias_init: init.Rule | None = None,
        dtype: object = "float32",
    ) -> None:
        self.in_channels = positive("in_channels", in_channels)
        self.out_channels = positive("out_channels", out_channels)
        self.kernel_size = tuple_of("kernel_size", kernel_size, self.axes)
        self.stride = tuple_of("stride", stride, self.axes)
        self.dilation = tuple_of("dilation", dilation, self.axes)
        self.groups = _shared("groups", groups, in_channels, out_channels)
        self.padding = _padding(padding, self)
        self.padding_mode = padding_mode
        if padding_mode not in MODES:
            raise ValueError(f"padding_mode must be one of {', '.join(MODES)}: {padding_mode!r}")
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        rule = init.torch_default(prod(shape[1:]))
        self.weight = Parameter(shape, weight_init or rule, dtype=dtype)
        self.bias = Parameter((out_channels,), bias_init or rule, dtype=dtype) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != self.axes + 2 or x.shape[1] != self.in_channels:
            self.refuse(_wanted(self.in_channels, self.axes), x)
        reach = [(k - 1) * d + 1 for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        padded = [n + a + b for n, (a, b) in zip(x.shape[2:], self.padding, strict=True)]
        if any(r > n for r, n in zip(reach, padded, strict=True)):
            self.refuse(f"a padded size of at least {reach}, the reach of the kernel", x)
        pads = self.padding
        if self.padding_mode != "zeros":
            x = self._padded(x)
            pads = ((0, 0),) * self.axes
        return conv(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=pads,
            dilation=self.dilation,
            groups=self.groups,
        )

    def _padded(self, x: Tensor) -> Tensor:
        low_high = [n for before, after in reversed(self.padding) for n in (before, after)]
        return pad(x, low_high, mode=self.padding_mode)

    def describe(self) -> str:
        words = [f"{self.in_channels}, {self.out_channels}, kernel_size={told(self.kernel_size)}"]
        words += [
            f"{name}={told(value)}"
            for name, value, usual in (("stride", self.stride, 1), ("dilation", self.dilation, 1))
            if set(value) != {usual}
        ]
        if any(before or after for before, after in self.padding):
            same = all(before == after for before, after in self.padding)
            shown = tuple(before for before, _ in self.padding)
            words.append(f"padding={told(shown) if same else self.padding}")
        words += [f"groups={self.groups}"] * (self.groups > 1)
        words += ["bias=False"] * (self.bias is None)
        words += [f"padding_mode={self.padding_mode!r}"] * (self.padding_mode != "zeros")
        return ", ".join(words)


class Conv1d(_Conv):
    axes = 1
    __doc__ = _Conv.__doc__


class Conv2d(_Conv):
    axes = 2
    __doc__ = _Conv.__doc__


class Conv3d(_Conv):
    axes = 3
    __doc__ = _Conv.__doc__


class _ConvTranspose(Module):
    """The gradient of a convolution for its input: it widens what a convolution narrows.

    x: [N, in_channels, *size] -> [N, out_channels, *result], where
    result = (size - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + output_padding + 1.

    output_padding: positions more at the end, fewer than the stride or the dilation.
    Weight [in_channels, out_channels / groups, *kernel_size] and bias begin as in PyTorch.
    """

    axes: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        *,
        weight_init: init.Rule | None = None,
        bias_init: init.Rule | None = None,
        dtype: object = "float32",
    ) -> None:
        self.in_channels = positive("in_channels", in_channels)
        self.out_channels = positive("out_channels", out_channels)
        self.kernel_size = tuple_of("kernel_size", kernel_size, self.axes)
        self.stride = tuple_of("stride", stride, self.axes)
        self.padding = tuple_of("padding", padding, self.axes, least=0)
        self.output_padding = tuple_of("output_padding", output_padding, self.axes, least=0)
        self.dilation = tuple_of("dilation", dilation, self.axes)
        self.groups = _shared("groups", groups, in_channels, out_channels)
        limits = zip(self.output_padding, self.stride, self.dilation, strict=True)
        if any(extra >= max(step, spread) for extra, step, spread in limits):
            raise ValueError(
                f"output_padding {told(self.output_padding)} must be below the stride "
                f"{told(self.stride)} or the dilation {told(self.dilation)}"
            )
        shape = (in_channels, out_channels // groups, *self.kernel_size)
        rule = init.torch_default(prod(shape[1:]))
        self.weight = Parameter(shape, weight_init or rule, dtype=dtype)
        self.bias = Parameter((out_channels,), bias_init or rule, dtype=dtype) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != self.axes + 2 or x.shape[1] != self.in_channels:
            self.refuse(_wanted(self.in_channels, self.axes), x)
        if any(n < 1 for n in self._result(x.shape[2:])):
            self.refuse(f"a size that {told(self.padding)} of padding leaves something of", x)
        return conv_transpose(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation=self.dilation,
            groups=self.groups,
        )

    def _result(self, size: Sequence[int]) -> list[int]:
        parts = (size, self.stride, self.padding, self.dilation, self.kernel_size)
        return [
            (n - 1) * s - 2 * p + d * (k - 1) + e + 1
            for n, s, p, d, k, e in zip(*parts, self.output_padding, strict=True)
        ]

    def describe(self) -> str:
        words = [f"{self.in_channels}, {self.out_channels}, kernel_size={told(self.kernel_size)}"]
        options = ("stride", 1), ("padding", 0), ("output_padding", 0), ("dilation", 1)
        for name, usual in options:
            value: Any = getattr(self, name)
            words += [f"{name}={told(value)}"] * (set(value) != {usual})
        words += [f"groups={self.groups}"] * (self.groups > 1)
        words += ["bias=False"] * (self.bias is None)
        return ", ".join(words)


class ConvTranspose1d(_ConvTranspose):
    axes = 1
    __doc__ = _ConvTranspose.__doc__


class ConvTranspose2d(_ConvTranspose):
    axes = 2
    __doc__ = _ConvTranspose.__doc__


class ConvTranspose3d(_ConvTranspose):
    axes = 3
    __doc__ = _ConvTranspose.__doc__


def _wanted(channels: int, axes: int) -> str:
    return f"[N, {channels}, {', '.join('DHW'[-axes:] if axes > 1 else 'L')}]"


def _shared(name: str, groups: int, *channels: int) -> int:
    positive(name, groups)
    for count in channels:
        if count % groups:
            raise ValueError(f"{count} channels cannot be shared out to {groups} {name}")
    return groups


def _padding(padding: Size | str, layer: _Conv) -> tuple[tuple[int, int], ...]:
    """(before, after) for each axis."""
    if not isinstance(padding, str):
        numbers = tuple_of("padding", padding, layer.axes, least=0)
        return tuple((n, n) for n in numbers)
    if padding == "valid":
        return ((0, 0),) * layer.axes
    if padding != "same":
        raise ValueError(f"padding must be numbers, 'same' or 'valid', got {padding!r}")
    if set(layer.stride) != {1}:
        raise ValueError(f"padding 'same' needs stride 1, got {told(layer.stride)}")
    reach = [(k - 1) * d for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]
    return tuple((r // 2, r - r // 2) for r in reach)
