"""Indexing: slices, integer and boolean keys, gathers, scatters, one-hot, embedding."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from engine import dtypes
from engine.backend.modules import array_module
from engine.dispatch import single
from engine.errors import AxisError, DtypeError, ShapeError
from engine.ir.graph import TensorType
from engine.ops.axes import axis_of
from engine.ops.creation import zeros_like
from engine.ops.movement import reshape
from engine.ops.registry import op
from engine.ops.segments import sum_rows
from engine.tape import Context
from engine.tensor import Tensor


def _integers(name: str, index: TensorType) -> None:
    if index.dtype.kind not in "iu":
        raise DtypeError(f"{name}: the index {index} must hold integers")


def check_within(name: str, index: Any, length: int) -> None:
    """Refuse places outside the axis; GPU arrays are not read back for it."""
    if isinstance(index, np.ndarray) and index.size:
        low, high = int(index.min()), int(index.max())
        if low < 0 or high >= length:
            wrong = low if low < 0 else high
            raise AxisError(f"{name}: index {wrong} is out of range for an axis of {length}")


@op("take", into=True)
class Take:
    """x[..., index, ...] along one axis; the index may have any shape, from 0 up."""

    def infer(x: TensorType, index: TensorType, *, axis: int) -> TensorType:
        _integers("take", index)
        return TensorType((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]), x.dtype)

    def ref(x: Any, index: Any, *, axis: int, out: Any = None) -> Any:
        return _taken(x, index, axis, out)

    def vjp(ctx: Context, g: Tensor) -> tuple[Tensor, None]:
        size = ctx.x.shape[ctx.axis]
        return single("add_rows", g, ctx.index, axis=ctx.axis, size=size), None


def _taken(x: Any, index: Any, axis: int, out: Any) -> Any:
    check_within("indexing", index, x.shape[axis])
    if isinstance(x, np.ndarray):
        return x.take(index, axis=axis, out=out, mode="clip")
    return x.take(index, axis=axis, out=out)


@op("add_rows", into=True)
class AddRows:
    """Zeros with x added along an axis at the places of the index; equals add up in order."""

    def infer(x: TensorType, index: TensorType, *, axis: int, size: int) -> TensorType:
        _integers("add_rows", index)
        if x.shape[axis : axis + index.ndim] != index.shape:
            raise ShapeError(f"add_rows: {x} has not the index {index} at axis {axis}")
        return TensorType((*x.shape[:axis], size, *x.shape[axis + index.ndim :]), x.dtype)

    def ref(x: Any, index: Any, *, axis: int, size: int, out: Any = None) -> Any:
        check_within("add_rows", index, size)
        before, after = x.shape[:axis], x.shape[axis + index.ndim :]
        rows = x.reshape(prod(before), index.size, prod(after)).transpose(1, 0, 2)
        summed = sum_rows(rows.reshape(index.size, -1), index.reshape(-1), size)
        result = summed.reshape(size, prod(before), prod(after)).transpose(1, 0, 2)
        result = result.reshape(*before, size, *after)
        if out is None:
            return array_module(x).ascontiguousarray(result)
        out[...] = result
        return out

    def vjp(ctx: Context, g: Tensor) -> tuple[Tensor, None]:
        return single("take", g, ctx.index, axis=ctx.axis), None


@op("gather")
class Gather:
    """y[i][j] = x[index[i][j]][j] along one axis."""

    def infer(x: TensorType, index: TensorType, *, axis: int) -> TensorType:
        _integers("gather", index)
        _fits("gather", index, x, axis)
        return TensorType(index.shape, x.dtype)

    def ref(x: Any, index: Any, *, axis: int) -> Any:
        check_within("gather", index, x.shape[axis])
        return array_module(x).take_along_axis(_cropped(x, index, axis), index, axis)

    def vjp(ctx: Context, g: Tensor) -> tuple[Tensor, None]:
        shape = ctx.x.shape
        return single("add_along", g, ctx.index, axis=ctx.axis, shape=shape), None


def _fits(name: str, index: TensorType, x: TensorType, axis: int) -> None:
    pairs = enumerate(zip(index.shape, x.shape, strict=False))
    if index.ndim != x.ndim or any(n > m for i, (n, m) in pairs if i != axis):
        raise ShapeError(f"{name}: the index {index} does not fit into {x} beside axis {axis}")


def _cropped(x: Any, index: Any, axis: int) -> Any:
    """The part of x that an index smaller than it reads."""
    return x[tuple(slice(None if i == axis else n) for i, n in enumerate(index.shape))]


@op("add_along")
class AddAlong:
    """Zeros of a shape with x added at index along one axis; equal places add up in order."""

    def infer(x: TensorType, index: TensorType, *, axis: int, shape: tuple[int, ...]) -> TensorType:
        _integers("add_along", index)
        target = TensorType(shape, x.dtype)
        _fits("scatter_add", index, target, axis)
        if index.shape != x.shape:
            raise ShapeError(f"scatter_add: {x} and its index {index} differ in shape")
        return target

    def ref(x: Any, index: Any, *, axis: int, shape: tuple[int, ...]) -> Any:
        check_within("scatter_add", index, shape[axis])
        flat = flat_places(index, axis, shape)
        return sum_rows(x.reshape(-1, 1), flat, prod(shape)).reshape(shape)

    def vjp(ctx: Context, g: Tensor) -> tuple[Tensor, None]:
        return single("gather", g, ctx.index, axis=ctx.axis), None


def flat_places(index: Any, axis: int, shape: tuple[int, ...]) -> Any:
    """Where index points to along an axis, counted in a flat array of `shape`."""
    xp = array_module(index)
    flat = xp.zeros(index.shape, xp.int64)
    for i in range(len(shape)):
        stride = prod(shape[i + 1 :])
        line = [1] * len(shape)
        line[i] = -1
        places = index if i == axis else xp.arange(index.shape[i]).reshape(line)
        flat += places * stride
    return flat.reshape(-1)


@op("scatter")
class Scatter:
    """x with source put at index along one axis; of equal places the last one stays."""

    def infer(x: TensorType, index: TensorType, source: TensorType, *, axis: int) -> TensorType:
        _integers("scatter", index)
        _fits("scatter", index, x, axis)
        if source.shape != index.shape:
            raise ShapeError(f"scatter: the source {source} and the index {index} differ in shape")
        return x

    def ref(x: Any, index: Any, source: Any, *, axis: int) -> Any:
        check_within("scatter", index, x.shape[axis])
        flat = x.copy().reshape(-1)
        flat[flat_places(index, axis, x.shape)] = source.reshape(-1)
        return flat.reshape(x.shape)

    def vjp(ctx: Context, g: Tensor) -> tuple[Tensor, None, Tensor]:
        kept = single("scatter", g, ctx.index, zeros_like(ctx.source), axis=ctx.axis)
        return kept, None, single("gather", g, ctx.index, axis=ctx.axis)


@op("one_hot")
class OneHot:
    """1 at the place that the index names along a new last axis, 0 elsewhere."""

    def infer(index: TensorType, *, classes: int, dtype: str) -> TensorType:
        _integers("one_hot", index)
        return TensorType((*index.shape, classes), dtypes.dtype(dtype))

    def ref(index: Any, *, classes: int, dtype: str) -> Any:
        check_within("one_hot", index, classes)
        return (index[..., None] == array_module(index).arange(classes)).astype(dtype)


@op("embedding", into=True)
class Embedding:
    """Rows of a table; the row `padding_idx` gets no gradient."""

    def infer(weight: TensorType, index: TensorType, *, padding_idx: int | None) -> TensorType:
        _integers("embedding", index)
        if weight.ndim != 2:
            raise ShapeError(f"embedding: the weight {weight} must be [rows, features]")
        return TensorType((*index.shape, weight.shape[1]), weight.dtype)

    def ref(weight: Any, index: Any, *, padding_idx: int | None, out: Any = None) -> Any:
        return _taken(weight, index, 0, out)

    def vjp(ctx: Context, g: Tensor) -> tuple[Tensor, None]:
        if ctx.padding_idx is not None:
            padding = reshape(single("eq", ctx.index, ctx.padding_idx), (*ctx.index.shape, 1))
            g = single("masked_fill", g, padding, value=0.0)
        return single("add_rows", g, ctx.index, axis=0, size=ctx.weight.shape[0]), None


def from_start(index: Any, length: int) -> Any:
    """Places counted from the start; those of a tensor are mended where they are negative."""
    if isinstance(index, Tensor) and index.is_symbolic:
        return (
            single("where", index < 0, index + length, index) if index.dtype.kind == "i" else index
        )
    array = index.data if isinstance(index, Tensor) else np.asarray(index)
    if array.dtype.kind not in "iu":
        raise DtypeError(f"an index of integers was expected, not {array.dtype.name}")
    if array.dtype.kind == "i" and isinstance(array, np.ndarray) and array.size and array.min() < 0:
        array = np.where(array < 0, array + length, array)
    return Tensor(array)


def index_select(x: Tensor, axis: int, index: Any) -> Tensor:
    """The slices of x along an axis that the index names; negative places count from the end."""
    place = axis_of(axis, x.ndim, "index_select")
    return single("take", x, from_start(index, x.shape[place]), axis=place)


def gather(x: Tensor, axis: int, index: Any) -> Tensor:
    """y[i, j] = x[index[i, j], j] for axis 0, and so on."""
    place = axis_of(axis, x.ndim, "gather")
    return single("gather", x, from_start(index, x.shape[place]), axis=place)


def take_along_dim(x: Tensor, index: Any, axis: int) -> Tensor:
    """`gather`, NumPy's order of arguments."""
    return gather(x, axis, index)


def scatter(x: Tensor, axis: int, index: Any, source: Any) -> Tensor:
    """x with source (a tensor or a number) put where the index points; the last of equals stays."""
    place = axis_of(axis, x.ndim, "scatter")
    where = from_start(index, x.shape[place])
    if not isinstance(source, Tensor):
        source = Tensor(np.broadcast_to(np.asarray(source, x.dtype), where.shape))
    return single("scatter", x, where, source, axis=place)


def scatter_add(x: Tensor, axis: int, index: Any, source: Tensor) -> Tensor:
    """x with source added where the index points."""
    place = axis_of(axis, x.ndim, "scatter_add")
    where = from_start(index, x.shape[place])
    return x + single("add_along", source, where, axis=place, shape=x.shape)


def index_add(x: Tensor, axis: int, index: Any, source: Tensor) -> Tensor:
    """x with the slices of source added at the places of the index."""
    place = axis_of(axis, x.ndim, "index_add")
    where = from_start(index, x.shape[place])
    return x + single("add_rows", source, where, axis=place, size=x.shape[place])


def one_hot(index: Any, classes: int, dtype: Any = "int64") -> Tensor:
    """Ones where the index points, along a new last axis of `classes`."""
    return single("one_hot", index, classes=classes, dtype=dtypes.dtype(dtype).name)


def embedding(weight: Tensor, index: Any, padding_idx: int | None = None) -> Tensor:
    """Rows of the weight [rows, features] -> [*index, features]."""
    if padding_idx is not None and padding_idx < 0:
        padding_idx += weight.shape[0]
    return single("embedding", weight, index, padding_idx=padding_idx)
