"""Scaled dot-product attention kept whole, so that back ends may work on it in tiles:

    y = softmax(scale q kᵀ + mask) v

Vaswani et al. 2017, "Attention is all you need". `attention` takes q, k and v, `self_attention`
all three in one tensor, as one linear map makes them; heads lie beside positions, so neither side
of either is ever copied. Further inputs are the mask and the (seed, step) of dropout. The second
output is the log-sum-exp of every row of scores, from which gradients make the weights again.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from engine import dtypes
from engine.backend import attention as backend
from engine.dispatch import apply, single
from engine.errors import DtypeError, ShapeError
from engine.ir.graph import TensorType
from engine.ops.attention_parts import gradients, plain, unpacked
from engine.ops.composite import differentiated
from engine.ops.elementwise import cast
from engine.ops.movement import cat, expand, reshape, transpose
from engine.ops.pointwise import broadcast
from engine.ops.registry import op, outputs_of
from engine.ops.slicing import place
from engine.random import draw
from engine.tape import Context
from engine.tensor import Tensor

_COST = 8  # operations of a score beside the two products


def _infer(
    name: str, q: TensorType, k: TensorType, v: TensorType, rest: Sequence[TensorType], masked: bool
) -> tuple[TensorType, TensorType]:
    """Types of the result and of the log-sum-exp; the error that a user reads."""
    if not dtypes.is_float(q.dtype):
        raise DtypeError(f"{name}: {q} holds no floats")
    given = f"{name}: q {q}, k {k} and v {v} (positions, heads, features)"
    if min(q.ndim, k.ndim, v.ndim) < 3 or not q.shape[:-3] == k.shape[:-3] == v.shape[:-3]:
        raise ShapeError(f"{given} must have the same leading axes")
    if k.shape[-3:-1] != v.shape[-3:-1] or k.shape[-3] == 0:
        raise ShapeError(f"{given}: k and v must have the same positions, at least one, and heads")
    if q.shape[-1] != k.shape[-1] or q.shape[-1] == 0:
        raise ShapeError(f"{given}: q and k must have the same number of features, at least one")
    if k.shape[-2] == 0 or q.shape[-2] % k.shape[-2]:
        raise ShapeError(f"{given}: the heads of k must divide those of q")
    rows = (*q.shape[:-3], q.shape[-2], q.shape[-3])
    if masked:
        _check_mask(name, rest[0], q, (*rows, k.shape[-3]))
    return TensorType((*q.shape[:-1], v.shape[-1]), q.dtype), TensorType(rows, q.dtype)


def _check_mask(name: str, mask: TensorType, q: TensorType, scores: tuple[int, ...]) -> None:
    if mask.dtype not in (dtypes.bool_, q.dtype):
        raise DtypeError(f"{name}: a mask is of bool or {q.dtype.name}, not {mask}")
    try:
        fits = broadcast(mask.shape, scores) == scores
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{name}: the mask {mask} does not broadcast to the scores {list(scores)} "
            "(..., heads, positions of q, positions of k)"
        )


def _flops(q: TensorType, k: TensorType, v: TensorType, causal: bool, products: int) -> int:
    """`products` matrix products of all scores, of which each takes q's or v's features."""
    rows, columns = q.shape[-3], k.shape[-3]
    seen = rows * columns
    if causal:
        few = min(rows, columns)
        seen = few * (few + 1) // 2 + (rows - few) * columns
    return prod(q.shape[:-3]) * q.shape[-2] * seen * (
        products * (q.shape[-1] + v.shape[-1]) + _COST
    )  # fmt: skip


def _extras(rest: Sequence[Any], masked: bool, draw: int, p: float) -> tuple[Any, Any]:
    """The mask and what dropout needs, or None for either."""
    mask = rest[0] if masked else None
    return mask, (rest[-2], rest[-1], draw, p) if p else None


def _fill(found: tuple[Any, ...], out: Any) -> Any:
    if out is None:
        return found if len(found) > 1 else found[0]
    for array, target in zip(found, out if isinstance(out, tuple) else (out,), strict=True):
        place(array, target)
    return out


_FLAGS = {"promotes": True, "into": True, "random": True}


@op("attention", held=(3, 4, 5), inputs=("q", "k", "v", "mask"), **_FLAGS)
class Attention:
    """q [..., T, H, d], k [..., S, K, d], v [..., S, K, w] -> y [..., T, H, w], lse [..., H, T]."""

    def infer(
        q: TensorType, k: TensorType, v: TensorType, *rest: TensorType, causal: bool, scale: float,
        masked: bool, draw: int, p: float,
    ) -> tuple[TensorType, TensorType]:  # fmt: skip
        return _infer("attention", q, k, v, rest, masked)

    def ref(
        q: Any, k: Any, v: Any, *rest: Any, causal: bool, scale: float, masked: bool, draw: int,
        p: float, out: Any = None,
    ) -> Any:  # fmt: skip
        extras = _extras(rest, masked, draw, p)
        return _fill(backend.forward(q, k, v, *extras, causal, scale), out)

    def vjp(ctx: Context, g: Tensor, g_lse: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.live[1] or any(ctx.needs[3:]):
            return differentiated(plain, ctx, (g, g_lse))
        inputs = (g, *ctx.inputs[:3], *ctx.ys, *ctx.inputs[3:])
        found = apply("attention_grad", *inputs, **ctx.attrs)
        return (*found, *[None] * (len(ctx.inputs) - 3))

    def flops(
        q: TensorType, k: TensorType, v: TensorType, *rest: TensorType, causal: bool, **_: Any
    ) -> int:
        return _flops(q, k, v, causal, 2)


@op("attention_grad", held=(6, 7, 8), **_FLAGS)
class AttentionGrad:
    """What flows into q, k and v; y and lse are those of the operation."""

    def infer(
        g: TensorType, q: TensorType, k: TensorType, v: TensorType, y: TensorType, lse: TensorType,
        *rest: TensorType, **_: Any,
    ) -> tuple[TensorType, ...]:  # fmt: skip
        return q, k, v

    def ref(
        g: Any, q: Any, k: Any, v: Any, y: Any, lse: Any, *rest: Any, causal: bool, scale: float,
        masked: bool, draw: int, p: float, out: Any = None,
    ) -> Any:  # fmt: skip
        extras = _extras(rest, masked, draw, p)
        return _fill(backend.gradients(g, q, k, v, y, lse, *extras, causal, scale), out)

    def vjp(ctx: Context, *flows: Tensor) -> tuple[Tensor | None, ...]:
        return differentiated(gradients, ctx, flows)

    def flops(
        g: TensorType, q: TensorType, k: TensorType, v: TensorType, *rest: TensorType,
        causal: bool, **_: Any,
    ) -> int:  # fmt: skip
        return _flops(q, k, v, causal, 5)


def _types(qkv: TensorType, heads: int, kv_heads: int) -> list[TensorType]:
    shape, kind = qkv.shape, qkv.dtype
    return [TensorType((*shape[:-2], n, shape[-1]), kind) for n in (heads, kv_heads, kv_heads)]


@op("self_attention", held=(1, 2, 3), inputs=("qkv", "mask"), **_FLAGS)
class SelfAttention:
    """qkv [..., T, H + 2 K, d], heads of q before those of k and v -> y [..., T, H, d], lse."""

    def infer(
        qkv: TensorType, *rest: TensorType, heads: int, kv_heads: int, causal: bool, scale: float,
        masked: bool, draw: int, p: float,
    ) -> tuple[TensorType, TensorType]:  # fmt: skip
        if qkv.ndim < 3 or qkv.shape[-2] != heads + 2 * kv_heads:
            raise ShapeError(
                f"self_attention: {qkv} must be [..., positions, {heads} + 2 * {kv_heads} heads, "
                "features]"
            )
        q, k, v = _types(qkv, heads, kv_heads)
        return _infer("self_attention", q, k, v, rest, masked)

    def ref(
        qkv: Any, *rest: Any, heads: int, kv_heads: int, causal: bool, scale: float, masked: bool,
        draw: int, p: float, out: Any = None,
    ) -> Any:  # fmt: skip
        extras = _extras(rest, masked, draw, p)
        return _fill(backend.forward(*_split(qkv, heads), *extras, causal, scale), out)

    def vjp(ctx: Context, g: Tensor, g_lse: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.live[1] or any(ctx.needs[1:]):
            return differentiated(_plain_self, ctx, (g, g_lse))
        inputs = (g, ctx.qkv, *ctx.ys, *ctx.inputs[1:])
        found = single("self_attention_grad", *inputs, **ctx.attrs)
        return (found, *[None] * (len(ctx.inputs) - 1))

    def flops(
        qkv: TensorType, *rest: TensorType, heads: int, kv_heads: int, causal: bool, **_: Any
    ) -> int:
        q, k, v = _types(qkv, heads, kv_heads)
        return _flops(q, k, v, causal, 2)


@op("self_attention_grad", held=(4, 5, 6), **_FLAGS)
class SelfAttentionGrad:
    """What flows into qkv; y and lse are those of the operation."""

    def infer(
        g: TensorType, qkv: TensorType, y: TensorType, lse: TensorType, *rest: TensorType, **_: Any
    ) -> TensorType:
        return qkv

    def ref(
        g: Any, qkv: Any, y: Any, lse: Any, *rest: Any, heads: int, kv_heads: int, causal: bool,
        scale: float, masked: bool, draw: int, p: float, out: Any = None,
    ) -> Any:  # fmt: skip
        extras = _extras(rest, masked, draw, p)
        found = backend.gradients(g, *_split(qkv, heads), y, lse, *extras, causal, scale)
        return _fill((backend.joined(found),), out)

    def vjp(ctx: Context, flow: Tensor) -> tuple[Tensor | None, ...]:
        return differentiated(_self_gradients, ctx, (flow,))

    def flops(
        g: TensorType, qkv: TensorType, *rest: TensorType, heads: int, kv_heads: int, causal: bool,
        **_: Any,
    ) -> int:  # fmt: skip
        q, k, v = _types(qkv, heads, kv_heads)
        return _flops(q, k, v, causal, 5)


def _split(qkv: Any, heads: int) -> tuple[Any, Any, Any]:
    middle = (qkv.shape[-2] + heads) // 2
    return qkv[..., :heads, :], qkv[..., heads:middle, :], qkv[..., middle:, :]


def _plain_self(qkv: Tensor, *rest: Tensor, heads: int, kv_heads: int, **attrs: Any) -> Any:
    return plain(*unpacked(qkv, heads), *rest, **attrs)


def _self_gradients(
    g: Tensor, qkv: Tensor, y: Tensor, lse: Tensor, *rest: Tensor, heads: int, kv_heads: int,
    **attrs: Any,
) -> Tensor:  # fmt: skip
    return cat(gradients(g, *unpacked(qkv, heads), y, lse, *rest, **attrs), -2)


def scaled_dot_product_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
) -> Tensor:
    """softmax(scale q kᵀ + mask) v, head by head: Vaswani et al. 2017.

    q [..., H, T, d], k [..., K, S, d], v [..., K, S, w] -> [..., H, T, w]; leading axes broadcast.
    K divides H: each head of k and v serves H / K heads of q (Ainslie et al. 2023).
    mask: broadcasts to [..., H, T, S]; truth values say which keys are seen, floats are added.
    causal: position i sees keys up to i. A row that sees no key is 0.
    scale: 1 / √d by default. dropout_p: share of the weights that are 0, drawn from the stream.
    Raises ShapeError, DtypeError.
    """
    q, k, v = _leading(q, k, v)
    extras, attrs = _told("attention", q.dtype, mask, dropout_p)
    found = apply(
        "attention", *[transpose(x, -2, -3) for x in (q, k, v)], *extras, causal=bool(causal),
        scale=_scale(scale, q), **attrs,
    )  # fmt: skip
    return transpose(outputs_of(found)[0], -2, -3)


def self_attention(
    qkv: Tensor,
    heads: int,
    kv_heads: int | None = None,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
) -> Tensor:
    """`scaled_dot_product_attention` of one tensor: [..., T, (H + 2 K) d] -> [..., T, H d].

    Its last axis holds H heads of queries, K of keys and K of values (K = H by default), as one
    linear map makes them of [..., T, features].
    """
    keys = heads if kv_heads is None else kv_heads
    whole = heads + 2 * keys
    if qkv.ndim < 2 or heads < 1 or keys < 1 or qkv.shape[-1] % whole:
        raise ShapeError(
            f"self_attention: the last axis of {qkv.type} must hold {heads} heads of queries and "
            f"{keys} each of keys and values, all of one length"
        )
    split = reshape(qkv, (*qkv.shape[:-1], whole, qkv.shape[-1] // whole))
    extras, attrs = _told("self_attention", qkv.dtype, mask, dropout_p)
    found = apply(
        "self_attention", split, *extras, heads=heads, kv_heads=keys, causal=bool(causal),
        scale=_scale(scale, split), **attrs,
    )  # fmt: skip
    return reshape(outputs_of(found)[0], (*qkv.shape[:-1], heads * split.shape[-1]))


def _scale(scale: float | None, q: Tensor) -> float:
    return max(q.shape[-1], 1) ** -0.5 if scale is None else float(scale)


def _told(name: str, kind: Any, mask: Any, p: float) -> tuple[list[Tensor], dict[str, Any]]:
    """The inputs behind q, k and v, and the attributes that tell what they are."""
    if not 0 <= p < 1:
        raise ShapeError(f"{name}: dropout_p = {p} must be at least 0 and below 1")
    extras = []
    if mask is not None:
        given = mask if isinstance(mask, Tensor) else Tensor(mask)
        number = given.dtype != dtypes.bool_ and dtypes.is_float(kind)
        extras.append(cast(given, kind) if number and given.dtype != kind else given)
    attrs = {"masked": mask is not None, "draw": 0, "p": float(p)}
    if p:
        seed, step, attrs["draw"] = draw()
        extras += [seed, step]
    return extras, attrs


def _leading(*tensors: Tensor) -> list[Tensor]:
    """q, k and v with the same leading axes."""
    if min(x.ndim for x in tensors) < 3:
        told = ", ".join(str(x.type) for x in tensors)
        raise ShapeError(f"attention: [..., heads, positions, features] was expected, not {told}")
    try:
        lead = broadcast(*(x.shape[:-3] for x in tensors))
    except ValueError:
        told = ", ".join(str(x.type) for x in tensors)
        raise ShapeError(f"attention: the leading axes of {told} do not broadcast") from None
    return [expand(x, (*lead, *x.shape[-3:])) for x in tensors]
