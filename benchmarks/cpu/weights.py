"""The initial weights of every model, by name, in PyTorch's layouts; all peers copy them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import pairwise
from math import prod, sqrt

import numpy as np

Shapes = Iterator[tuple[str, tuple[int, ...], float]]
Arrays = dict[str, np.ndarray]

#: Rows of the tables of the tabular model; their width, and how many plain numbers stand beside.
CARDINALITIES = (10, 50, 100, 200, 500, 1000, 2000, 5000)
WIDTH, NUMBERS = 16, 8
USERS, ITEMS, FACTORS = 10_000, 5_000, 64
#: Width and stride of the blocks of ResNet-18.
STAGES = ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))
#: Width, kernel, stride and padding of the convolutions of the audio net.
AUDIO = ((32, 80, 4, 38), (32, 3, 1, 1), (64, 3, 1, 1), (64, 3, 1, 1))
#: Features of a step and width of the recurrent model.
LSTM = (64, 128)
CLASSES = 10


class Language:
    """Sizes of a model over tokens."""

    def __init__(self, words: int, length: int, width: int, heads: int, layers: int) -> None:
        self.words, self.length, self.width = words, length, width
        self.heads, self.layers = heads, layers


TRANSFORMER = Language(words=1000, length=64, width=128, heads=4, layers=2)
GPT = Language(words=256, length=128, width=192, heads=6, layers=6)


def initial(model: str) -> Arrays:
    """The weights a model begins with: uniform within ± their bound, or ones where it is 0."""
    found = {}
    for name, shape, bound in MODELS[model]():
        draw = np.random.default_rng([7, zlib.crc32(name.encode())])
        values = draw.uniform(-bound, bound, shape) if bound else np.ones(shape)
        found[name] = values.astype(np.float32)
    return found


def mlp(*sizes: int, prefix: str = "") -> Shapes:
    for layer, (inner, outer) in enumerate(pairwise(sizes)):
        yield from linear(f"{prefix}{2 * layer}", inner, outer)


def tabular() -> Shapes:
    for table, rows in enumerate(CARDINALITIES):
        yield f"tables.{table}.weight", (rows, WIDTH), 1.0
    yield from mlp(len(CARDINALITIES) * WIDTH + NUMBERS, 256, 256, 2, prefix="body.")


def cnn() -> Shapes:
    yield from convolution("body.0", 3, 32, 3, 3)
    yield from norm("body.1", 32)
    yield from convolution("body.4", 32, 64, 3, 3)
    yield from norm("body.5", 64)
    yield from linear("head", 64 * 8 * 8, CLASSES)


def resnet18() -> Shapes:
    yield from convolution("stem.0", 3, 64, 3, 3, bias=False)
    yield from norm("stem.1", 64)
    inner = 64
    for number, (outer, stride) in enumerate(STAGES):
        block = f"blocks.{number}"
        yield from convolution(f"{block}.body.0", inner, outer, 3, 3, bias=False)
        yield from norm(f"{block}.body.1", outer)
        yield from convolution(f"{block}.body.3", outer, outer, 3, 3, bias=False)
        yield from norm(f"{block}.body.4", outer)
        if stride != 1 or inner != outer:
            yield from convolution(f"{block}.short.0", inner, outer, 1, 1, bias=False)
            yield from norm(f"{block}.short.1", outer)
        inner = outer
    yield from linear("head", inner, CLASSES)


def language(sizes: Language, outputs: int) -> Shapes:
    width = sizes.width
    yield "tokens.weight", (sizes.words, width), 0.05
    yield "positions.weight", (sizes.length, width), 0.05
    for number in range(sizes.layers):
        block = f"blocks.{number}"
        yield from norm(f"{block}.norm1", width)
        yield from linear(f"{block}.qkv", width, 3 * width)
        yield from linear(f"{block}.out", width, width)
        yield from norm(f"{block}.norm2", width)
        yield from linear(f"{block}.up", width, 4 * width)
        yield from linear(f"{block}.down", 4 * width, width)
    yield from norm("norm", width)
    yield from linear("head", width, outputs)


def lstm() -> Shapes:
    features, width = LSTM
    bound = 1 / sqrt(width)
    yield "lstm.weight_ih_l0", (4 * width, features), bound
    yield "lstm.weight_hh_l0", (4 * width, width), bound
    yield "lstm.bias_ih_l0", (4 * width,), bound
    yield "lstm.bias_hh_l0", (4 * width,), bound
    yield from linear("head", width, CLASSES)


def factors() -> Shapes:
    for name, rows in (("user", USERS), ("item", ITEMS)):
        yield f"{name}s.weight", (rows, FACTORS), 0.1
        yield f"{name}_bias.weight", (rows, 1), 0.1


def audio() -> Shapes:
    inner = 1
    for number, (outer, kernel, _, _) in enumerate(AUDIO):
        yield from convolution(f"body.{4 * number}", inner, outer, kernel)
        yield from norm(f"body.{4 * number + 1}", outer)
        inner = outer
    yield from linear("head", inner, CLASSES)


def linear(name: str, inner: int, outer: int) -> Shapes:
    yield f"{name}.weight", (outer, inner), 1 / sqrt(inner)
    yield f"{name}.bias", (outer,), 1 / sqrt(inner)


def convolution(name: str, inner: int, outer: int, *kernel: int, bias: bool = True) -> Shapes:
    bound = 1 / sqrt(inner * prod(kernel))
    yield f"{name}.weight", (outer, inner, *kernel), bound
    if bias:
        yield f"{name}.bias", (outer,), bound


def norm(name: str, width: int) -> Shapes:
    yield f"{name}.weight", (width,), 0.0
    yield f"{name}.bias", (width,), 0.1


MODELS = {
    "mlp_small": lambda: mlp(64, 128, 128, CLASSES),
    "mlp_large": lambda: mlp(784, 512, 512, CLASSES),
    "tabular": tabular,
    "cnn": cnn,
    "resnet18": resnet18,
    "transformer": lambda: language(TRANSFORMER, CLASSES),
    "gpt": lambda: language(GPT, GPT.words),
    "lstm": lstm,
    "factors": factors,
    "audio": audio,
}
