"""Operations that fusing makes of several: they stand in plans, never in the table.

    fused           pointwise operations of one shape, as expressions with several results
    fused_reduce    a reduction of expressions that are never stored
    fused_rows      expressions that are never stored, their rows added up by place (add_rows)
    fused_product   a matrix product, followed by expressions of it; sparse: of the left and of the
                    right matrix, whether many numbers are likely to be 0; gathers: of the inputs
                    behind the matrices those that are tables, with the places of their rows

Their attributes say all: `roots` are the expressions, `kind` the dtype that numbers have in them.
Truth values among the inputs are conditions.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from engine import dtypes
from engine.ir.graph import TensorType
from engine.ops.pointwise import broadcast
from engine.ops.registry import OPS, OpDef
from engine.ops.scalar import Expr, operations
from engine.ops.vectors import VectorCode

Roots = tuple[Expr, ...]
Sparse = tuple[bool, bool]
Gathers = tuple[tuple[int, int], ...]
DENSE = (False, False)


@lru_cache(1024)
def _code(roots: Roots) -> VectorCode:
    return VectorCode(roots)


def _types(roots: Roots, kind: str, shape: tuple[int, ...]) -> Any:
    found = tuple(
        TensorType(shape, dtypes.bool_ if root.is_predicate else np.dtype(kind)) for root in roots
    )
    return found if len(found) > 1 else found[0]


def _infer(*types: TensorType, roots: Roots, kind: str) -> Any:
    return _types(roots, kind, broadcast(*(t.shape for t in types)))


def _ref(*arrays: Any, roots: Roots, kind: str, out: Any = None) -> Any:
    found = _code(roots)(arrays, np.dtype(kind), out)
    return found if len(found) > 1 else found[0]


def _bind(arrays: Any, outs: Any, scratch: Any, *, roots: Roots, kind: str) -> Any:
    return _code(roots).bind(arrays, np.dtype(kind), tuple(outs), scratch)


def _flops(*types: TensorType, roots: Roots, kind: str) -> int:
    return operations(roots) * prod(broadcast(*(t.shape for t in types)))


FUSED = OpDef(
    "fused",
    _infer,
    _ref,
    None,
    _flops,
    (),
    True,
    into=True,
    exprs=lambda roots, kind: roots,
    bind=_bind,
)


def _infer_reduce(
    *types: TensorType, roots: Roots, kind: str, how: str, axes: tuple[int, ...], keepdims: bool
) -> TensorType:
    shape = broadcast(*(t.shape for t in types))
    inner = _types(roots, kind, shape)
    result: TensorType = OPS[how].infer(inner, axes=axes, keepdims=keepdims)
    return result


def _ref_reduce(
    *arrays: Any,
    roots: Roots,
    kind: str,
    how: str,
    axes: tuple[int, ...],
    keepdims: bool,
    out: Any = None,
) -> Any:
    inner = _ref(*arrays, roots=roots, kind=kind)
    return OPS[how].ref(inner, axes=axes, keepdims=keepdims, out=out)


def _flops_reduce(*types: TensorType, roots: Roots, kind: str, **_: Any) -> int:
    return (operations(roots) + 1) * prod(broadcast(*(t.shape for t in types)))


FUSED_REDUCE = OpDef(
    "fused_reduce", _infer_reduce, _ref_reduce, None, _flops_reduce, (), True, into=True
)


def _infer_rows(*types: TensorType, roots: Roots, kind: str, size: int) -> TensorType:
    shape = broadcast(*(t.shape for t in types[:-1]))
    inner = _types(roots, kind, shape)
    result: TensorType = OPS["add_rows"].infer(inner, types[-1], axis=0, size=size)
    return result


def _ref_rows(*arrays: Any, roots: Roots, kind: str, size: int, out: Any = None) -> Any:
    inner = _ref(*arrays[:-1], roots=roots, kind=kind)
    return OPS["add_rows"].ref(inner, arrays[-1], axis=0, size=size, out=out)


def _flops_rows(*types: TensorType, roots: Roots, kind: str, size: int) -> int:
    return _flops_reduce(*types[:-1], roots=roots, kind=kind)


FUSED_ROWS = OpDef("fused_rows", _infer_rows, _ref_rows, None, _flops_rows, (), True, into=True)


def _infer_product(
    *types: TensorType,
    roots: Roots,
    kind: str,
    base: str,
    sparse: Sparse = DENSE,
    gathers: Gathers = (),
) -> Any:
    product = OPS[base].infer(*types[:2])
    return _types(roots, kind, product.shape)


def _ref_product(
    *arrays: Any,
    roots: Roots,
    kind: str,
    base: str,
    sparse: Sparse = DENSE,
    gathers: Gathers = (),
    out: Any = None,
) -> Any:
    product = OPS[base].ref(*arrays[:2])
    further = list(arrays[2:])
    for table, places in gathers:
        further[table] = OPS["embedding"].ref(further[table], arrays[2 + places], padding_idx=None)
    return _ref(product, *further, roots=roots, kind=kind, out=out)


def _flops_product(
    *types: TensorType,
    roots: Roots,
    kind: str,
    base: str,
    sparse: Sparse = DENSE,
    gathers: Gathers = (),
) -> int:
    product = OPS[base].infer(*types[:2])
    return int(OPS[base].flops(*types[:2])) + operations(roots) * int(product.size)


FUSED_PRODUCT = OpDef(
    "fused_product", _infer_product, _ref_product, None, _flops_product, (), True, into=True
)
