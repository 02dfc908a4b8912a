"""Convolution, pooling, normalisation and random numbers, the slow and plain way."""

from collections.abc import Callable, Iterator
from itertools import product
from math import log, pi, sqrt
from typing import Any

import numpy as np

Spot = tuple[int, ...]


def _meetings(
    size: Spot, output: Spot, kernel: Spot, attrs: dict[str, Any]
) -> Iterator[tuple[Spot, Spot, Spot]]:
    """(window, tap, element) wherever a tap of a window lies inside the image."""
    dilation = attrs.get("dilation", (1,) * len(size))
    for window in product(*map(range, output)):
        for tap in product(*map(range, kernel)):
            place = tuple(
                w * s + t * d - lo
                for w, s, t, d, (lo, _) in zip(
                    window, attrs["stride"], tap, dilation, attrs["padding"], strict=True
                )
            )
            if all(0 <= p < n for p, n in zip(place, size, strict=True)):
                yield window, tap, place


def _output(size: Spot, kernel: Spot, attrs: dict[str, Any]) -> Spot:
    dilation = attrs.get("dilation", (1,) * len(size))
    return tuple(
        (n + lo + hi - d * (k - 1) - 1) // s + 1
        for n, (lo, hi), d, k, s in zip(
            size, attrs["padding"], dilation, kernel, attrs["stride"], strict=True
        )
    )


def _every_pair(channels: int, outputs: int, groups: int) -> Iterator[tuple[int, int, int]]:
    """(output, channel, channel within its group)."""
    depth = channels // groups
    for o in range(outputs):
        for c in range(depth):
            yield o, o // (outputs // groups) * depth + c, c


def conv(x: Any, weight: Any, bias: Any = None, **attrs: Any) -> Any:
    size, kernel = x.shape[2:], weight.shape[2:]
    out = np.zeros((x.shape[0], weight.shape[0], *_output(size, kernel, attrs)))
    pairs = list(_every_pair(x.shape[1], weight.shape[0], attrs["groups"]))
    for window, tap, place in _meetings(size, out.shape[2:], kernel, attrs):
        for o, c, inner in pairs:
            out[(slice(None), o, *window)] += weight[(o, inner, *tap)] * x[(slice(None), c, *place)]
    return out if bias is None else out + bias.reshape(-1, *(1,) * len(size))


def conv_input_grad(g: Any, weight: Any, *, size: Spot, **attrs: Any) -> Any:
    channels = weight.shape[1] * attrs["groups"]
    out = np.zeros((g.shape[0], channels, *size))
    pairs = list(_every_pair(channels, weight.shape[0], attrs["groups"]))
    for window, tap, place in _meetings(size, g.shape[2:], weight.shape[2:], attrs):
        for o, c, inner in pairs:
            out[(slice(None), c, *place)] += weight[(o, inner, *tap)] * g[(slice(None), o, *window)]
    return out


def conv_weight_grad(x: Any, g: Any, *, kernel: Spot, **attrs: Any) -> Any:
    out = np.zeros((g.shape[1], x.shape[1] // attrs["groups"], *kernel))
    pairs = list(_every_pair(x.shape[1], g.shape[1], attrs["groups"]))
    for window, tap, place in _meetings(x.shape[2:], g.shape[2:], kernel, attrs):
        for o, c, inner in pairs:
            met = g[(slice(None), o, *window)] * x[(slice(None), c, *place)]
            out[(o, inner, *tap)] += met.sum()
    return out


def _windows(x: Any, kernel: Spot, attrs: dict[str, Any]) -> tuple[Spot, dict[Spot, list[Any]]]:
    output = _output(x.shape[2:], kernel, attrs)
    found: dict[Spot, list[Any]] = {}
    for window, tap, place in _meetings(x.shape[2:], output, kernel, attrs):
        number = int(np.ravel_multi_index(tap, kernel))
        found.setdefault(window, []).append((number, place))
    return output, found


def max_pool(x: Any, *, kernel: Spot, **attrs: Any) -> Any:
    output, windows = _windows(x, kernel, attrs)
    out = np.zeros((*x.shape[:2], *output))
    for window, met in windows.items():
        out[(..., *window)] = np.max([x[(..., *place)] for _, place in met], axis=0)
    return out


def max_pool_taps(x: Any, *, kernel: Spot, **attrs: Any) -> Any:
    output, windows = _windows(x, kernel, attrs)
    out = np.zeros((*x.shape[:2], *output))
    for window, met in windows.items():
        best = np.argmax([x[(..., *place)] for _, place in met], axis=0)
        out[(..., *window)] = np.array([number for number, _ in met])[best]
    return out


def max_pool_grad(g: Any, x: Any, _: Any, *, kernel: Spot, **attrs: Any) -> Any:
    taps = max_pool_taps(x, kernel=kernel, **attrs)
    return pool_unpick(g, taps, size=x.shape[2:], kernel=kernel, **attrs)


def pool_pick(h: Any, taps: Any, *, kernel: Spot, **attrs: Any) -> Any:
    _, windows = _windows(h, kernel, attrs)
    out = np.zeros(taps.shape)
    for window, met in windows.items():
        for number, place in met:
            hit = taps[(..., *window)] == number
            out[(..., *window)] += h[(..., *place)] * hit
    return out


def pool_unpick(g: Any, taps: Any, *, size: Spot, kernel: Spot, **attrs: Any) -> Any:
    out = np.zeros((*g.shape[:2], *size))
    _, windows = _windows(out, kernel, attrs)
    for window, met in windows.items():
        for number, place in met:
            out[(..., *place)] += g[(..., *window)] * (taps[(..., *window)] == number)
    return out


def _divisor(window: Spot, size: Spot, kernel: Spot, met: list[Any], attrs: dict[str, Any]) -> int:
    if not attrs["count_include_pad"]:
        return len(met)
    spans = [
        min(w * s - lo + k, n + hi - e) - (w * s - lo)
        for w, s, (lo, hi), k, n, e in zip(
            window, attrs["stride"], attrs["padding"], kernel, size, attrs["extra"], strict=True
        )
    ]
    return int(np.prod(spans))


def avg_pool(x: Any, *, kernel: Spot, **attrs: Any) -> Any:
    output, windows = _windows(x, kernel, attrs)
    out = np.zeros((*x.shape[:2], *output))
    for window, met in windows.items():
        total = np.sum([x[(..., *place)] for _, place in met], axis=0)
        out[(..., *window)] = total / _divisor(window, x.shape[2:], kernel, met, attrs)
    return out


def avg_pool_grad(g: Any, *, size: Spot, kernel: Spot, **attrs: Any) -> Any:
    out = np.zeros((*g.shape[:2], *size))
    _, windows = _windows(out, kernel, attrs)
    for window, met in windows.items():
        share = g[(..., *window)] / _divisor(window, size, kernel, met, attrs)
        for _, place in met:
            out[(..., *place)] += share
    return out


def _groups(name: str, x: Any, attrs: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """(where in x, where in the statistics) of everything that is normalised together."""
    if name == "batch_norm":
        for c in range(x.shape[1]):
            yield (slice(None), c), (c,)
    elif name == "group_norm":
        depth = x.shape[1] // attrs["groups"]
        for n, k in product(range(x.shape[0]), range(attrs["groups"])):
            yield (n, slice(k * depth, (k + 1) * depth)), (n, k)
    else:
        for lead in np.ndindex(*x.shape[: x.ndim - attrs["dims"]]):
            yield lead, lead


def _lined(name: str, weight: Any, x: Any) -> Any:
    """A weight in the shape of x."""
    if name in ("batch_norm", "group_norm"):
        weight = weight.reshape(-1, *(1,) * (x.ndim - 2))
    return np.broadcast_to(weight, x.shape)


def norm(name: str) -> Callable[..., Any]:
    def forward(x: Any, *weights: Any, eps: float, **attrs: Any) -> Any:
        places = list(_groups(name, x, attrs))
        shape = tuple(max(i) + 1 for i in zip(*(spot for _, spot in places), strict=True))
        y, mean, var = np.zeros(x.shape), np.zeros(shape), np.zeros(shape)
        for part, spot in places:
            seen = x[part]
            middle = 0.0 if name == "rms_norm" else seen.mean()
            mean[spot], var[spot] = middle, ((seen - middle) ** 2).mean()
            y[part] = (seen - middle) / np.sqrt(var[spot] + eps)
        if weights:
            y = y * _lined(name, weights[0], x)
        return (y + _lined(name, weights[1], x) if len(weights) == 2 else y), mean, var

    return forward


def norm_grad(name: str) -> Callable[..., Any]:
    """By differences of the plain formula."""

    def gradient(g: Any, x: Any, mean: Any, var: Any, *weights: Any, **attrs: Any) -> Any:
        inputs, found = [x, *weights], []
        for place, array in enumerate(inputs):
            out = np.zeros(array.shape)
            for spot in np.ndindex(*array.shape):
                ends = []
                for step in (1e-6, -1e-6):
                    moved = [a.copy() for a in inputs]
                    moved[place][spot] += step
                    ends.append((norm(name)(*moved, **attrs)[0] * g).sum())
                out[spot] = (ends[0] - ends[1]) / 2e-6
            found.append(out)
        return tuple(found) if weights else found[0]

    return gradient


def words(seed: int, step: int, draw: int, count: int) -> list[int]:
    """Philox4x32-10 with Python's integers, one block after another."""
    found: list[int] = []
    low = 0xFFFFFFFF
    for block in range(-(-count // 4)):
        c = [block, draw, step & low, step >> 32]
        k = [seed & low, seed >> 32]
        for _ in range(10):
            first, second = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
            c = [
                (second >> 32) ^ c[1] ^ k[0],
                second & low,
                (first >> 32) ^ c[3] ^ k[1],
                first & low,
            ]
            k = [(k[0] + 0x9E3779B9) & low, (k[1] + 0xBB67AE85) & low]
        found += c
    return found[:count]


def _doubles(key: Any, draw: int, count: int) -> np.ndarray:
    bits = words(int(key[0]), int(key[1]), draw, 2 * count)
    pairs = zip(bits[::2], bits[1::2], strict=True)
    return np.array([((a >> 5) * 2**26 + (b >> 6)) / 2**53 for a, b in pairs])


def uniform(*key: Any, draw: int, shape: Spot, low: float, high: float, dtype: str) -> Any:
    count = int(np.prod(shape))
    if dtype == "float64":
        return (low + (high - low) * _doubles(key, draw, count)).reshape(shape)
    bits = words(int(key[0]), int(key[1]), draw, count)
    return np.array([(w >> 8) / 2**24 for w in bits]).reshape(shape)


def normal(*key: Any, draw: int, shape: Spot, dtype: str) -> Any:
    count = int(np.prod(shape))
    found: list[float] = []
    if dtype == "float64":
        numbers = _doubles(key, draw, count + count % 2)
        pairs = [(1 - a, b) for a, b in numbers.reshape(-1, 2)]
    else:
        bits = np.array(words(int(key[0]), int(key[1]), draw, count + count % 2)) / 2**32
        pairs = [(a + 2**-33, b) for a, b in bits.reshape(-1, 2)]
    for near, turn in pairs:
        radius = sqrt(-2 * log(near))
        found += [radius * np.cos(2 * pi * turn), radius * np.sin(2 * pi * turn)]
    return np.array(found[:count]).reshape(shape)


def randint(*key: Any, draw: int, shape: Spot, low: int, high: int) -> Any:
    count = int(np.prod(shape))
    bits = words(int(key[0]), int(key[1]), draw, 2 * count)
    wide = [a * 2**32 + b for a, b in zip(bits[::2], bits[1::2], strict=True)]
    return np.array([low + w * (high - low) // 2**64 for w in wide]).reshape(shape)


def random_keys(*key: Any, draw: int, size: int) -> Any:
    bits = words(int(key[0]), int(key[1]), draw, 2 * size)
    return np.array([a + b * 2**32 for a, b in zip(bits[::2], bits[1::2], strict=True)], np.uint64)


def dropout(x: Any, *key: Any, draw: int, p: float) -> Any:
    bits = np.array(words(int(key[0]), int(key[1]), draw, x.size)).reshape(x.shape)
    return np.where(bits >= int(p * 2**32), x / (1 - p), 0)


IMAGES: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        conv, conv_input_grad, conv_weight_grad, max_pool, max_pool_taps, max_pool_grad,
        pool_pick, pool_unpick, avg_pool, avg_pool_grad, uniform, normal, randint, random_keys,
        dropout,
    )
}  # fmt: skip
for _name in ("batch_norm", "group_norm", "layer_norm", "rms_norm"):
    IMAGES[_name], IMAGES[f"{_name}_grad"] = norm(_name), norm_grad(_name)
