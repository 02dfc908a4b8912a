"""Tensors out of nothing: constants, ranges, the identity, triangles."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np

from engine import dtypes
from engine.backend.modules import array_module
from engine.device import cuda
from engine.dispatch import single
from engine.errors import ShapeError
from engine.ir.graph import TensorType
from engine.ops.axes import sizes_of
from engine.ops.elementwise import where
from engine.ops.movement import expand, reshape
from engine.ops.registry import op
from engine.ops.transfer import to_device
from engine.tensor import Tensor


@op("full")
class Full:
    """One number, everywhere."""

    def infer(*, shape: tuple[int, ...], value: float, dtype: str) -> TensorType:
        return TensorType(shape, dtypes.dtype(dtype))

    def ref(*, shape: tuple[int, ...], value: float, dtype: str) -> Any:
        return np.full(shape, value, dtype)

    def flops(**attrs: Any) -> int:
        return 0


@op("arange")
class Arange:
    """start + step i for i < size."""

    def infer(*, start: float, step: float, size: int, dtype: str) -> TensorType:
        return TensorType((size,), dtypes.dtype(dtype))

    def ref(*, start: float, step: float, size: int, dtype: str) -> Any:
        places = np.arange(size)
        return (start + step * places).astype(dtype)


def tensor(
    value: Any, dtype: Any = None, *, requires_grad: bool = False, device: str | None = None
) -> Tensor:
    """A tensor of numbers, lists or arrays (copied). Python floats become float32."""
    if isinstance(value, Tensor):
        value = value.numpy()
    given = hasattr(value, "dtype")
    array = value.copy() if given else np.array(value)
    if dtype is None and not given and array.dtype == np.float64:
        array = array.astype(dtypes.float32)
    kind = dtypes.dtype(array.dtype if dtype is None else dtype)
    array = np.asarray(array) if isinstance(array, np.generic) else array
    made = Tensor(array.astype(kind, copy=False))
    if requires_grad:
        made.requires_grad_()
    return made if device is None else to_device(made, device)


def from_dlpack(array: Any) -> Tensor:
    """A tensor that shares the memory of another library's array."""
    if hasattr(array, "__dlpack_device__") and array.__dlpack_device__()[0] == 2:
        return Tensor(cuda().from_dlpack(array))
    return Tensor(np.from_dlpack(array))


def full(*shape: Any, value: float, dtype: Any = None) -> Tensor:
    """A tensor with `value` everywhere."""
    kind = dtypes.of_scalar(value, ()) if dtype is None else dtypes.dtype(dtype)
    return single("full", shape=sizes_of(shape, "full"), value=value, dtype=kind.name)


def zeros(*shape: Any, dtype: Any = "float32") -> Tensor:
    """A tensor of zeros."""
    return full(*shape, value=0, dtype=dtype)


def ones(*shape: Any, dtype: Any = "float32") -> Tensor:
    """A tensor of ones."""
    return full(*shape, value=1, dtype=dtype)


def full_like(x: Tensor, value: float, dtype: Any = None) -> Tensor:
    """`value` in the shape and dtype of x, and on its device."""
    kind = x.dtype if dtype is None else dtypes.dtype(dtype)
    if not x.is_symbolic and array_module(x.data) is not np:
        return Tensor(array_module(x.data).full(x.shape, value, kind))
    return single("full", shape=x.shape, value=value, dtype=kind.name)


def zeros_like(x: Tensor, dtype: Any = None) -> Tensor:
    """Zeros in the shape and dtype of x."""
    return full_like(x, 0, dtype)


def ones_like(x: Tensor, dtype: Any = None) -> Tensor:
    """Ones in the shape and dtype of x."""
    return full_like(x, 1, dtype)


def arange(start: float, end: float | None = None, step: float = 1, dtype: Any = None) -> Tensor:
    """start, start + step, … below end; from 0 where only the end is given."""
    if end is None:
        start, end = 0, start
    if step == 0:
        raise ShapeError("arange: a step of 0 never arrives")
    numbers = (start, end, step)
    kind = dtypes.int64 if all(isinstance(n, int) for n in numbers) else dtypes.float32
    kind = kind if dtype is None else dtypes.dtype(dtype)
    size = max(0, ceil((end - start) / step))
    return single("arange", start=start, step=step, size=size, dtype=kind.name)


def linspace(start: float, end: float, steps: int, dtype: Any = "float32") -> Tensor:
    """`steps` numbers evenly from start to end, both included."""
    return tensor(np.linspace(start, end, steps), dtype)


def eye(rows: int, columns: int | None = None, dtype: Any = "float32") -> Tensor:
    """Ones on the diagonal, zeros beside it."""
    width = rows if columns is None else columns
    return single("cast", _band(rows, width, "eq", 0), dtype=dtypes.dtype(dtype).name)


def tril(x: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle of the last two axes; zeros above."""
    return where(_beside(x, "ge", diagonal), x, 0)


def triu(x: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle of the last two axes; zeros below."""
    return where(_beside(x, "le", diagonal), x, 0)


def _beside(x: Tensor, relation: str, diagonal: int) -> Tensor:
    """A band for the last two axes of x, where x is."""
    if x.ndim < 2:
        raise ShapeError(f"tril and triu: {x.type} has no rows and columns")
    band = _band(x.shape[-2], x.shape[-1], relation, diagonal)
    return band if x.is_symbolic else to_device(band, x.device)


def _band(rows: int, columns: int, relation: str, diagonal: int) -> Tensor:
    """Whether row + diagonal stands in the relation to column."""
    row, column = reshape(arange(rows), (rows, 1)), arange(columns)
    return single(relation, row + diagonal, column)


def broadcast_tensors(*tensors: Tensor) -> list[Tensor]:
    """The tensors expanded to one shape."""
    shape: Sequence[int] = np.broadcast_shapes(*(t.shape for t in tensors))
    return [expand(t, shape) for t in tensors]
