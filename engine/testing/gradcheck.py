"""Gradients against central differences in float64, of first and second order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine import dtypes
from engine.autograd import grad
from engine.errors import GradientError
from engine.tape import no_grad, set_recording
from engine.tensor import Tensor

_STEP = 1e-6


def gradcheck(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    *,
    tolerance: float = 1e-6,
    wanted: Sequence[int] | None = None,
) -> None:
    """Raise GradientError where the gradient of `function` is not that of its numbers.

    The outputs are weighed by fixed random numbers w; d Σ w · function(x) / d x is compared with
    (Σ w · function(x + h) - Σ w · function(x - h)) / 2h, element by element, h = 1e-6. An element
    may be off by `tolerance` · (1 + the largest element). Float inputs must be float64; `wanted`
    chooses among them.
    """
    arrays = [np.asarray(x.numpy() if isinstance(x, Tensor) else x) for x in inputs]
    places = _places(arrays) if wanted is None else list(wanted)
    tensors = [Tensor(a.copy()) for a in arrays]
    for place in places:
        tensors[place].requires_grad_()
    outputs = _floats(function(*tensors))
    weights = [_weights(y.shape, seed) for seed, y in enumerate(outputs)]
    live = [(y, w) for y, w in zip(outputs, weights, strict=True) if y.requires_grad]
    if not live:
        raise GradientError("no output of the function depends on the inputs")
    found = grad(
        [y for y, _ in live],
        [tensors[p] for p in places],
        gradient=[Tensor(w) for _, w in live],
    )
    for place, gradient in zip(places, found, strict=True):
        _compare(function, arrays, place, weights, gradient, tolerance)


def gradgradcheck(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    *,
    tolerance: float = 1e-5,
    wanted: Sequence[int] | None = None,
) -> None:
    """`gradcheck` of the gradient: the second order."""
    places = _places([np.asarray(x) for x in inputs]) if wanted is None else list(wanted)

    def first(*tensors: Tensor) -> tuple[Tensor, ...]:
        with set_recording(True):
            held = [_asking(t, i in places) for i, t in enumerate(tensors)]
            outputs = [y for y in _floats(function(*held)) if y.requires_grad]
            weights = [Tensor(_weights(y.shape, seed + 10)) for seed, y in enumerate(outputs)]
            wants = [held[place] for place in places]
            found = grad(outputs, wants, gradient=weights, create_graph=True)
        return tuple(g for g in found if g is not None)

    if any(g.requires_grad for g in first(*map(_tensor, inputs))):  # else it is a constant
        gradcheck(first, inputs, tolerance=tolerance, wanted=places)


def _asking(tensor: Tensor, wanted: bool) -> Tensor:
    """The tensor, or a leaf of the same numbers where it does not ask for a gradient yet."""
    return (
        Tensor(tensor.data, requires_grad=True) if wanted and not tensor.requires_grad else tensor
    )


def _tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else Tensor(np.asarray(x))


def _places(arrays: Sequence[np.ndarray]) -> list[int]:
    return [i for i, a in enumerate(arrays) if dtypes.is_float(a.dtype)]


def _floats(result: Any) -> list[Tensor]:
    listed = list(result) if isinstance(result, tuple | list) else [result]
    return [y for y in listed if dtypes.is_float(y.dtype)]


def _weights(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.5, 1.5, shape)


def _compare(
    function: Callable[..., Any],
    arrays: Sequence[np.ndarray],
    place: int,
    weights: Sequence[np.ndarray],
    gradient: Tensor | None,
    tolerance: float,
) -> None:
    array = arrays[place]

    def value(moved: np.ndarray) -> float:
        tensors = [Tensor(moved if i == place else a) for i, a in enumerate(arrays)]
        with no_grad():
            outputs = _floats(function(*tensors))
        return float(sum((w * y.numpy()).sum() for w, y in zip(weights, outputs, strict=True)))

    expected = np.zeros(array.shape)
    for spot in np.ndindex(*array.shape):
        up, down = array.copy(), array.copy()
        up[spot] += _STEP
        down[spot] -= _STEP
        expected[spot] = (value(up) - value(down)) / (2 * _STEP)
    got = np.zeros(array.shape) if gradient is None else gradient.numpy()
    limit = tolerance * (1 + np.abs(expected).max(initial=0))
    if got.shape != expected.shape or not np.allclose(got, expected, rtol=0, atol=limit):
        raise GradientError(
            f"input {place}: the gradient is\n{got}\nbut differences give\n{expected}"
        )
