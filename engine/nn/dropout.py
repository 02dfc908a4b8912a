"""Dropout: noise while training, nothing otherwise."""

from __future__ import annotations

from typing import ClassVar

from engine.nn.module import Module
from engine.ops.creation import ones
from engine.ops.random import dropout
from engine.tensor import Tensor


class _Dropout(Module):
    def __init__(self, p: float = 0.5) -> None:
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"p must be a probability from 0 to 1, got {p}")
        self.p = p

    def describe(self) -> str:
        return f"p={self.p}"


class Dropout(_Dropout):
    """In training each element is 0 with probability p, else x / (1 - p). Srivastava et al. (2014).

    It draws from `engine.random.stream`; a compiled step opens one by itself.
    """

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training)


class _ChannelDropout(_Dropout):
    """In training each channel of each example is 0 with probability p, else x / (1 - p).

    x: [N, C, *size]. Tompson et al. (2015).
    """

    axes: ClassVar[int]

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != self.axes + 2:
            self.refuse(f"an input of {self.axes + 2} axes, [N, C, ...]", x)
        if not self.training or self.p == 0.0:
            return x
        whole = ones(*x.shape[:2], *(1,) * self.axes, dtype=x.dtype)
        return x * dropout(whole, self.p)


class Dropout1d(_ChannelDropout):
    axes = 1
    __doc__ = _ChannelDropout.__doc__


class Dropout2d(_ChannelDropout):
    axes = 2
    __doc__ = _ChannelDropout.__doc__


class Dropout3d(_ChannelDropout):
    axes = 3
    __doc__ = _ChannelDropout.__doc__
