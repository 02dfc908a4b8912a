"""The methods of a tensor: each is the function of the same name in `engine`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import engine
from engine.operators import call
from engine.ops.axes import Axes, sizes_of

if TYPE_CHECKING:
    from engine.tensor import Tensor


def _many(function: Callable[..., Any], *inputs: Any) -> Any:
    return function(*inputs)


class Methods:
    """What a tensor can be asked by method: `x.sum(1)` is `engine.sum(x, 1)`."""

    __slots__ = ()

    def abs(self) -> Tensor:
        return call(engine.abs, self)

    def neg(self) -> Tensor:
        return call(engine.neg, self)

    def sign(self) -> Tensor:
        return call(engine.sign, self)

    def square(self) -> Tensor:
        return call(engine.square, self)

    def reciprocal(self) -> Tensor:
        return call(engine.reciprocal, self)

    def exp(self) -> Tensor:
        return call(engine.exp, self)

    def expm1(self) -> Tensor:
        return call(engine.expm1, self)

    def log(self) -> Tensor:
        return call(engine.log, self)

    def log1p(self) -> Tensor:
        return call(engine.log1p, self)

    def log2(self) -> Tensor:
        return call(engine.log2, self)

    def sqrt(self) -> Tensor:
        return call(engine.sqrt, self)

    def rsqrt(self) -> Tensor:
        return call(engine.rsqrt, self)

    def erf(self) -> Tensor:
        return call(engine.erf, self)

    def sin(self) -> Tensor:
        return call(engine.sin, self)

    def cos(self) -> Tensor:
        return call(engine.cos, self)

    def tan(self) -> Tensor:
        return call(engine.tan, self)

    def asin(self) -> Tensor:
        return call(engine.asin, self)

    def acos(self) -> Tensor:
        return call(engine.acos, self)

    def atan(self) -> Tensor:
        return call(engine.atan, self)

    def sinh(self) -> Tensor:
        return call(engine.sinh, self)

    def cosh(self) -> Tensor:
        return call(engine.cosh, self)

    def tanh(self) -> Tensor:
        return call(engine.tanh, self)

    def sigmoid(self) -> Tensor:
        return call(engine.sigmoid, self)

    def relu(self) -> Tensor:
        return call(engine.relu, self)

    def floor(self) -> Tensor:
        return call(engine.floor, self)

    def ceil(self) -> Tensor:
        return call(engine.ceil, self)

    def round(self) -> Tensor:
        return call(engine.round, self)

    def trunc(self) -> Tensor:
        return call(engine.trunc, self)

    def isnan(self) -> Tensor:
        return call(engine.isnan, self)

    def isinf(self) -> Tensor:
        return call(engine.isinf, self)

    def isfinite(self) -> Tensor:
        return call(engine.isfinite, self)

    def logical_not(self) -> Tensor:
        return call(engine.logical_not, self)

    def sum(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        return call(engine.sum, self, axis, keepdims)

    def prod(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        return call(engine.prod, self, axis, keepdims)

    def mean(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        return call(engine.mean, self, axis, keepdims)

    def amax(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        return call(engine.amax, self, axis, keepdims)

    def amin(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        return call(engine.amin, self, axis, keepdims)

    def any(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        return call(engine.any, self, axis, keepdims)

    def all(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        return call(engine.all, self, axis, keepdims)

    def logsumexp(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        return call(engine.logsumexp, self, axis, keepdims)

    def count_nonzero(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        return call(engine.count_nonzero, self, axis, keepdims)

    def var(self, axis: Axes = None, keepdims: bool = False, correction: int = 1) -> Tensor:
        return call(engine.var, self, axis, keepdims, correction)

    def std(self, axis: Axes = None, keepdims: bool = False, correction: int = 1) -> Tensor:
        return call(engine.std, self, axis, keepdims, correction)

    def norm(self, p: float = 2.0, axis: Axes = None, keepdims: bool = False) -> Tensor:
        return call(engine.norm, self, p, axis, keepdims)

    def max(self, axis: int | None = None, keepdims: bool = False) -> Any:
        return _many(engine.max, self, axis, keepdims)

    def min(self, axis: int | None = None, keepdims: bool = False) -> Any:
        return _many(engine.min, self, axis, keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        return call(engine.argmax, self, axis, keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        return call(engine.argmin, self, axis, keepdims)

    def softmax(self, axis: int = -1) -> Tensor:
        return call(engine.softmax, self, axis)

    def log_softmax(self, axis: int = -1) -> Tensor:
        return call(engine.log_softmax, self, axis)

    def sort(self, axis: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = _many(engine.sort, self, axis, descending)
        return found

    def argsort(self, axis: int = -1, descending: bool = False) -> Tensor:
        return call(engine.argsort, self, axis, descending)

    def topk(self, k: int, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = _many(engine.topk, self, k, axis, largest)
        return found

    def cumsum(self, axis: int) -> Tensor:
        return call(engine.cumsum, self, axis)

    def clamp(self, min: float | None = None, max: float | None = None) -> Tensor:
        return call(engine.clamp, self, min, max)

    def pow(self, exponent: Any) -> Tensor:
        return call(engine.pow, self, exponent)

    def matmul(self, other: Tensor) -> Tensor:
        return call(engine.matmul, self, other)

    def masked_fill(self, mask: Any, value: float) -> Tensor:
        return call(engine.masked_fill, self, mask, value=value)

    def reshape(self, *shape: Any) -> Tensor:
        return call(engine.reshape, self, sizes_of(shape, "reshape"))

    def view(self, *shape: Any) -> Tensor:
        return call(engine.reshape, self, sizes_of(shape, "view"))

    def expand(self, *shape: Any) -> Tensor:
        return call(engine.expand, self, sizes_of(shape, "expand"))

    def permute(self, *axes: Any) -> Tensor:
        return call(engine.permute, self, sizes_of(axes, "permute"))

    def repeat(self, *counts: Any) -> Tensor:
        return call(engine.repeat, self, *sizes_of(counts, "repeat"))

    def transpose(self, first: int, second: int) -> Tensor:
        return call(engine.transpose, self, first, second)

    def movedim(self, source: int | Sequence[int], target: int | Sequence[int]) -> Tensor:
        return call(engine.movedim, self, source, target)

    def flatten(self, start: int = 0, end: int = -1) -> Tensor:
        return call(engine.flatten, self, start, end)

    def unflatten(self, axis: int, sizes: Sequence[int]) -> Tensor:
        return call(engine.unflatten, self, axis, sizes)

    def squeeze(self, axis: int | Sequence[int] | None = None) -> Tensor:
        return call(engine.squeeze, self, axis)

    def unsqueeze(self, axis: int) -> Tensor:
        return call(engine.unsqueeze, self, axis)

    def flip(self, axis: Axes = None) -> Tensor:
        return call(engine.flip, self, axis)

    def split(self, size: int | Sequence[int], axis: int = 0) -> list[Tensor]:
        found: list[Tensor] = _many(engine.split, self, size, axis)
        return found

    def chunk(self, count: int, axis: int = 0) -> list[Tensor]:
        found: list[Tensor] = _many(engine.chunk, self, count, axis)
        return found

    def unbind(self, axis: int = 0) -> list[Tensor]:
        found: list[Tensor] = _many(engine.unbind, self, axis)
        return found

    def narrow(self, axis: int, start: int, length: int) -> Tensor:
        return call(engine.narrow, self, axis, start, length)

    def gather(self, axis: int, index: Tensor) -> Tensor:
        return call(engine.gather, self, axis, index)

    def index_select(self, axis: int, index: Tensor) -> Tensor:
        return call(engine.index_select, self, axis, index)

    def tril(self, diagonal: int = 0) -> Tensor:
        return call(engine.tril, self, diagonal)

    def triu(self, diagonal: int = 0) -> Tensor:
        return call(engine.triu, self, diagonal)

    @property
    def T(self) -> Tensor:
        return call(engine.transpose, self, -1, -2)
