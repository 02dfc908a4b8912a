"""What attention should give: one query at a time, and differences for its gradients."""

from typing import Any

import numpy as np
from scipy import special

from engine.backend import philox


def _kept(rest: Any, draw: int, p: float, shape: tuple[int, ...]) -> np.ndarray:
    """What the weights [n, heads, T, S] are multiplied by."""
    if p == 0:
        return np.ones(shape)
    bits = philox.words(rest[-2], rest[-1], draw, int(np.prod(shape)))
    return (bits >= int(p * 2**32)).reshape(shape) / (1 - p)


def attention(
    q: Any, k: Any, v: Any, *rest: Any, causal: bool, scale: float, masked: bool, draw: int,
    p: float,
) -> Any:  # fmt: skip
    n, rows, heads, _ = q.shape
    keys, few = k.shape[1:3]
    shape = (n, heads, rows, keys)
    mask = np.broadcast_to(rest[0] if masked else True, shape)
    kept = _kept(rest, draw, p, shape)
    y, lse = np.zeros((n, rows, heads, v.shape[-1])), np.zeros((n, heads, rows))
    for image, head, row in np.ndindex(n, heads, rows):
        own = head * few // heads
        scores = scale * k[image, :, own] @ q[image, row, head]
        allowed = mask[image, head, row]
        scores = np.where(allowed, scores, -np.inf) if mask.dtype == bool else scores + allowed
        if causal:
            scores[row + 1 :] = -np.inf
        lse[image, head, row] = special.logsumexp(scores)
        y[image, row, head] = (special.softmax(scores) * kept[image, head, row]) @ v[image, :, own]
    return y, lse


def _by_differences(g: Any, inputs: list[Any], rest: Any, attrs: Any) -> tuple[Any, ...]:
    found = [np.zeros(x.shape) for x in inputs]
    for place, x in enumerate(inputs):
        for spot in np.ndindex(*x.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = [a.copy() for a in inputs]
                moved[place][spot] += step
                ends.append((g * attention(*moved, *rest, **attrs)[0]).sum())
            found[place][spot] = (ends[0] - ends[1]) / 2e-5
    return tuple(found)


def attention_grad(
    g: Any, q: Any, k: Any, v: Any, y: Any, lse: Any, *rest: Any, **attrs: Any
) -> Any:
    return _by_differences(g, [q, k, v], rest, attrs)


def _parts(qkv: Any, heads: int, kv_heads: int) -> list[Any]:
    return np.split(qkv, [heads, heads + kv_heads], axis=-2)


def self_attention(qkv: Any, *rest: Any, heads: int, kv_heads: int, **attrs: Any) -> Any:
    return attention(*_parts(qkv, heads, kv_heads), *rest, **attrs)


def self_attention_grad(
    g: Any, qkv: Any, y: Any, lse: Any, *rest: Any, heads: int, kv_heads: int, **attrs: Any
) -> Any:
    found = _by_differences(g, _parts(qkv, heads, kv_heads), rest, attrs)
    return np.concatenate(found, axis=-2)


ATTENTION = {
    "attention": attention,
    "attention_grad": attention_grad,
    "self_attention": self_attention,
    "self_attention_grad": self_attention_grad,
}
