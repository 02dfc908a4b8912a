"""What every operation should give, from NumPy and SciPy, independently of the engine."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from tests.engine.ops.oracles_attention import ATTENTION
from tests.engine.ops.oracles_images import IMAGES
from tests.engine.ops.oracles_recurrent import RECURRENT

Oracle = Callable[..., Any]


def _softplus(x: Any) -> Any:
    return np.logaddexp(0, x)


def _gelu(x: Any) -> Any:
    return x * special.ndtr(x)


def _gelu_tanh(x: Any) -> Any:
    return x * special.expit(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))


UNARY: dict[str, Oracle] = {
    "neg": lambda x: -x,
    "abs": np.fabs,
    "sign": np.sign,
    "square": lambda x: x * x,
    "reciprocal": lambda x: 1 / x,
    "rsqrt": lambda x: x**-0.5,
    "erf": special.erf,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "round": np.round,
    "logical_not": np.logical_not,
    "bitwise_not": np.invert,
    "copy": lambda x: x,
    "detach": lambda x: x,
    "to_device": lambda x, device: x,
    "cast": lambda x, dtype: x.astype(dtype),
    "relu": lambda x: x * (x > 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x, slope: np.where(x > 0, x, slope * x),
    "elu": lambda x, alpha: np.where(x > 0, x, alpha * (np.exp(x) - 1)),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    "celu": lambda x, alpha: np.maximum(0, x) + np.minimum(0, alpha * (np.exp(x / alpha) - 1)),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "sigmoid": special.expit,
    "silu": lambda x: x * special.expit(x),
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hardsigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "logsigmoid": special.log_expit,
    "softplus": lambda x, beta: _softplus(beta * x) / beta,
    "softsign": lambda x: x / (1 + abs(x)),
    "tanhshrink": lambda x: x - np.tanh(x),
    "hardtanh": lambda x, low, high: np.clip(x, low, high),
    "softshrink": lambda x, threshold: np.sign(x) * np.maximum(abs(x) - threshold, 0),
    "hardshrink": lambda x, threshold: x * (abs(x) > threshold),
    "threshold": lambda x, threshold, value: np.where(x > threshold, x, value),
    "clip": lambda x, low, high: np.clip(x, low, high),
    "power": lambda x, exponent: x**exponent,
    "nan_to_num": lambda x, nan, high, low: np.nan_to_num(x, nan=nan, posinf=high, neginf=low),
}
_SAME = ["exp", "expm1", "log", "log1p", "log2", "sqrt", "sin", "cos", "tan", "sinh", "cosh"]
_SAME += ["tanh", "floor", "ceil", "trunc", "isnan", "isinf", "isfinite"]
UNARY |= {name: getattr(np, name) for name in _SAME}


def _huber(x: Any, t: Any, delta: float = 1.0) -> Any:
    return special.huber(delta, x - t)


def _log_cosh(x: Any, t: Any) -> Any:
    return np.log(np.cosh(x - t))


def _binary(p: Any, t: Any) -> Any:
    return -special.xlogy(t, p) - special.xlog1py(1 - t, -p)


BINARY: dict[str, Oracle] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "floor_div": lambda x, y: x // y,
    "remainder": lambda x, y: x % y,
    "pow": lambda x, y: x**y,
    "atan2": np.arctan2,
    "logaddexp": np.logaddexp,
    "xlogy": special.xlogy,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "shift_left": lambda x, y: x << y,
    "shift_right": lambda x, y: x >> y,
    "prelu": lambda x, w: np.where(x > 0, x, w * x),
    "where": np.where,
    "masked_fill": lambda x, mask, value: np.where(mask, value, x),
    "standardize": lambda x, mean, var, eps: (x - mean) / np.sqrt(var + eps),
    "squared_error": lambda x, t: (x - t) ** 2,
    "absolute_error": lambda x, t: abs(x - t),
    "huber_error": _huber,
    "quantile_error": lambda x, t, q=0.5: np.where(t > x, q * (t - x), (1 - q) * (x - t)),
    "log_cosh_error": _log_cosh,
    "binary_error": _binary,
    "logit_error": lambda x, t: _binary(special.expit(x), t),
    "weighted_logit_error": lambda x, t, p: (
        -p * t * special.log_expit(x) - (1 - t) * special.log_expit(-x)
    ),
    "divergence": lambda x, t: special.xlogy(t, t) - t * x,
    "log_divergence": lambda x, t: np.exp(t) * (t - x),
}
_COMPARED = {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal"}
_COMPARED |= {"gt": "greater", "ge": "greater_equal"}
BINARY |= {name: getattr(np, found) for name, found in _COMPARED.items()}
BINARY |= {f"{kind}_{n}": getattr(np, f"{kind}_{n}") for kind in ("logical", "bitwise")
           for n in ("and", "or", "xor")}  # fmt: skip


def _reduced(function: Oracle) -> Oracle:
    return lambda x, axes, keepdims: function(x, axis=axes, keepdims=keepdims)


REDUCTIONS: dict[str, Oracle] = {
    "sum": _reduced(np.sum),
    "prod": _reduced(np.prod),
    "amax": _reduced(np.max),
    "amin": _reduced(np.min),
    "any": _reduced(np.any),
    "all": _reduced(np.all),
    "logsumexp": _reduced(special.logsumexp),
    "argmax": lambda x, axis, keepdims: np.argmax(x, axis, keepdims=keepdims),
    "argmin": lambda x, axis, keepdims: np.argmin(x, axis, keepdims=keepdims),
    "softmax": special.softmax,
    "log_softmax": special.log_softmax,
    "cumsum": lambda x, axis, reverse: (
        np.flip(np.flip(x, axis).cumsum(axis), axis) if reverse else x.cumsum(axis)
    ),
    "argsort": lambda x, axis, descending: np.argsort(-x if descending else x, axis),
}


def _slice(x: Any, starts: Any, sizes: Any, steps: Any) -> Any:
    for axis, (start, size, step) in enumerate(zip(starts, sizes, steps, strict=True)):
        x = np.take(x, [start + i * step for i in range(size)], axis)
    return x


def _unslice(x: Any, shape: Any, starts: Any, steps: Any) -> Any:
    out = np.zeros(shape)
    for spot in np.ndindex(*x.shape):
        out[tuple(a + i * s for a, i, s in zip(starts, spot, steps, strict=True))] = x[spot]
    return out


def _take(x: Any, index: Any, axis: int) -> Any:
    lead = (slice(None),) * axis
    return x[(*lead, index)]


def _add_rows(x: Any, index: Any, axis: int, size: int) -> Any:
    out = np.zeros((*x.shape[:axis], size, *x.shape[axis + index.ndim :]))
    for spot in np.ndindex(*index.shape):
        lead = (slice(None),) * axis
        out[(*lead, index[spot])] += x[(*lead, *spot)]
    return out


def _add_along(x: Any, index: Any, axis: int, shape: Any) -> Any:
    out = np.zeros(shape)
    for spot in np.ndindex(*index.shape):
        target = list(spot)
        target[axis] = index[spot]
        out[tuple(target)] += x[spot]
    return out


def _gather(x: Any, index: Any, axis: int) -> Any:
    out = np.zeros(index.shape)
    for spot in np.ndindex(*index.shape):
        source = list(spot)
        source[axis] = index[spot]
        out[spot] = x[tuple(source)]
    return out


def _scatter(x: Any, index: Any, source: Any, axis: int, how: Oracle | None = None) -> Any:
    out = x.copy()
    for spot in np.ndindex(*index.shape):
        target = list(spot)
        target[axis] = index[spot]
        place = tuple(target)
        out[place] = source[spot] if how is None else how(out[place], source[spot])
    return out


def _combine(x: Any, index: Any, source: Any, axis: int, how: str) -> Any:
    found = {"amax": max, "amin": min, "prod": lambda a, b: a * b}[how]
    return _scatter(x, index, source, axis, found)


MOVEMENT: dict[str, Oracle] = {
    "reshape": lambda x, shape: np.array(x.ravel().tolist()).reshape(shape),
    "transpose": lambda x, axes: np.moveaxis(x, axes, range(x.ndim)),
    "expand": lambda x, shape: x + np.zeros(shape),
    "slice": _slice,
    "unslice": _unslice,
    "cat": lambda *xs, axis: np.array(np.split(np.hstack([x.swapaxes(1, axis) for x in xs]), 1)[0]),
    "full": lambda shape, value, dtype: np.zeros(shape, dtype) + value,
    "arange": lambda start, step, size, dtype: np.array([start + i * step for i in range(size)]),
    "take": _take,
    "add_rows": _add_rows,
    "gather": _gather,
    "add_along": _add_along,
    "scatter": _scatter,
    "scatter_combine": _combine,
    "one_hot": lambda index, classes, dtype: np.eye(classes)[index],
    "embedding": lambda weight, index, padding_idx: weight[index],
    "matmul": lambda a, b: np.einsum("...ij,...jk->...ik", a, b),
    "linear": lambda x, w, b=0: np.einsum("...i,oi->...o", x, w) + b,
}


def _cross_entropy(
    x: Any, target: Any, weight: Any = None, *, smoothing: float, ignore_index: int
) -> Any:
    classes = x.shape[1]
    scale = np.ones(classes) if weight is None else weight
    logs = np.moveaxis(special.log_softmax(x, axis=1), 1, -1)
    out = np.zeros(target.shape)
    for spot in np.ndindex(*target.shape):
        if target[spot] != ignore_index:
            share = np.full(classes, smoothing / classes)
            share[target[spot]] += 1 - smoothing
            out[spot] = -(share * scale * logs[spot]).sum()
    return out


def _cross_entropy_grad(g: Any, x: Any, target: Any, weight: Any = None, **attrs: Any) -> Any:
    out = np.zeros(x.shape)
    for spot in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[spot] += 1e-6
        down[spot] -= 1e-6
        rise = _cross_entropy(up, target, weight, **attrs)
        out[spot] = (g * (rise - _cross_entropy(down, target, weight, **attrs))).sum() / 2e-6
    return out


ORACLES = UNARY | BINARY | REDUCTIONS | MOVEMENT | IMAGES
ORACLES |= {"cross_entropy": _cross_entropy, "cross_entropy_grad": _cross_entropy_grad}
ORACLES |= RECURRENT
ORACLES |= ATTENTION
