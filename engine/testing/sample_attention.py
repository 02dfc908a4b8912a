"""Samples of attention: masks, causality, shared heads of keys, dropout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from engine.ops.registry import OPS

Made = Iterator[tuple[str, tuple[np.ndarray, ...], dict[str, Any]]]
_KEY = np.asarray(7, np.uint64), np.asarray(3, np.uint64)


def attentions(floats: Callable[..., np.ndarray]) -> Made:
    for shapes, rest, given in _cases(floats):
        attrs = {"causal": False, "scale": 0.7, "masked": False, "draw": 0, "p": 0.0, **given}
        inputs = tuple(floats(*shape, seed=i) for i, shape in enumerate(shapes))
        yield "attention", (*inputs, *rest), attrs
        y, lse = OPS["attention"].ref(*inputs, *rest, **attrs)
        flow = floats(*y.shape, seed=5)
        yield "attention_grad", (flow, *inputs, y, lse, *rest), attrs
        if shapes[0][1] != shapes[1][1] or shapes[1] != shapes[2]:
            continue
        both = {"heads": shapes[0][2], "kv_heads": shapes[1][2], **attrs}
        whole = np.concatenate(inputs, axis=2)
        yield "self_attention", (whole, *rest), both
        yield "self_attention_grad", (flow, whole, y, lse, *rest), both


def _cases(floats: Callable[..., np.ndarray]) -> Iterator[tuple[Any, Any, dict[str, Any]]]:
    """(shapes of q, k and v, further inputs, attributes that are not as usual)."""
    square = ((2, 3, 2, 3),) * 3
    shared = ((2, 3, 4, 2), (2, 3, 2, 2), (2, 3, 2, 2))
    across = ((2, 2, 2, 3), (2, 4, 2, 3), (2, 4, 2, 2))
    seen = np.array([[True, True, False], [False, True, True], [True, False, True]])
    yield square, (), {}
    yield shared, (), {"causal": True}
    yield across, (), {"causal": True}
    yield square, (seen,), {"masked": True}
    yield shared, (floats(4, 3, 3, seed=8),), {"masked": True, "causal": True}
    yield square, _KEY, {"p": 0.4, "draw": 2}
    yield across, (floats(2, 1, 1, 4, seed=9), *_KEY), {"masked": True, "p": 0.3}
