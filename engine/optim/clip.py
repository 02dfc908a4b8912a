"""Clipping of gradients: pure functions of tensors, eager or traced."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import GradientError
from engine.ops.elementwise import cast, clamp, maximum, sqrt, square
from engine.ops.reduce import sum_
from engine.tensor import Tensor


def global_norm(gradients: Sequence[Tensor]) -> Tensor:
    """sqrt(sum of the squares of all gradients): one number, a tensor without axes."""
    if not gradients:
        raise GradientError("a norm needs at least one gradient")
    total = sum_(square(gradients[0]))
    for gradient in gradients[1:]:
        total = total + sum_(square(gradient))
    norm: Tensor = sqrt(total)
    return norm


def clip_by_norm(gradients: Sequence[Tensor], max_norm: float) -> tuple[list[Tensor], Tensor]:
    """(gradients, their norm before): all scaled by max_norm / norm where the norm is above it.

    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent networks" (2013). A norm
    that is not a number makes every gradient so; look at the norm.
    """
    _above_zero("max_norm", max_norm)
    norm = global_norm(gradients)
    scale = max_norm / maximum(norm, max_norm)
    return [gradient * cast(scale, gradient.dtype) for gradient in gradients], norm


def clip_by_value(gradients: Sequence[Tensor], limit: float) -> list[Tensor]:
    """Every element held between -limit and limit."""
    _above_zero("limit", limit)
    return [clamp(gradient, -limit, limit) for gradient in gradients]


def _above_zero(name: str, value: float) -> None:
    if not 0.0 < value < float("inf"):
        raise ValueError(f"{name} must be a finite number above 0, got {value}")
