"""Bags of embeddings: rows of a table that belong together made one, by sum, mean or maximum."""

from __future__ import annotations

from typing import Any

from engine import dtypes
from engine.backend.modules import array_module
from engine.dispatch import single
from engine.errors import DtypeError, EngineError, ShapeError
from engine.ir.graph import TensorType
from engine.ops.elementwise import cast, where
from engine.ops.index import check_within, from_start
from engine.ops.movement import expand, reshape
from engine.ops.registry import op
from engine.tensor import Tensor

MODES = ("sum", "mean", "max")


@op("bag_of")
class BagOf:
    """The bag of each of `size` entries, where bag i begins at offsets[i]."""

    def infer(offsets: TensorType, *, size: int) -> TensorType:
        if offsets.ndim != 1 or offsets.dtype.kind not in "iu" or offsets.size == 0:
            raise ShapeError(
                f"embedding_bag: the offsets {offsets} must be integers [bags], at least one"
            )
        return TensorType((size,), dtypes.dtype("int64"))

    def ref(offsets: Any, *, size: int) -> Any:
        xp = array_module(offsets)
        check_within("embedding_bag offsets", offsets, size + 1)
        if isinstance(offsets, xp.ndarray) and xp.__name__ == "numpy":
            _check_order(offsets)
        return xp.searchsorted(offsets, xp.arange(size), side="right") - 1


def _check_order(offsets: Any) -> None:
    if offsets[0] != 0 or (offsets[1:] < offsets[:-1]).any():
        raise EngineError(
            f"embedding_bag: the offsets must begin with 0 and never fall, got {offsets.tolist()}"
        )


def embedding_bag(
    weight: Tensor,
    index: Tensor,
    offsets: Tensor | None = None,
    *,
    mode: str = "sum",
    per_sample_weights: Tensor | None = None,
    padding_idx: int | None = None,
) -> Tensor:
    """Rows of the weight [rows, features] made one for each bag -> [bags, features].

    index: [bags, length], or [entries] with the offsets [bags] at which bags begin. mode: "sum",
    "mean" or "max". per_sample_weights: factors in the shape of the index, for "sum" only. Entries
    that are `padding_idx` count for nothing; a bag of none gives zeros.
    """
    _check(index, offsets, mode, per_sample_weights)
    rows, features = weight.shape
    if offsets is None:
        bags, length = index.shape
    else:
        bags, length = offsets.shape[0], 0
    shape = index.shape
    flat = reshape(from_start(index, rows), (index.size,))
    kept = None
    if padding_idx is not None:
        kept = single("ne", flat, padding_idx % rows)
    found = single("embedding", weight, flat, padding_idx=None)
    if per_sample_weights is not None:
        found = found * reshape(cast(per_sample_weights, weight.dtype), (flat.size, 1))
    if offsets is None:
        lined = reshape(found, (bags, length, features))
        return _of_lines(lined, None if kept is None else reshape(kept, (*shape, 1)), mode)
    bag = single("bag_of", offsets, size=flat.size)
    return _of_bags(found, bag, bags, kept, mode)


def _of_lines(x: Tensor, kept: Tensor | None, mode: str) -> Tensor:
    """[bags, length, features] -> [bags, features]."""
    length = x.shape[1]
    if length == 0:
        return single("sum", x, axes=(1,), keepdims=False)
    if mode == "max":
        if kept is None:
            return single("amax", x, axes=(1,), keepdims=False)
        best = single("amax", where(kept, x, -float("inf")), axes=(1,), keepdims=False)
        some = single("any", kept, axes=(1,), keepdims=False)
        return where(some, best, 0.0)
    if kept is not None:
        x = where(kept, x, 0.0)
    total = single("sum", x, axes=(1,), keepdims=False)
    if mode == "sum":
        return total
    if kept is None:
        return total / length
    count = single("sum", cast(kept, x.dtype), axes=(1,), keepdims=False)
    return total / single("maximum", count, 1)


def _of_bags(x: Tensor, bag: Tensor, bags: int, kept: Tensor | None, mode: str) -> Tensor:
    """[entries, features], each with its bag -> [bags, features]."""
    entries, features = x.shape
    line = None if kept is None else reshape(kept, (entries, 1))
    ones = cast(single("ge", bag, 0) if kept is None else kept, x.dtype)
    if mode == "max":
        start = expand(single("full", shape=(1, 1), value=-float("inf"), dtype=x.dtype.name),
                       (bags, features))  # fmt: skip
        seen = x if line is None else where(line, x, -float("inf"))
        places = expand(reshape(bag, (entries, 1)), (entries, features))
        best = single("scatter_combine", start, places, seen, axis=0, how="amax")
        return where(reshape(_counted(ones, bag, bags), (bags, 1)) > 0, best, 0.0)
    if line is not None:
        x = where(line, x, 0.0)
    total = single("add_rows", x, bag, axis=0, size=bags)
    if mode == "sum":
        return total
    count = single("maximum", _counted(ones, bag, bags), 1)
    return total / reshape(count, (bags, 1))


def _counted(ones: Tensor, bag: Tensor, bags: int) -> Tensor:
    return single("add_rows", ones, bag, axis=0, size=bags)


def _check(
    index: Tensor, offsets: Tensor | None, mode: str, per_sample_weights: Tensor | None
) -> None:
    if mode not in MODES:
        raise EngineError(f"embedding_bag: {mode!r} is not known; say one of {list(MODES)}")
    if index.dtype.kind not in "iu":
        raise DtypeError(f"embedding_bag: the index {index.type} must hold integers")
    wanted = ("[bags, length]", 2) if offsets is None else ("[entries] beside offsets", 1)
    if index.ndim != wanted[1]:
        raise ShapeError(f"embedding_bag: the index {index.type} must be {wanted[0]}")
    if per_sample_weights is None:
        return
    if mode != "sum":
        raise EngineError(f"embedding_bag: per_sample_weights go with mode sum, not {mode}")
    if per_sample_weights.shape != index.shape:
        raise ShapeError(
            f"embedding_bag: per_sample_weights {per_sample_weights.type} must have the shape of "
            f"the index {index.type}"
        )
