"""Matrix products; einsum and tensordot are made of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from engine import dtypes
from engine.backend.modules import array_module
from engine.dispatch import single
from engine.errors import ShapeError
from engine.ir.graph import TensorType
from engine.ops.axes import axis_of
from engine.ops.movement import permute, reshape, sum_to, transpose, unsqueeze
from engine.ops.pointwise import broadcast
from engine.ops.registry import op
from engine.ops.slicing import place
from engine.tape import Context
from engine.tensor import Tensor


@op("matmul", promotes=True, into=True)
class Matmul:
    """[..., m, k] @ [..., k, n] -> [..., m, n]; the leading axes broadcast."""

    def infer(a: TensorType, b: TensorType) -> TensorType:
        if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
            raise ShapeError(
                f"matmul: {a} @ {b}: the last axis of the first ({a.shape[-1:]}) and the second "
                f"to last of the second ({b.shape[-2:-1]}) must be equal"
            )
        try:
            batch = broadcast(a.shape[:-2], b.shape[:-2])
        except ValueError:
            raise ShapeError(f"matmul: the leading axes of {a} and {b} do not broadcast") from None
        return TensorType((*batch, a.shape[-2], b.shape[-1]), a.dtype)

    def ref(a: Any, b: Any, *, out: Any = None) -> Any:
        if a.dtype != dtypes.float16:
            return array_module(a).matmul(a, b, out=out)
        product = array_module(a).matmul(a.astype(dtypes.float32), b.astype(dtypes.float32))
        return place(product.astype(a.dtype), out)

    def vjp(ctx: Context, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        left = right = None
        if ctx.needs[0]:
            left = sum_to(single("matmul", g, transpose(ctx.b, -1, -2)), ctx.a.shape)
        if ctx.needs[1]:
            right = sum_to(single("matmul", transpose(ctx.a, -1, -2), g), ctx.b.shape)
        return left, right

    def flops(a: TensorType, b: TensorType) -> int:
        batch = prod(broadcast(a.shape[:-2], b.shape[:-2]))
        return 2 * batch * a.shape[-2] * a.shape[-1] * b.shape[-1]


@op("linear", promotes=True, into=True)
class Linear:
    """x Wᵀ + b over the last axis of x; W is [out, in]."""

    def infer(x: TensorType, weight: TensorType, bias: TensorType | None = None) -> TensorType:
        if weight.ndim != 2 or x.ndim < 1:
            raise ShapeError(
                f"linear: the weight {weight} must be [out, in], the input {x} [.., in]"
            )
        rows, columns = weight.shape
        if x.shape[-1] != columns:
            raise ShapeError(
                f"linear: input has {x.shape[-1]} features in its last axis, "
                f"the weight wants {columns}"
            )
        if bias is not None and bias.shape != (rows,):
            raise ShapeError(f"linear: the bias {bias} must have the weight's {rows} outputs")
        return TensorType((*x.shape[:-1], rows), x.dtype)

    def ref(x: Any, weight: Any, bias: Any = None, *, out: Any = None) -> Any:
        xp = array_module(x)
        if out is None:
            out = xp.empty((*x.shape[:-1], weight.shape[0]), x.dtype)
        flat = out.reshape(-1, weight.shape[0])
        rows = x.reshape(-1, x.shape[-1])
        if x.dtype == dtypes.float16:
            flat[...] = rows.astype(dtypes.float32) @ weight.T.astype(dtypes.float32)
        else:
            xp.matmul(rows, weight.T, out=flat)
        if bias is not None:
            flat += bias
        return out

    def vjp(ctx: Context, g: Tensor) -> tuple[Tensor | None, ...]:
        rows, columns = ctx.weight.shape
        flat = reshape(g, (-1, rows)) if g.type.size else reshape(g, (0, rows))
        x = bias = weight = None
        if ctx.needs[0]:
            x = reshape(single("matmul", flat, ctx.weight), ctx.x.shape)
        if ctx.needs[1]:
            inputs = reshape(ctx.x, (flat.shape[0], columns))
            weight = single("matmul", transpose(flat, 0, 1), inputs)
        if len(ctx.inputs) == 3 and ctx.needs[2]:
            bias = single("sum", flat, axes=(0,), keepdims=False)
        return (x, weight, bias)[: len(ctx.inputs)]

    def flops(x: TensorType, weight: TensorType, bias: TensorType | None = None) -> int:
        rows = x.size // max(1, x.shape[-1])
        return rows * weight.shape[0] * (2 * weight.shape[1] + (bias is not None))


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b: x [..., in], W [out, in], b [out] -> [..., out]."""
    return single("linear", x, weight) if bias is None else single("linear", x, weight, bias)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """NumPy's `@`: vectors are rows or columns, leading axes broadcast."""
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError(f"matmul: {a.type} @ {b.type}: numbers multiply with *, not @")
    left = reshape(a, (1, *a.shape)) if a.ndim == 1 else a
    right = reshape(b, (*b.shape, 1)) if b.ndim == 1 else b
    if right.ndim == 2 and left.ndim > 2:  # one large product instead of many small ones
        if left.shape[-1] != right.shape[0]:
            return single("matmul", left, right)
        flat = reshape(left, (prod(left.shape[:-1]), left.shape[-1]))
        product = reshape(single("matmul", flat, right), (*left.shape[:-1], right.shape[-1]))
    else:
        product = single("matmul", left, right)
    shape = product.shape
    if b.ndim == 1:
        shape = shape[:-1]
    if a.ndim == 1:
        shape = (*shape[:-2], *shape[-1:]) if b.ndim > 1 else shape[:-1]
    return reshape(product, shape)


def _matrices(name: str, ndims: tuple[int, int], a: Tensor, b: Tensor) -> Tensor:
    if (a.ndim, b.ndim) != ndims:
        raise ShapeError(f"{name}: {a.type} and {b.type}; {ndims[0]} and {ndims[1]} axes wanted")
    return matmul(a, b)


def bmm(a: Tensor, b: Tensor) -> Tensor:
    """[b, m, k] @ [b, k, n]."""
    return _matrices("bmm", (3, 3), a, b)


def mv(a: Tensor, b: Tensor) -> Tensor:
    """[m, k] @ [k]."""
    return _matrices("mv", (2, 1), a, b)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Σ a b of two vectors."""
    return _matrices("dot", (1, 1), a, b)


def outer(a: Tensor, b: Tensor) -> Tensor:
    """a bᵀ of two vectors."""
    if a.ndim != 1 or b.ndim != 1:
        raise ShapeError(f"outer: two vectors were expected, not {a.type} and {b.type}")
    return single("mul", unsqueeze(a, 1), unsqueeze(b, 0))


def addmm(c: Tensor, a: Tensor, b: Tensor, *, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """beta c + alpha a @ b."""
    return _sum_scaled(c, _matrices("addmm", (2, 2), a, b), beta, alpha)


def baddbmm(c: Tensor, a: Tensor, b: Tensor, *, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """beta c + alpha a @ b, batch by batch."""
    return _sum_scaled(c, bmm(a, b), beta, alpha)


def _sum_scaled(c: Tensor, product: Tensor, beta: float, alpha: float) -> Tensor:
    left = c if beta == 1 else single("mul", c, beta)
    right = product if alpha == 1 else single("mul", product, alpha)
    return single("add", left, right)


def tensordot(a: Tensor, b: Tensor, axes: int | Sequence[Sequence[int]] = 2) -> Tensor:
    """Σ over pairs of axes: the last of a with the first of b, or two lists of axes."""
    if isinstance(axes, int):
        first, second = list(range(a.ndim - axes, a.ndim)), list(range(axes))
    else:
        first = [axis_of(i, a.ndim, "tensordot") for i in axes[0]]
        second = [axis_of(i, b.ndim, "tensordot") for i in axes[1]]
    if [a.shape[i] for i in first] != [b.shape[j] for j in second]:
        raise ShapeError(f"tensordot: axes {first} of {a.type} do not match {second} of {b.type}")
    rows = [i for i in range(a.ndim) if i not in first]
    columns = [j for j in range(b.ndim) if j not in second]
    inner = prod(a.shape[i] for i in first)
    kept = [a.shape[i] for i in rows], [b.shape[j] for j in columns]
    left = reshape(permute(a, rows + first), (prod(kept[0]), inner))
    right = reshape(permute(b, second + columns), (inner, prod(kept[1])))
    return reshape(single("matmul", left, right), (*kept[0], *kept[1]))
