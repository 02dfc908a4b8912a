"""JAX's side: the models as functions of their weights, with the names of weights.py.

Linear weights are kept as [in, out] and, with channels last, convolutions as [*kernel, in, out],
which XLA multiplies fastest; `arranged` brings them there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from benchmarks.cpu import weights

Arrays = dict[str, Any]
EPS, MOMENTUM = 1e-5, 0.1
TABLES = ("tokens.", "positions.", "tables.", "user", "item")


@dataclass
class Run:
    """One evaluation: weights `p`, running statistics `held`, which in training move to `fresh`."""

    p: Arrays
    held: Arrays
    last: bool
    training: bool

    def __post_init__(self) -> None:
        self.fresh: Arrays = {}

    def linear(self, name: str, x: Array) -> Array:
        return x @ self.p[f"{name}.weight"] + self.p[f"{name}.bias"]

    def conv(self, name: str, x: Array, stride: int, padding: int) -> Array:
        size = "HW"[: x.ndim - 2]
        data, kernel = (f"N{size}C", f"{size}IO") if self.last else (f"NC{size}", f"OI{size}")
        around = [(padding, padding)] * len(size)
        w = self.p[f"{name}.weight"]
        y = lax.conv_general_dilated(
            x, w, [stride] * len(size), around, dimension_numbers=(data, kernel, data)
        )
        bias = self.p.get(f"{name}.bias")
        return y if bias is None else y + self._channels(bias, y)

    def batch_norm(self, name: str, x: Array) -> Array:
        axes = (0, *range(1, x.ndim - 1)) if self.last else (0, *range(2, x.ndim))
        mean, variance = self.held[f"{name}.mean"], self.held[f"{name}.var"]
        if self.training:
            count = x.size // mean.size
            fresh_mean, fresh_var = jnp.mean(x, axes), jnp.var(x, axes)
            unbiased = fresh_var * (count / (count - 1))
            self.fresh[f"{name}.mean"] = mean + MOMENTUM * (fresh_mean - mean)
            self.fresh[f"{name}.var"] = variance + MOMENTUM * (unbiased - variance)
            mean, variance = fresh_mean, fresh_var
        scale = self.p[f"{name}.weight"] * lax.rsqrt(variance + EPS)
        shift = self.p[f"{name}.bias"] - mean * scale
        return x * self._channels(scale, x) + self._channels(shift, x)

    def layer_norm(self, name: str, x: Array) -> Array:
        mean = jnp.mean(x, -1, keepdims=True)
        variance = jnp.var(x, -1, keepdims=True)
        y = (x - mean) * lax.rsqrt(variance + EPS)
        return y * self.p[f"{name}.weight"] + self.p[f"{name}.bias"]

    def max_pool(self, x: Array, size: int) -> Array:
        """Windows that do not overlap: cut to whole ones, split each axis, take the largest."""
        first = 1 if self.last else 2
        shape: list[int] = list(x.shape[:first])
        axes = []
        for axis in range(first, first + x.ndim - 2):
            x = lax.slice_in_dim(x, 0, x.shape[axis] // size * size, axis=axis)
            shape += [x.shape[axis] // size, size]
            axes.append(len(shape) - 1)
        return jnp.max(x.reshape(*shape, *x.shape[first + x.ndim - 2 :]), axes)

    def average(self, x: Array) -> Array:
        axes = range(1, x.ndim - 1) if self.last else range(2, x.ndim)
        return jnp.mean(x, tuple(axes))

    def _channels(self, vector: Array, x: Array) -> Array:
        return vector if self.last else vector.reshape(-1, *[1] * (x.ndim - 2))


def mlp(run: Run, x: Array, prefix: str = "") -> Array:
    layers = sum(key.startswith(prefix) and key.endswith(".bias") for key in run.p)
    for layer in range(layers):
        x = run.linear(f"{prefix}{2 * layer}", x)
        x = jax.nn.relu(x) if layer < layers - 1 else x
    return x


def tabular(run: Run, categories: Array, numbers: Array) -> Array:
    tables = range(len(weights.CARDINALITIES))
    found = [run.p[f"tables.{n}.weight"][categories[:, n]] for n in tables]
    return mlp(run, jnp.concatenate([*found, numbers], 1), "body.")


def cnn(run: Run, x: Array) -> Array:
    for conv, norm in (("body.0", "body.1"), ("body.4", "body.5")):
        x = jax.nn.relu(run.batch_norm(norm, run.conv(conv, x, 1, 1)))
        x = run.max_pool(x, 2)
    return run.linear("head", x.reshape(x.shape[0], -1))


def resnet18(run: Run, x: Array) -> Array:
    x = jax.nn.relu(run.batch_norm("stem.1", run.conv("stem.0", x, 1, 1)))
    for number, (_, stride) in enumerate(weights.STAGES):
        block = f"blocks.{number}"
        y = run.batch_norm(f"{block}.body.1", run.conv(f"{block}.body.0", x, stride, 1))
        y = run.conv(f"{block}.body.3", jax.nn.relu(y), 1, 1)
        y = run.batch_norm(f"{block}.body.4", y)
        if f"{block}.short.0.weight" in run.p:
            x = run.batch_norm(f"{block}.short.1", run.conv(f"{block}.short.0", x, stride, 0))
        x = jax.nn.relu(x + y)
    return run.linear("head", run.average(x))


def audio(run: Run, x: Array) -> Array:
    for number, (_, _, stride, padding) in enumerate(weights.AUDIO):
        x = run.conv(f"body.{4 * number}", x, stride, padding)
        x = run.max_pool(jax.nn.relu(run.batch_norm(f"body.{4 * number + 1}", x)), 4)
    return run.linear("head", run.average(x))


def language(run: Run, words: Array, sizes: weights.Language, causal: bool) -> Array:
    x = run.p["tokens.weight"][words] + run.p["positions.weight"]
    for number in range(sizes.layers):
        block = f"blocks.{number}"
        normed = run.layer_norm(f"{block}.norm1", x)
        mixed = attention(run.linear(f"{block}.qkv", normed), sizes.heads, causal)
        x = x + run.linear(f"{block}.out", mixed)
        wide = run.linear(f"{block}.up", run.layer_norm(f"{block}.norm2", x))
        x = x + run.linear(f"{block}.down", jax.nn.gelu(wide, approximate=False))
    x = run.layer_norm("norm", x)
    return run.linear("head", x if causal else jnp.mean(x, 1))


def attention(qkv: Array, heads: int, causal: bool) -> Array:
    batch, length, width = qkv.shape
    size = width // 3 // heads
    q, k, v = jnp.moveaxis(qkv.reshape(batch, length, 3, heads, size), 2, 0)
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * size**-0.5
    if causal:
        scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -jnp.inf)
    shares = jax.nn.softmax(scores, -1)
    return jnp.einsum("bhqk,bkhd->bqhd", shares, v).reshape(batch, length, -1)


def lstm(run: Run, x: Array) -> Array:
    p, width = run.p, weights.LSTM[1]
    inner = x @ p["lstm.weight_ih_l0"] + (p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"])
    start = jnp.zeros((x.shape[0], width), x.dtype)

    def step(state: tuple[Array, Array], given: Array) -> tuple[tuple[Array, Array], None]:
        hidden, cell = state
        i, f, g, o = jnp.split(given + hidden @ p["lstm.weight_hh_l0"], 4, -1)
        cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(cell), cell), None

    (hidden, _), _ = lax.scan(step, (start, start), jnp.swapaxes(inner, 0, 1))
    return run.linear("head", hidden)


def factors(run: Run, users: Array, items: Array) -> Array:
    p = run.p
    product = jnp.sum(p["users.weight"][users] * p["items.weight"][items], 1)
    return product + p["user_bias.weight"][users, 0] + p["item_bias.weight"][items, 0]


def arranged(model: str, last: bool) -> tuple[Arrays, Arrays]:
    """The weights that all peers begin with, in the layouts used here, and running statistics."""
    given = weights.initial(model)
    if model == "cnn" and last:
        head = given["head.weight"].reshape(weights.CLASSES, 64, 8, 8)
        given["head.weight"] = head.transpose(0, 2, 3, 1).reshape(weights.CLASSES, -1)
    held: Arrays = {}
    for name, array in given.items():
        if array.ndim > 2 and last:
            given[name] = np.moveaxis(array, (0, 1), (-1, -2))
        elif array.ndim == 2 and not name.startswith(TABLES):
            given[name] = array.T
    for name, array in given.items():
        owner = name.rpartition(".")[0]
        if array.ndim == 1 and name.endswith(".weight") and model in NORMED:
            held[f"{owner}.mean"], held[f"{owner}.var"] = np.zeros_like(array), np.ones_like(array)
    made = jax.tree.map(lambda a: jnp.array(np.ascontiguousarray(a)), (given, held))
    return made[0], made[1]


#: The models with batch norm.
NORMED = ("cnn", "resnet18", "audio")
MODELS: dict[str, Callable[..., Array]] = {
    "mlp_small": mlp,
    "mlp_large": mlp,
    "tabular": tabular,
    "cnn": cnn,
    "resnet18": resnet18,
    "transformer": lambda run, x: language(run, x, weights.TRANSFORMER, False),
    "gpt": lambda run, x: language(run, x, weights.GPT, True),
    "lstm": lstm,
    "factors": factors,
    "audio": audio,
}
