"""Attention and its gradient in plain operations, for derivatives of what is kept whole."""

from __future__ import annotations

import numpy as np

from engine import dtypes
from engine.dispatch import single
from engine.ops.elementwise import cast
from engine.ops.movement import permute, reshape, transpose
from engine.ops.slicing import narrow
from engine.tensor import Tensor

_FAR = -1e30  # where a key is not seen: finite, so that rows which see none have no NaN


def unpacked(qkv: Tensor, heads: int) -> list[Tensor]:
    """q, k and v of one tensor [..., T, heads, d]."""
    keys = (qkv.shape[-2] - heads) // 2
    cuts = ((0, heads), (heads, keys), (heads + keys, keys))
    return [narrow(qkv, -2, start, length) for start, length in cuts]


def plain(
    q: Tensor, k: Tensor, v: Tensor, *rest: Tensor, causal: bool, scale: float, masked: bool,
    draw: int, p: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """As the operation `attention`."""
    scores, seen = _scores(q, k, rest, causal, scale, masked)
    weights = _weights(scores, seen)
    y = single("matmul", _dropped(weights, rest, draw, p), _apart(v, k.shape[-2]))
    last = (scores.ndim - 1,)
    lse = single("logsumexp", scores, axes=last, keepdims=False)
    return _together(y), reshape(lse, (*q.shape[:-3], q.shape[-2], q.shape[-3]))


def gradients(
    g: Tensor, q: Tensor, k: Tensor, v: Tensor, _y: Tensor, _lse: Tensor, *rest: Tensor,
    causal: bool, scale: float, masked: bool, draw: int, p: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """As the operation `attention_grad`; what it is given of the result is computed once more."""
    heads = k.shape[-2]
    weights = _weights(*_scores(q, k, rest, causal, scale, masked))
    flow, seen_q = _apart(g, heads), _apart(q, heads)
    seen_k, seen_v = _apart(k, heads), _apart(v, heads)
    into_v = single("matmul", transpose(_dropped(weights, rest, draw, p), -1, -2), flow)
    inner = _dropped(single("matmul", flow, transpose(seen_v, -1, -2)), rest, draw, p)
    last = (weights.ndim - 1,)
    level = single("sum", weights * inner, axes=last, keepdims=True)
    slopes = weights * (inner - level) * scale
    into_q = single("matmul", slopes, seen_k)
    into_k = single("matmul", transpose(slopes, -1, -2), seen_q)
    return _together(into_q), _summed(into_k), _summed(into_v)


def _scores(
    q: Tensor, k: Tensor, rest: tuple[Tensor, ...], causal: bool, scale: float, masked: bool
) -> tuple[Tensor, Tensor | None]:
    """[..., K, H / K, T, S], and which keys are seen; None for all."""
    heads = k.shape[-2]
    scores = single("matmul", _apart(q, heads) * scale, transpose(_apart(k, heads), -1, -2))
    rows, columns = scores.shape[-2:]
    seen: Tensor | None = None
    if masked:
        mask = _mask(rest[0], heads)
        if mask.dtype == dtypes.bool_:
            seen = mask
        else:
            scores = scores + mask
    if causal:
        below = Tensor(np.arange(columns) <= np.arange(rows)[:, None])
        seen = below if seen is None else single("logical_and", seen, below)
    if seen is not None:
        scores = single("masked_fill", scores, single("logical_not", seen), value=_FAR)
    return scores, seen


def _weights(scores: Tensor, seen: Tensor | None) -> Tensor:
    weights = single("softmax", scores, axis=scores.ndim - 1)
    return weights if seen is None else weights * cast(seen, weights.dtype)


def _dropped(weights: Tensor, rest: tuple[Tensor, ...], draw: int, p: float) -> Tensor:
    return single("dropout", weights, rest[-2], rest[-1], draw=draw, p=p) if p else weights


def _mask(mask: Tensor, heads: int) -> Tensor:
    """A mask over [..., H, T, S] as one over [..., K, H / K, T, S]."""
    if mask.ndim < 3:
        return mask
    many = mask.shape[-3]
    cut = (heads, many // heads) if many > 1 else (1, 1)
    return reshape(mask, (*mask.shape[:-3], *cut, *mask.shape[-2:]))


def _apart(x: Tensor, groups: int) -> Tensor:
    """[..., T, H, d] as [..., groups, H / groups, T, d]."""
    split = reshape(x, (*x.shape[:-2], groups, x.shape[-2] // groups, x.shape[-1]))
    lead = list(range(split.ndim - 4))
    n = len(lead)
    return permute(split, [*lead, n + 1, n + 2, n, n + 3])


def _together(x: Tensor) -> Tensor:
    """[..., K, H / K, T, d] as [..., T, H, d]."""
    n = x.ndim - 4
    moved = permute(x, [*range(n), n + 2, n, n + 1, n + 3])
    return reshape(moved, (*moved.shape[:-3], moved.shape[-3] * moved.shape[-2], moved.shape[-1]))


def _summed(x: Tensor) -> Tensor:
    """[..., K, H / K, S, d] added up over the heads of a group: [..., S, K, d]."""
    total = single("sum", x, axes=(x.ndim - 3,), keepdims=False)
    return transpose(total, -2, -3)
