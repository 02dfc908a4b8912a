"""Order: sorting, the largest few, running sums."""

from __future__ import annotations

from typing import Any

from engine import dtypes
from engine.backend.modules import array_module
from engine.dispatch import single
from engine.errors import ShapeError
from engine.ir.graph import TensorType
from engine.ops.axes import axis_of
from engine.ops.movement import reshape
from engine.ops.reduce import amax, amin
from engine.ops.registry import op
from engine.ops.slicing import narrow
from engine.tape import Context
from engine.tensor import Tensor


@op("argsort")
class ArgSort:
    """The places that put an axis in order; equals keep their order. NaN counts as largest."""

    def infer(x: TensorType, *, axis: int, descending: bool) -> TensorType:
        return TensorType(x.shape, dtypes.int64)

    def ref(x: Any, *, axis: int, descending: bool) -> Any:
        xp = array_module(x)
        if not descending:
            return _stable(xp, x, axis)
        back = xp.flip(_stable(xp, xp.flip(x, axis), axis), axis)
        return x.shape[axis] - 1 - back

    def flops(x: TensorType, *, axis: int, descending: bool) -> int:
        return x.size * max(1, x.shape[axis].bit_length())


def _stable(xp: Any, x: Any, axis: int) -> Any:
    return xp.argsort(x, axis=axis, kind="stable")


def _arg(name: str) -> Any:
    @op(name)
    class Arg:
        """The place of the first largest (smallest) element."""

        def infer(x: TensorType, *, axis: int, keepdims: bool) -> TensorType:
            if x.shape[axis] == 0:
                raise ShapeError(f"{name}: {x} has no elements along axis {axis}")
            kept = (1,) if keepdims else ()
            return TensorType((*x.shape[:axis], *kept, *x.shape[axis + 1 :]), dtypes.int64)

        def ref(x: Any, *, axis: int, keepdims: bool) -> Any:
            found = getattr(array_module(x), name)(x, axis=axis, keepdims=keepdims)
            return found.astype(dtypes.int64, copy=False)

        def flops(x: TensorType, *, axis: int, keepdims: bool) -> int:
            return x.size

    return Arg


for _name in ("argmax", "argmin"):
    _arg(_name)


@op("cumsum", into=True)
class CumSum:
    """Running sums along an axis, from the end with `reverse`."""

    def infer(x: TensorType, *, axis: int, reverse: bool) -> TensorType:
        return x if dtypes.is_float(x.dtype) else TensorType(x.shape, dtypes.int64)

    def ref(x: Any, *, axis: int, reverse: bool, out: Any = None) -> Any:
        xp = array_module(x)
        kind = x.dtype if dtypes.is_float(x.dtype) else dtypes.int64
        if not reverse:
            return xp.cumsum(x, axis=axis, dtype=kind, out=out)
        back = xp.flip(xp.cumsum(xp.flip(x, axis), axis=axis, dtype=kind), axis)
        if out is None:
            return back
        out[...] = back
        return out

    def vjp(ctx: Context, g: Tensor) -> Tensor | None:
        if not dtypes.is_float(ctx.x.dtype):
            return None
        return single("cumsum", g, axis=ctx.axis, reverse=not ctx.reverse)


def argsort(x: Tensor, axis: int = -1, descending: bool = False) -> Tensor:
    """The places that put the axis in order; equals keep their order."""
    return single("argsort", x, axis=axis_of(axis, x.ndim, "argsort"), descending=descending)


def sort(x: Tensor, axis: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
    """The elements along an axis in order, and the places they came from."""
    places = argsort(x, axis, descending)
    return single("gather", x, places, axis=axis_of(axis, x.ndim, "sort")), places


def topk(x: Tensor, k: int, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """The k largest (or smallest) elements along an axis, best first, and their places."""
    place = axis_of(axis, x.ndim, "topk")
    if not 0 <= k <= x.shape[place]:
        raise ShapeError(f"topk: k = {k} of an axis of {x.shape[place]}")
    places = narrow(argsort(x, place, descending=largest), place, 0, k)
    return single("gather", x, places, axis=place), places


def _best(name: str, x: Tensor, axis: int | None, keepdims: bool) -> Tensor:
    if axis is None:
        found = single(name, reshape(x, (x.size,)), axis=0, keepdims=False)
        return reshape(found, (1,) * x.ndim) if keepdims else found
    return single(name, x, axis=axis_of(axis, x.ndim, name), keepdims=keepdims)


def argmax(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The place of the largest element; of equals the first."""
    return _best("argmax", x, axis, keepdims)


def argmin(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The place of the smallest element; of equals the first."""
    return _best("argmin", x, axis, keepdims)


def _with_place(name: str, x: Tensor, axis: int, keepdims: bool) -> tuple[Tensor, Tensor]:
    place = axis_of(axis, x.ndim, name)
    index = single(f"arg{name}", x, axis=place, keepdims=True)
    value = single("gather", x, index, axis=place)
    if keepdims:
        return value, index
    shape = x.shape[:place] + x.shape[place + 1 :]
    return reshape(value, shape), reshape(index, shape)


def max_(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Any:
    """The largest element of all, or (values, places) along an axis."""
    return amax(x, None, keepdims) if axis is None else _with_place("max", x, axis, keepdims)


def min_(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Any:
    """The smallest element of all, or (values, places) along an axis."""
    return amin(x, None, keepdims) if axis is None else _with_place("min", x, axis, keepdims)


def cumsum(x: Tensor, axis: int) -> Tensor:
    """Running sums along the axis."""
    return single("cumsum", x, axis=axis_of(axis, x.ndim, "cumsum"), reverse=False)
