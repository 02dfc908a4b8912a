"""How parameters begin: rules that fill a shape from a keyed stream of random numbers.

A rule takes (shape, draws) and returns float64 numbers. Weights are laid out (out, in, *window),
so fan_in = in * window and fan_out = out * window, as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt
from typing import Literal

import numpy as np

from engine.errors import ShapeError
from engine.keyed import Draws

Rule = Callable[[tuple[int, ...], Draws], np.ndarray]
Mode = Literal["fan_in", "fan_out"]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight laid out (out, in, *window)."""
    if len(shape) < 2:
        raise ShapeError(f"fans need a weight of two axes or more, got shape {list(shape)}")
    window = prod(shape[2:])
    return shape[1] * window, shape[0] * window


def gain(nonlinearity: str, slope: float = 0.0) -> float:
    """The factor that keeps the variance through an activation (He et al. 2015, PyTorch's table).

    `slope` is the negative slope of leaky_relu.
    """
    if nonlinearity == "leaky_relu":
        return sqrt(2.0 / (1.0 + slope**2))
    known = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": sqrt(2.0), "selu": 0.75}
    if nonlinearity not in known:
        expected = ", ".join([*known, "leaky_relu"])
        raise ValueError(f"no gain is known for {nonlinearity!r}; expected one of {expected}")
    return known[nonlinearity]


def constant(value: float) -> Rule:
    return lambda shape, _: np.full(shape, value, np.float64)


zeros: Rule = constant(0.0)
ones: Rule = constant(1.0)


def uniform(low: float = 0.0, high: float = 1.0) -> Rule:
    """U[low, high)."""
    return lambda shape, draws: low + (high - low) * draws.uniform(shape)


def normal(mean: float = 0.0, std: float = 1.0) -> Rule:
    """N(mean, std^2)."""
    return lambda shape, draws: mean + std * draws.normal(shape)


def trunc_normal(mean: float = 0.0, std: float = 1.0, low: float = -2.0, high: float = 2.0) -> Rule:
    """N(mean, std^2) cut to [low, high] (values, not multiples of std), redrawn where outside."""
    if not low < high or low > mean + 6 * std or high < mean - 6 * std:
        raise ValueError(f"[{low}, {high}] leaves next to nothing of N({mean}, {std}^2)")

    def rule(shape: tuple[int, ...], draws: Draws) -> np.ndarray:
        values = mean + std * draws.normal(shape)
        while (outside := (values < low) | (values > high)).any():
            values[outside] = mean + std * draws.normal((int(outside.sum()),))
        return values

    return rule


def kaiming_uniform(
    slope: float = 0.0, mode: Mode = "fan_in", nonlinearity: str = "leaky_relu"
) -> Rule:
    """U(-b, b), b = gain * sqrt(3 / fan). He et al., "Delving deep into rectifiers" (2015)."""

    def rule(shape: tuple[int, ...], draws: Draws) -> np.ndarray:
        bound = sqrt(3.0) * _kaiming_std(shape, slope, mode, nonlinearity)
        return uniform(-bound, bound)(shape, draws)

    return rule


def kaiming_normal(
    slope: float = 0.0, mode: Mode = "fan_in", nonlinearity: str = "leaky_relu"
) -> Rule:
    """N(0, gain^2 / fan). He et al., "Delving deep into rectifiers" (2015)."""
    return lambda shape, draws: _kaiming_std(shape, slope, mode, nonlinearity) * draws.normal(shape)


def _kaiming_std(shape: tuple[int, ...], slope: float, mode: Mode, nonlinearity: str) -> float:
    fan_in, fan_out = fans(shape)
    return gain(nonlinearity, slope) / sqrt(max(1, fan_in if mode == "fan_in" else fan_out))


def xavier_uniform(gain: float = 1.0) -> Rule:
    """U(-b, b), b = gain * sqrt(6 / (fan_in + fan_out)). Glorot and Bengio (2010)."""

    def rule(shape: tuple[int, ...], draws: Draws) -> np.ndarray:
        bound = gain * sqrt(6.0 / max(1, sum(fans(shape))))
        return uniform(-bound, bound)(shape, draws)

    return rule


def xavier_normal(gain: float = 1.0) -> Rule:
    """N(0, gain^2 * 2 / (fan_in + fan_out)). Glorot and Bengio (2010)."""
    return lambda shape, draws: gain * sqrt(2.0 / max(1, sum(fans(shape)))) * draws.normal(shape)


def torch_default(fan_in: int) -> Rule:
    """U(-b, b), b = 1 / sqrt(fan_in): PyTorch's weights and biases of Linear and Conv.

    It is kaiming_uniform(sqrt(5)), the rule of LeCun et al., "Efficient backprop" (1998).
    """
    bound = 1.0 / sqrt(fan_in) if fan_in > 0 else 0.0
    return uniform(-bound, bound)
