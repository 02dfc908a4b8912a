"""Layers that change the size of space."""

from __future__ import annotations

from collections.abc import Sequence

from engine.nn.module import Module
from engine.nn.sizes import positive
from engine.ops.movement import permute, reshape
from engine.ops.resize import interpolate
from engine.tensor import Tensor

#: Axes of space that a mode is for; None for any.
MODES = {"nearest": None, "area": None, "linear": 1, "bilinear": 2, "trilinear": 3}


class Interpolate(Module):
    """Space stretched or shrunk to a size, or by a factor: [N, C, *size] -> [N, C, *new size].

    mode: "nearest" takes the element at floor(i * old / new), "area" the mean of the elements
        below; "linear", "bilinear" and "trilinear" go straight between neighbours along each axis.
    align_corners: whether the first and last elements (or, by default, the outer edges) stay in
        place. A factor only sets the size, floor(factor * old).
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool = False,
    ) -> None:
        if (size is None) == (scale_factor is None):
            raise ValueError("give either size or scale_factor")
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        if align_corners and MODES[mode] is None:
            raise ValueError(f"align_corners has no meaning for mode {mode!r}")
        self.size = size
        self.scale_factor = scale_factor
        self.mode = mode
        self.align_corners = align_corners

    def forward(self, x: Tensor) -> Tensor:
        axes = MODES[self.mode] or max(1, x.ndim - 2)
        given = self.scale_factor if self.size is None else self.size
        if x.ndim != axes + 2 or 0 in x.shape[2:]:
            self.refuse(f"[N, C, ...] with {axes} axes of space", x)
        if isinstance(given, Sequence) and len(given) != axes:
            self.refuse(f"{len(given)} axes of space for {given}", x)
        return interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)

    def describe(self) -> str:
        what = f"size={self.size}" if self.size is not None else f"scale_factor={self.scale_factor}"
        return f"{what}, mode={self.mode!r}" + ", align_corners=True" * self.align_corners


class PixelShuffle(Module):
    """[N, C * r^2, H, W] -> [N, C, H * r, W * r]: channels become space. Shi et al. (2016)."""

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = positive("upscale_factor", upscale_factor)

    def forward(self, x: Tensor) -> Tensor:
        r = self.upscale_factor
        if x.ndim != 4 or x.shape[1] % (r * r):
            self.refuse(f"[N, C, H, W] with C a multiple of {r * r}", x)
        n, c, h, w = x.shape
        parted = reshape(x, (n, c // (r * r), r, r, h, w))
        return reshape(permute(parted, (0, 1, 4, 2, 5, 3)), (n, c // (r * r), h * r, w * r))

    def describe(self) -> str:
        return f"upscale_factor={self.upscale_factor}"
