"""Operations that draw from Philox: uniform and normal numbers, integers, orders, dropout.

They take (seed, step) as tensors and the number of the draw as an attribute, so drawing the same
thing again gives the same bits; dropout keeps no mask for that reason.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine import dtypes
from engine.backend import philox
from engine.backend.modules import array_module
from engine.dispatch import single
from engine.errors import ShapeError
from engine.ir.graph import TensorType
from engine.ops.axes import sizes_of
from engine.ops.elementwise import cast, where
from engine.ops.movement import reshape
from engine.ops.reduce import sum_
from engine.ops.registry import op
from engine.ops.sorting import argsort, cumsum, topk
from engine.random import draw
from engine.tape import Context
from engine.tensor import Tensor

_COST = 60  # integer operations that one word of Philox takes, roughly


@op("uniform", random=True)
class Uniform:
    """Numbers evenly in [low, high)."""

    def infer(
        seed: TensorType,
        step: TensorType,
        *,
        draw: int,
        shape: tuple[int, ...],
        low: float,
        high: float,
        dtype: str,
    ) -> TensorType:
        return TensorType(shape, dtypes.dtype(dtype))

    def ref(
        seed: Any,
        step: Any,
        *,
        draw: int,
        shape: tuple[int, ...],
        low: float,
        high: float,
        dtype: str,
    ) -> Any:
        count = int(np.prod(shape, dtype=np.int64))
        found = philox.uniforms(seed, step, draw, count, dtype, array_module(seed))
        if (low, high) != (0.0, 1.0):
            found = found * (high - low) + low
        return found.reshape(shape)

    def flops(seed: TensorType, step: TensorType, *, shape: tuple[int, ...], **_: Any) -> int:
        return _COST * int(np.prod(shape, dtype=np.int64))


@op("normal", random=True)
class Normal:
    """Normal numbers of mean 0 and deviation 1."""

    def infer(
        seed: TensorType, step: TensorType, *, draw: int, shape: tuple[int, ...], dtype: str
    ) -> TensorType:
        return TensorType(shape, dtypes.dtype(dtype))

    def ref(seed: Any, step: Any, *, draw: int, shape: tuple[int, ...], dtype: str) -> Any:
        count = int(np.prod(shape, dtype=np.int64))
        return philox.normals(seed, step, draw, count, dtype, array_module(seed)).reshape(shape)

    def flops(seed: TensorType, step: TensorType, *, shape: tuple[int, ...], **_: Any) -> int:
        return 2 * _COST * int(np.prod(shape, dtype=np.int64))


@op("randint", random=True)
class RandInt:
    """Integers evenly in [low, high)."""

    def infer(
        seed: TensorType,
        step: TensorType,
        *,
        draw: int,
        shape: tuple[int, ...],
        low: int,
        high: int,
    ) -> TensorType:
        if high <= low:
            raise ShapeError(f"randint: no integer is in [{low}, {high})")
        return TensorType(shape, dtypes.int64)

    def ref(seed: Any, step: Any, *, draw: int, shape: tuple[int, ...], low: int, high: int) -> Any:
        count = int(np.prod(shape, dtype=np.int64))
        return philox.integers(seed, step, draw, count, low, high, array_module(seed)).reshape(
            shape
        )


@op("random_keys", random=True)
class RandomKeys:
    """64-bit keys; the order that sorts them is a random permutation."""

    def infer(seed: TensorType, step: TensorType, *, draw: int, size: int) -> TensorType:
        return TensorType((size,), dtypes.uint64)

    def ref(seed: Any, step: Any, *, draw: int, size: int) -> Any:
        return philox.words(seed, step, draw, 2 * size, array_module(seed)).view(dtypes.uint64)


@op("dropout", random=True, into=True)
class Dropout:
    """x / (1 - p) where a random word is at least p 2³², else 0. The gradient draws it again."""

    def infer(
        x: TensorType, seed: TensorType, step: TensorType, *, draw: int, p: float
    ) -> TensorType:
        return x

    def ref(x: Any, seed: Any, step: Any, *, draw: int, p: float, out: Any = None) -> Any:
        xp = array_module(x)
        bits = philox.words(seed, step, draw, x.size, xp)
        kept = (bits >= xp.uint32(min(int(p * 2.0**32), 2**32 - 1))).reshape(x.shape)
        result = xp.multiply(x, x.dtype.type(1 / (1 - p)), out=out)
        result[~kept] = 0
        return result

    def vjp(ctx: Context, g: Tensor) -> tuple[Tensor, None, None]:
        return single("dropout", g, ctx.seed, ctx.step, **ctx.attrs), None, None

    def flops(x: TensorType, seed: TensorType, step: TensorType, **_: Any) -> int:
        return _COST * x.size


def uniform(*shape: Any, low: float = 0.0, high: float = 1.0, dtype: Any = "float32") -> Tensor:
    """Numbers evenly in [low, high)."""
    seed, step, number = draw()
    kind = dtypes.dtype(dtype).name
    sizes = sizes_of(shape, "uniform")
    return single("uniform", seed, step, draw=number, shape=sizes, low=low, high=high, dtype=kind)


def rand(*shape: Any, dtype: Any = "float32") -> Tensor:
    """Numbers evenly in [0, 1)."""
    return uniform(*shape, dtype=dtype)


def randn(*shape: Any, dtype: Any = "float32") -> Tensor:
    """Normal numbers of mean 0 and deviation 1."""
    seed, step, number = draw()
    kind = dtypes.dtype(dtype).name
    return single("normal", seed, step, draw=number, shape=sizes_of(shape, "randn"), dtype=kind)


def normal(mean: Any, std: Any, shape: Any = None, dtype: Any = "float32") -> Tensor:
    """Normal numbers of the given mean and deviation (numbers, or tensors that broadcast)."""
    if shape is None:
        shape = np.broadcast_shapes(np.shape(mean), np.shape(std))
    return single("add", randn(*shape, dtype=dtype) * std, mean)


def randint(low: int, high: int, shape: Any) -> Tensor:
    """Integers evenly in [low, high)."""
    seed, step, number = draw()
    sizes = sizes_of((shape,), "randint")
    return single("randint", seed, step, draw=number, shape=sizes, low=low, high=high)


def bernoulli(p: Tensor) -> Tensor:
    """1 with probability p, else 0, for every element of p."""
    return cast(single("lt", rand(*p.shape, dtype=p.dtype), p.detach()), p.dtype)


def randperm(n: int) -> Tensor:
    """0 … n-1 in random order."""
    seed, step, number = draw()
    return argsort(single("random_keys", seed, step, draw=number, size=n))


def multinomial(weights: Tensor, count: int, replacement: bool = False) -> Tensor:
    """`count` places of the last axis, each as likely as its weight: [..., n] -> [..., count]."""
    weights = cast(weights.detach(), "float64")
    lead, n = weights.shape[:-1], weights.shape[-1]
    if not replacement:
        if count > n:
            raise ShapeError(f"multinomial: {count} different places out of {n}")
        waits = single("neg", single("log1p", single("neg", rand(*weights.shape, dtype="float64"))))
        races = where(single("eq", weights, 0), float("inf"), waits / weights)
        return topk(races, count, largest=False)[1]
    running = cumsum(weights, -1)
    running = running / running[..., -1:]
    aims = reshape(rand(*lead, count, dtype="float64"), (*lead, count, 1))
    return sum_(single("ge", aims, reshape(running, (*lead, 1, n))), axis=-1)


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """x with a share p of its elements 0 and the others divided by 1 - p."""
    if not 0 <= p <= 1:
        raise ShapeError(f"dropout: p = {p} is no probability")
    if not training or p == 0:
        return x
    if p == 1:
        return single("mul", x, 0)
    seed, step, number = draw()
    return single("dropout", x, seed, step, draw=number, p=p)
