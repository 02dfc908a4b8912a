"""Layers that only change the shape."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from engine.nn.module import Module
from engine.ops.movement import flatten, unflatten
from engine.tensor import Tensor


class Identity(Module):
    """y = x."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Flatten(Module):
    """Axes start_dim to end_dim become one: [N, C, H, W] -> [N, C * H * W]."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: Tensor) -> Tensor:
        n = x.ndim
        if not -n <= self.start_dim < n or not -n <= self.end_dim < n:
            self.refuse(f"axes {self.start_dim} to {self.end_dim}", x)
        if self.start_dim % n > self.end_dim % n:
            self.refuse(f"axis {self.start_dim} at or before axis {self.end_dim}", x)
        return flatten(x, self.start_dim, self.end_dim)

    def describe(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Axis `dim` becomes axes of the given sizes: Unflatten(1, (2, 3)): [N, 6] -> [N, 2, 3]."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        sizes = self.unflattened_size
        if not -x.ndim <= self.dim < x.ndim:
            self.refuse(f"an axis {self.dim}", x)
        if -1 not in sizes and x.shape[self.dim] != prod(sizes):
            self.refuse(f"{prod(sizes)} elements in axis {self.dim} for {list(sizes)}", x)
        return unflatten(x, self.dim, sizes)

    def describe(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
