"""Blocks of other layers, and the joints of graphs."""

from __future__ import annotations

from engine.nn.activation import ReLU, Sigmoid
from engine.nn.linear import Linear
from engine.nn.module import Module
from engine.nn.sizes import positive
from engine.ops.movement import cat, reshape
from engine.ops.reduce import mean
from engine.tensor import Tensor


class Residual(Module):
    """y = block(x) + shortcut(x), the shortcut x itself unless given. He et al. (2016)."""

    def __init__(self, block: Module, shortcut: Module | None = None) -> None:
        self.block = block
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        past: Tensor = x if self.shortcut is None else self.shortcut(x)
        if y.shape != past.shape:
            hint = "" if self.shortcut else "; give a shortcut that changes the shape"
            self.refuse(f"a block that gives the shape of its shortcut, {past.type}{hint}", y)
        return y + past


class SqueezeExcite(Module):
    """x * sigmoid(up(relu(down(mean of x over space)))), channel by channel. Hu et al. (2018).

    x: [N, channels, ...]; squeezed to `squeeze_channels`, a sixteenth of the channels by default.
    """

    def __init__(
        self,
        channels: int,
        squeeze_channels: int | None = None,
        *,
        activation: Module | None = None,
        gate: Module | None = None,
        dtype: object = "float32",
    ) -> None:
        self.channels = positive("channels", channels)
        narrow = max(1, channels // 16) if squeeze_channels is None else squeeze_channels
        self.down = Linear(channels, positive("squeeze_channels", narrow), dtype=dtype)
        self.activation = activation or ReLU()
        self.up = Linear(narrow, channels, dtype=dtype)
        self.gate = gate or Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 3 or x.shape[1] != self.channels:
            self.refuse(f"[N, {self.channels}, ...]", x)
        squeezed = mean(x, tuple(range(2, x.ndim)))
        weight = self.gate(self.up(self.activation(self.down(squeezed))))
        return x * reshape(weight, (*weight.shape, *(1,) * (x.ndim - 2)))


class Concat(Module):
    """Tensors one behind the other along axis `dim`; all other axes must be equal."""

    def __init__(self, dim: int = 1) -> None:
        self.dim = dim

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        for tensor in (first, *others):
            if not -tensor.ndim <= self.dim < tensor.ndim:
                self.refuse(f"an axis {self.dim}", tensor)
            if _without(tensor.shape, self.dim) != _without(first.shape, self.dim):
                self.refuse(f"{first.type} but for axis {self.dim}", tensor)
        return cat((first, *others), self.dim)

    def describe(self) -> str:
        return f"dim={self.dim}"


class Add(Module):
    """The sum of tensors of one shape."""

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        total = first
        for tensor in others:
            if tensor.shape != first.shape:
                self.refuse(f"{first.type} like the first input", tensor)
            total = total + tensor
        return total


class Multiply(Module):
    """The product of tensors of one shape, element by element."""

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        product = first
        for tensor in others:
            if tensor.shape != first.shape:
                self.refuse(f"{first.type} like the first input", tensor)
            product = product * tensor
        return product


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return tuple(n for number, n in enumerate(shape) if number != axis % len(shape))
