"""Sample inputs for every operation: name -> list of (inputs, attributes).

Floats are float64 and stay clear of kinks, so that gradients can be checked by differences.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from engine.ops.registry import OPS, outputs_of
from engine.testing.sample_attention import attentions
from engine.testing.sample_groups import ACTIVATIONS, BINARY, UNARY
from engine.testing.sample_sequences import bags, recurrences

Inputs = tuple[np.ndarray, ...]
Pair = tuple[Inputs, dict[str, Any]]


def samples() -> dict[str, list[Pair]]:
    """Inputs and attributes for every operation of `engine.ops`; the same at every call."""
    found: dict[str, list[Pair]] = {}
    for family in _FAMILIES:
        for name, inputs, attrs in family():
            found.setdefault(name, []).append((inputs, attrs))
    return found


Made = Iterator[tuple[str, Inputs, dict[str, Any]]]


def _floats(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> np.ndarray:
    """Numbers that are all different and at least 0.001 from every tenth."""
    size = int(np.prod(shape))
    numbers = np.linspace(low, high, size + 2)[1:-1] if size else np.zeros(0)
    numbers = numbers + 0.0137 * (high - low) / 4
    order = np.random.default_rng(seed + size).permutation(size)
    return numbers[order].reshape(shape)


def _integers(low: int, high: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, shape)


def _word(value: int) -> np.ndarray:
    return np.asarray(value, np.uint64)


def _pointwise() -> Made:
    for name, low, high in UNARY:
        yield name, (_floats(3, 4, low=low, high=high),), {}
    for name, low, high in BINARY:
        yield name, (_floats(3, 4, low=low, high=high), _floats(4, low=low, high=high, seed=9)), {}
    for name, attrs in ACTIVATIONS:
        yield name, (_floats(3, 5, low=-4, high=4),), attrs
    x, target = _floats(3, 4), _floats(3, 4, low=0.1, high=0.9)
    yield "weighted_logit_error", (x, target, _floats(4, low=0.5, high=2)), {}
    yield "prelu", (_floats(2, 3, 2), _floats(3, 1, low=0.1, high=0.5)), {}


def _logic() -> Made:
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        yield name, (_integers(0, 3, 3, 4), _integers(0, 3, 4, seed=1)), {}
    flags = _integers(0, 2, 3, 4).astype(bool), _integers(0, 2, 4, seed=1).astype(bool)
    for name in ("logical_and", "logical_or", "logical_xor"):
        yield name, flags, {}
    yield "logical_not", flags[:1], {}
    numbers = _integers(0, 30, 3, 4), _integers(0, 8, 4, seed=1)
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor", "shift_left", "shift_right"):
        yield name, numbers, {}
    yield "bitwise_not", numbers[:1], {}


def _choices() -> Made:
    flags = _integers(0, 2, 3, 4).astype(bool), _integers(0, 2, 4, seed=1).astype(bool)
    odd = np.array([1.5, np.nan, np.inf, -np.inf, 0.0])
    for name in ("isnan", "isinf", "isfinite"):
        yield name, (odd,), {}
    yield "nan_to_num", (odd[[0, 4]],), {"nan": 0.0, "high": 9.0, "low": -9.0}
    yield "where", (flags[0], _floats(3, 4), _floats(4, seed=1)), {}
    yield "masked_fill", (_floats(3, 4), flags[1]), {"value": -1.0}
    yield "clip", (_floats(3, 4),), {"low": -1.0, "high": 0.5}
    yield "power", (_floats(3, 4, low=0.5, high=2),), {"exponent": 1.7}
    yield "power", (_floats(3, 4),), {"exponent": 3}
    yield "standardize", (_floats(2, 3), _floats(3), _floats(3, low=0.5, high=2)), {"eps": 1e-3}
    yield "cast", (_floats(3, 4),), {"dtype": "float64"}
    yield "cast", (_floats(3, 4),), {"dtype": "int32"}
    yield "copy", (_floats(3, 4),), {}
    yield "detach", (_floats(3, 4),), {}
    yield "to_device", (_floats(3, 4),), {"device": "cpu"}


def _reductions() -> Made:
    for name in ("sum", "prod", "amax", "amin", "any", "all", "logsumexp"):
        yield name, (_floats(2, 3, 4),), {"axes": (1,), "keepdims": False}
        yield name, (_floats(2, 3, 4),), {"axes": (0, 2), "keepdims": True}
    for name in ("argmax", "argmin"):
        yield name, (_floats(3, 4),), {"axis": 1, "keepdims": False}
    for name in ("softmax", "log_softmax"):
        yield name, (_floats(3, 4),), {"axis": 1}
        yield name, (_floats(2, 3, 2),), {"axis": 1}
    for reverse in (False, True):
        yield "cumsum", (_floats(3, 4),), {"axis": 1, "reverse": reverse}
        yield "argsort", (_floats(3, 4),), {"axis": 0, "descending": reverse}


def _movement() -> Made:
    x = _floats(2, 3, 4)
    yield "reshape", (x,), {"shape": (4, 6)}
    yield "transpose", (x,), {"axes": (2, 0, 1)}
    yield "expand", (_floats(3, 1),), {"shape": (2, 3, 4)}
    yield "slice", (x,), {"starts": (0, 2, 1), "sizes": (2, 2, 2), "steps": (1, -1, 2)}
    yield "unslice", (_floats(2, 2),), {"shape": (3, 5), "starts": (2, 1), "steps": (-1, 2)}
    yield "cat", (x, _floats(2, 1, 4), x + 1), {"axis": 1}
    yield "full", (), {"shape": (2, 3), "value": 1.5, "dtype": "float64"}
    yield "arange", (), {"start": 1, "step": 0.5, "size": 5, "dtype": "float64"}


def _indexing() -> Made:
    places = _integers(0, 4, 3, 2)
    yield "take", (_floats(2, 4, 3), places), {"axis": 1}
    yield "add_rows", (_floats(2, 3, 2, 3), places), {"axis": 1, "size": 4}
    along = _integers(0, 4, 2, 5, 3)
    yield "gather", (_floats(2, 4, 3), along), {"axis": 1}
    yield "add_along", (_floats(2, 5, 3), along), {"axis": 1, "shape": (2, 4, 3)}
    once = np.argsort(_floats(2, 4, 3), axis=1)[:, :3]
    yield "scatter", (_floats(2, 4, 3), once, _floats(2, 3, 3, seed=1)), {"axis": 1}
    for how in ("amax", "amin", "prod"):
        inputs = (_floats(2, 4, 3), along, _floats(2, 5, 3, low=-1.9, high=1.8, seed=1))
        yield "scatter_combine", inputs, {"axis": 1, "how": how}
    yield "one_hot", (places,), {"classes": 4, "dtype": "float64"}
    yield "embedding", (_floats(4, 3), places), {"padding_idx": None}
    yield "embedding", (_floats(4, 3), places), {"padding_idx": 1}


def _products() -> Made:
    yield "matmul", (_floats(3, 4), _floats(4, 2)), {}
    yield "matmul", (_floats(2, 1, 3, 4), _floats(5, 4, 2)), {}
    yield "linear", (_floats(2, 3, 4), _floats(5, 4), _floats(5)), {}
    yield "linear", (_floats(3, 4), _floats(5, 4)), {}


def _conv(stride: int, padding: Any, dilation: int, groups: int, axes: int = 2) -> dict[str, Any]:
    return {
        "stride": (stride,) * axes,
        "padding": (padding,) * axes,
        "dilation": (dilation,) * axes,
        "groups": groups,
    }


def _convolutions() -> Made:
    cases = (
        ((2, 2, 5, 6), (3, 2, 3, 3), (2, 3, 5, 6), _conv(1, (1, 1), 1, 1)),
        ((2, 4, 6, 5), (4, 2, 3, 2), (2, 4, 3, 3), _conv(2, (0, 1), 1, 2)),
        ((1, 3, 7, 7), (6, 1, 3, 3), (1, 6, 3, 3), _conv(1, (0, 0), 2, 3)),
        ((2, 2, 4, 3), (3, 2, 1, 1), (2, 3, 4, 3), _conv(1, (0, 0), 1, 1)),
        ((1, 2, 6, 6), (2, 1, 3, 3), (1, 2, 3, 3), _conv(2, (1, 1), 1, 2)),
        ((2, 2, 7), (3, 2, 3), (2, 3, 4), _conv(2, (1, 1), 1, 1, 1)),
        ((1, 1, 3, 4, 3), (2, 1, 2, 2, 2), (1, 2, 2, 3, 2), _conv(1, (0, 0), 1, 1, 3)),
    )
    for seen, kernel, made, attrs in cases:
        x, weight, y = _floats(*seen), _floats(*kernel), _floats(*made)
        yield "conv", (x, weight), attrs
        yield "conv_input_grad", (y, weight), {"size": seen[2:], **attrs}
        yield "conv_weight_grad", (x, y), {"kernel": kernel[2:], **attrs}
    yield "conv", (_floats(2, 2, 5, 6), _floats(3, 2, 3, 3), _floats(3)), cases[0][3]


def _pools() -> Made:
    x, g = _floats(2, 2, 6, 6), _floats(2, 2, 3, 3)
    for kernel, stride, pad in ((2, 2, (0, 0)), (3, 2, (1, 0)), (2, 2, (0, 1))):
        shape = {"kernel": (kernel,) * 2, "stride": (stride,) * 2, "padding": (pad,) * 2}
        wide = {**shape, "dilation": (1, 1)}
        size = 6 if pad != (0, 1) else 5
        image = np.ascontiguousarray(x[:, :, :size, :size])
        taps = _integers(0, kernel * kernel, 2, 2, 3, 3).astype(np.uint8)
        if pad != (0, 0):
            taps[...] = 0 if pad == (0, 1) else kernel * kernel - 1
        yield "max_pool", (image,), wide
        yield "max_pool_taps", (image,), wide
        (best,) = outputs_of(OPS["max_pool"].ref(image, **wide))
        yield "max_pool_grad", (g, image, best), wide
        yield "pool_unpick", (g, taps), {"size": (size, size), **wide}
        yield "pool_pick", (image, taps), wide
        for include in (True, False):
            rest = {**shape, "extra": (pad[1] * (kernel == 2),) * 2, "count_include_pad": include}
            yield "avg_pool", (image,), rest
            yield "avg_pool_grad", (g,), {"size": (size, size), **rest}


def _norms() -> Made:
    x, line, g = _floats(3, 4, 2), _floats(4, seed=1), _floats(3, 4, 2, seed=2)
    last, flat = _floats(4, 2, seed=1), _floats(3, 4)
    for name, weight, given, axes, at in (
        ("batch_norm", line, {}, (0, 2), x),
        ("group_norm", line, {"groups": 2}, (2, 3), x),
        ("layer_norm", last, {"dims": 2}, (1, 2), x),
        ("layer_norm", line, {"dims": 1}, (1,), flat),
        ("rms_norm", last, {"dims": 2}, (1, 2), x),
    ):
        attrs: dict[str, Any] = {"eps": 1e-3, **given}
        seen = at.reshape(3, 2, 2, 2) if name == "group_norm" else at
        mean = seen.mean(axis=axes) if name != "rms_norm" else seen.mean(axis=axes) * 0
        variance = seen.var(axis=axes) if name != "rms_norm" else (seen**2).mean(axis=axes)
        flow = g if at is x else g[..., 0]
        yield name, (at,), attrs
        yield f"{name}_grad", (flow, at, mean, variance), attrs
        weights = (weight,) if name == "rms_norm" else (weight, weight * 0.5)
        yield name, (at, *weights), attrs
        yield f"{name}_grad", (flow, at, mean, variance, *weights), attrs


def _losses() -> Made:
    target = np.array([[0, 2], [1, -1], [3, 0]])
    scores, weight = _floats(3, 4, 2), _floats(4, low=0.5, high=2)
    for smoothing in (0.0, 0.1):
        attrs = {"smoothing": smoothing, "ignore_index": -1}
        for rest in ((), (weight,)):
            yield "cross_entropy", (scores, target, *rest), attrs
            yield "cross_entropy_grad", (_floats(3, 2), scores, target, *rest), attrs


def _draws() -> Made:
    key = _word(7), _word(3)
    shape = {"draw": 2, "shape": (3, 5), "dtype": "float64"}
    yield "uniform", key, {**shape, "low": -1.0, "high": 1.0}
    yield "uniform", key, {**shape, "low": 0.0, "high": 1.0, "dtype": "float32"}
    yield "normal", key, shape
    yield "normal", key, {**shape, "dtype": "float32"}
    yield "randint", key, {"draw": 1, "shape": (3, 5), "low": -2, "high": 6}
    yield "random_keys", key, {"draw": 1, "size": 6}
    yield "dropout", (_floats(3, 4), *key), {"draw": 0, "p": 0.4}


def _recurrences() -> Made:
    return recurrences(_floats)


def _attentions() -> Made:
    return attentions(_floats)


_FAMILIES = (
    _pointwise, _logic, _choices, _reductions, _movement, _indexing, _products, _convolutions,
    _pools, _norms, _losses, _draws, _recurrences, bags, _attentions,
)  # fmt: skip
