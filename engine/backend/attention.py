"""Attention with the whole matrix of scores, in NumPy or CuPy: the reference of tiled kernels.

q is [..., T, H, d], k [..., S, K, d] and v [..., S, K, w]; H / K query heads share a head of k and
v. Scores are [..., K, H / K, T, S]; a mask and random words see them as [..., H, T, S].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine import dtypes
from engine.backend.modules import array_module
from engine.backend.philox import words

#: (seed, step, draw, p) of dropout, or None.
Drop = tuple[Any, Any, int, float] | None


def forward(
    q: Any, k: Any, v: Any, mask: Any, drop: Drop, causal: bool, scale: float
) -> tuple[Any, Any]:
    """(y [..., T, H, w], log-sum-exp of the scores [..., H, T]); y is 0 where no key is allowed."""
    xp, kind = array_module(q), q.dtype
    q, k, v = grouped(q, k, v)
    scores = scores_of(q, k, mask, causal, scale)
    top = scores.max(axis=-1, keepdims=True)
    base = xp.where(xp.isneginf(top), 0, top)
    weights = xp.exp(scores - base)
    total = weights.sum(axis=-1, keepdims=True)
    weights /= xp.where(total == 0, 1, total)
    y = xp.matmul(_dropped(weights, drop), v)
    lse = (xp.log(total) + base)[..., 0]
    return _together(y).astype(kind, copy=False), _heads(lse).astype(kind, copy=False)


def gradients(
    g: Any, q: Any, k: Any, v: Any, y: Any, lse: Any, mask: Any, drop: Drop, causal: bool,
    scale: float,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """What flows into q, k and v, with the weights computed again from the log-sum-exp.

    Dao et al. 2022, "FlashAttention", algorithm 4.
    """
    xp, kind, kv_heads = array_module(q), q.dtype, k.shape[-2]
    flow, made = _apart(g, kv_heads), _apart(y, kv_heads)
    q, k, v = grouped(q, k, v)
    scores = scores_of(q, k, mask, causal, scale)
    base = lse.reshape(scores.shape[:-1])[..., None].astype(scores.dtype, copy=False)
    weights = xp.exp(scores - xp.where(xp.isneginf(base), 0, base))
    into_v = xp.matmul(_turned(_dropped(weights, drop)), flow).sum(axis=-3)
    inner = _dropped(xp.matmul(flow, _turned(v)), drop)
    weights *= inner - (flow * made).sum(axis=-1, keepdims=True)
    into_q = xp.matmul(weights, k) * scores.dtype.type(scale)
    into_k = xp.matmul(_turned(weights), q).sum(axis=-3) * scores.dtype.type(scale)
    found = _together(into_q), xp.moveaxis(into_k, -3, -2), xp.moveaxis(into_v, -3, -2)
    into_q, into_k, into_v = (one.astype(kind, copy=False) for one in found)
    return into_q, into_k, into_v


def joined(parts: tuple[Any, Any, Any]) -> Any:
    """What flows into q, k and v as one array [..., T, H + 2 K, d]."""
    return array_module(parts[0]).concatenate(parts, axis=-2)


def grouped(q: Any, k: Any, v: Any) -> tuple[Any, Any, Any]:
    """[..., K, H / K, T, d] of q and [..., K, 1, S, .] of k and v, halves in float32."""
    keys = k.shape[-2]
    return _apart(q, keys), _apart(k, keys), _apart(v, keys)


def scores_of(q: Any, k: Any, mask: Any, causal: bool, scale: float) -> Any:
    """scale q kᵀ with the mask; -inf where a key may not be seen. A row sees keys up to itself."""
    xp = array_module(q)
    scores = xp.matmul(q * q.dtype.type(scale), _turned(k))
    if mask is not None:
        whole = (*scores.shape[:-4], scores.shape[-4] * scores.shape[-3], *scores.shape[-2:])
        seen = xp.broadcast_to(mask, whole).reshape(scores.shape)
        if mask.dtype == dtypes.bool_:
            scores[~seen] = -np.inf
        else:
            scores += seen
    if causal:
        rows, columns = scores.shape[-2:]
        scores[..., xp.arange(columns) > xp.arange(rows)[:, None]] = -np.inf
    return scores


def _dropped(weights: Any, drop: Drop) -> Any:
    if drop is None:
        return weights
    seed, step, draw, p = drop
    xp = array_module(weights)
    bits = words(seed, step, draw, weights.size, xp)
    kept = (bits >= xp.uint32(min(int(p * 2.0**32), 2**32 - 1))).reshape(weights.shape)
    return weights * kept * weights.dtype.type(1 / (1 - p))


def _apart(x: Any, groups: int) -> Any:
    """[..., T, H, d] as [..., groups, H / groups, T, d]."""
    xp = array_module(x)
    wide = dtypes.float32 if x.dtype == dtypes.float16 else x.dtype
    shape = (*x.shape[:-2], groups, x.shape[-2] // groups, x.shape[-1])
    return xp.moveaxis(x.astype(wide, copy=False).reshape(shape), -4, -2)


def _together(x: Any) -> Any:
    """[..., K, H / K, T, d] as [..., T, H, d]."""
    shape = (*x.shape[:-4], x.shape[-4] * x.shape[-3], *x.shape[-2:])
    return array_module(x).moveaxis(x.reshape(shape), -3, -2)


def _heads(x: Any) -> Any:
    """[..., K, H / K, T] as [..., H, T]."""
    return x.reshape(*x.shape[:-3], x.shape[-3] * x.shape[-2], x.shape[-1])


def _turned(x: Any) -> Any:
    return x.swapaxes(-1, -2)
