"""Pooling over one, two and three axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from engine.nn.module import Module
from engine.nn.sizes import Size, told, tuple_of
from engine.ops.pool import (
    adaptive_avg_pool,
    adaptive_max_pool,
    avg_pool,
    global_avg_pool,
    global_max_pool,
    max_pool,
)
from engine.tensor import Tensor


class _Pool(Module):
    axes: ClassVar[int]

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size = tuple_of("kernel_size", kernel_size, self.axes)
        self.stride = tuple_of("stride", kernel_size if stride is None else stride, self.axes)
        self.padding = tuple_of("padding", padding, self.axes, least=0)
        self.dilation = tuple_of("dilation", dilation, self.axes)
        self.ceil_mode = ceil_mode
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(
                f"padding {told(self.padding)} must be at most half of the kernel size "
                f"{told(self.kernel_size)}"
            )

    def check(self, x: Tensor) -> None:
        """Refuse an input that has too few axes or is smaller than the window."""
        if x.ndim != self.axes + 2:
            self.refuse(_wanted(self.axes), x)
        reach = [(k - 1) * d + 1 for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        padded = [n + 2 * p for n, p in zip(x.shape[2:], self.padding, strict=True)]
        if any(r > n for r, n in zip(reach, padded, strict=True)):
            self.refuse(f"a padded size of at least {reach}, the reach of the window", x)

    def describe(self) -> str:
        words = [f"kernel_size={told(self.kernel_size)}"]
        words += [f"stride={told(self.stride)}"] * (self.stride != self.kernel_size)
        words += [f"padding={told(self.padding)}"] * any(self.padding)
        words += [f"dilation={told(self.dilation)}"] * (set(self.dilation) != {1})
        words += ["ceil_mode=True"] * self.ceil_mode
        return ", ".join(words)


class _MaxPool(_Pool):
    """The largest element of every window: [N, C, *size] -> [N, C, *positions], where
    positions = (size + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1.

    The stride is the kernel size unless given; ceil_mode rounds positions up.
    """

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        return max_pool(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
        )


class MaxPool1d(_MaxPool):
    axes = 1
    __doc__ = _MaxPool.__doc__


class MaxPool2d(_MaxPool):
    axes = 2
    __doc__ = _MaxPool.__doc__


class MaxPool3d(_MaxPool):
    axes = 3
    __doc__ = _MaxPool.__doc__


class _AvgPool(_Pool):
    """The mean of every window: [N, C, *size] -> [N, C, *positions], where
    positions = (size + 2 * padding - kernel_size) // stride + 1.

    The stride is the kernel size unless given; ceil_mode rounds positions up. Padding counts as
    zeros unless count_include_pad is off.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, 1, ceil_mode)
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        return avg_pool(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def describe(self) -> str:
        words = super().describe()
        return words if self.count_include_pad else f"{words}, count_include_pad=False"


class AvgPool1d(_AvgPool):
    axes = 1
    __doc__ = _AvgPool.__doc__


class AvgPool2d(_AvgPool):
    axes = 2
    __doc__ = _AvgPool.__doc__


class AvgPool3d(_AvgPool):
    axes = 3
    __doc__ = _AvgPool.__doc__


class _Adaptive(Module):
    """As many even bins as output_size says: [N, C, *size] -> [N, C, *output_size].

    output_size: a number for all axes, or one for each; None keeps the size of an axis.
    """

    axes: ClassVar[int]

    def __init__(self, output_size: int | Sequence[int | None] | None) -> None:
        if output_size is None or isinstance(output_size, int):
            output_size = (output_size,) * self.axes
        self.output_size = tuple(output_size)
        tuple_of("output_size", [1 if n is None else n for n in self.output_size], self.axes)

    def check(self, x: Tensor) -> None:
        if x.ndim != self.axes + 2 or 0 in x.shape[2:]:
            self.refuse(_wanted(self.axes), x)

    def describe(self) -> str:
        return f"output_size={self.output_size}"


class _AdaptiveAvgPool(_Adaptive):
    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        return adaptive_avg_pool(x, self.output_size)


class _AdaptiveMaxPool(_Adaptive):
    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        return adaptive_max_pool(x, self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    axes = 1
    __doc__ = _Adaptive.__doc__


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    axes = 2
    __doc__ = _Adaptive.__doc__


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    axes = 3
    __doc__ = _Adaptive.__doc__


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    axes = 1
    __doc__ = _Adaptive.__doc__


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    axes = 2
    __doc__ = _Adaptive.__doc__


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    axes = 3
    __doc__ = _Adaptive.__doc__


class _Global(Module):
    def check(self, x: Tensor) -> None:
        if x.ndim < 3 or 0 in x.shape[2:]:
            self.refuse("[N, C, ...] with at least one position", x)


class GlobalAvgPool(_Global):
    """The mean over all positions: [N, C, ...] -> [N, C]."""

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        return global_avg_pool(x)


class GlobalMaxPool(_Global):
    """The largest element of all positions: [N, C, ...] -> [N, C]."""

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        return global_max_pool(x)


def _wanted(axes: int) -> str:
    return f"[N, C, {', '.join('DHW'[-axes:] if axes > 1 else 'L')}]"
