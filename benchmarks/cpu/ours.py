"""Our side: models of `engine.nn`, run by `TrainStep` and `Inference`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

import engine
from benchmarks.cpu import weights
from benchmarks.cpu.batches import batches
from benchmarks.cpu.program import Program
from benchmarks.cpu.rows import BETAS, EPS, Row
from engine import Tensor, nn
from engine.backend.cpu import toolchain
from engine.compile import Inference, TrainStep
from engine.optim import SGD, Adam, AdamW
from engine.optim.optimizer import Optimizer


def program(row: Row, variant: str, threads: int) -> Program:
    return training(row, threads) if row.trains else inference(row, threads)


def training(row: Row, threads: int) -> Program:
    model, given, lr = filled(row.model), batches(row), row.options["lr"]
    loss = mean_squared if row.model == "factors" else classify
    step = TrainStep(model, loss, optimizer(row, model), threads=threads)
    count = len(given)

    def call(n: int) -> Any:
        return step(given[n % count], step=n, lr=lr)["loss"]

    return Program(call, np.asarray, backend=lambda: step.backend, start=start)


def inference(row: Row, threads: int) -> Program:
    model, given = filled(row.model), [one["x"] for one in batches(row)]
    predict = Inference(model, threads=threads)
    count = len(given)
    return Program(
        lambda n: predict(given[n % count]),
        np.asarray,
        backend=lambda: predict.backend,
        start=start,
    )


def start() -> None:
    """Find the compiler and start the threads, once a process, with the least of programs.

    Compile what all programs share, once a machine.
    """
    Inference(nn.ReLU())(np.zeros(1, np.float32))
    chain = toolchain.find()
    if chain is not None:
        toolchain.prepare(chain)


def optimizer(row: Row, model: nn.Module) -> Optimizer:
    named = list(model.named_parameters())
    decay = row.options["weight_decay"]
    if row.optimizer == "sgd":
        return SGD(named, momentum=row.options["momentum"], weight_decay=decay)
    kind = AdamW if row.optimizer == "adamw" else Adam
    return kind(named, betas=BETAS, eps=EPS, weight_decay=decay)


def classify(model: nn.Module, batch: Any) -> Tensor:
    scores = model(*(batch[name] for name in sorted(batch) if name != "y"))
    return engine.cross_entropy(scores.reshape(-1, scores.shape[-1]), batch["y"].reshape(-1))


def mean_squared(model: nn.Module, batch: Any) -> Tensor:
    return engine.mse_loss(model(batch["u"], batch["i"]), batch["y"])


def filled(name: str) -> nn.Module:
    """The model with the weights that all peers begin with."""
    model, given = MODELS[name](), weights.initial(name)
    missing = {key for key, _ in model.named_parameters()} ^ given.keys()
    if missing:
        raise KeyError(f"{name}: the model and weights.py do not agree on {sorted(missing)}")
    model.init(seed=0).load_state_dict(given, strict=False)
    return model


def mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inner, outer in pairwise(sizes):
        layers += [nn.Linear(inner, outer), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Tabular(nn.Module):
    def __init__(self) -> None:
        rows = weights.CARDINALITIES
        self.tables = nn.ModuleList(nn.Embedding(n, weights.WIDTH) for n in rows)
        self.body = mlp(len(rows) * weights.WIDTH + weights.NUMBERS, 256, 256, 2)

    def forward(self, categories: Tensor, numbers: Tensor) -> Tensor:
        found = [table(categories[:, n]) for n, table in enumerate(self.tables)]
        return self.body(engine.cat([*found, numbers], 1))


class Headed(nn.Module):
    """A body, and a linear classifier on it."""

    def __init__(self, body: nn.Module, width: int) -> None:
        self.body, self.head = body, nn.Linear(width, weights.CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def cnn() -> nn.Module:
    layers: list[nn.Module] = []
    for inner, outer in ((3, 32), (32, 64)):
        layers += [nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer)]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    return Headed(nn.Sequential(*layers, nn.Flatten()), 64 * 8 * 8)


def audio() -> nn.Module:
    layers: list[nn.Module] = []
    inner = 1
    for outer, kernel, stride, padding in weights.AUDIO:
        layers += [nn.Conv1d(inner, outer, kernel, stride, padding), nn.BatchNorm1d(outer)]
        layers += [nn.ReLU(), nn.MaxPool1d(4)]
        inner = outer
    return Headed(nn.Sequential(*layers, nn.GlobalAvgPool()), inner)


class Residual(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int) -> None:
        self.body = nn.Sequential(
            nn.Conv2d(inner, outer, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outer),
            nn.ReLU(),
            nn.Conv2d(outer, outer, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outer),
        )
        same = stride == 1 and inner == outer
        self.short = None if same else shortcut(inner, outer, stride)

    def forward(self, x: Tensor) -> Tensor:
        return (self.body(x) + (x if self.short is None else self.short(x))).relu()


def shortcut(inner: int, outer: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))


class ResNet18(nn.Module):
    def __init__(self) -> None:
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()
        )
        inner, blocks = 64, []
        for outer, stride in weights.STAGES:
            blocks.append(Residual(inner, outer, stride))
            inner = outer
        self.blocks = nn.Sequential(*blocks)
        self.pool, self.head = nn.GlobalAvgPool(), nn.Linear(inner, weights.CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.blocks(self.stem(x))))


class Block(nn.Module):
    """A transformer block, normalised before attention and before the perceptron."""

    def __init__(self, sizes: weights.Language, causal: bool) -> None:
        width = sizes.width
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads, self.causal = sizes.heads, causal

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.down(engine.gelu(self.up(self.norm2(x))))

    def attend(self, x: Tensor) -> Tensor:
        return self.out(engine.self_attention(self.qkv(x), self.heads, causal=self.causal))


class LanguageModel(nn.Module):
    """Words to scores: of the next word at each place if causal, else of the whole text."""

    def __init__(self, sizes: weights.Language, outputs: int, causal: bool) -> None:
        self.tokens = nn.Embedding(sizes.words, sizes.width)
        self.positions = nn.Embedding(sizes.length, sizes.width)
        self.blocks = nn.Sequential(*(Block(sizes, causal) for _ in range(sizes.layers)))
        self.norm, self.head = nn.LayerNorm(sizes.width), nn.Linear(sizes.width, outputs)
        self.causal = causal

    def forward(self, words: Tensor) -> Tensor:
        x = self.norm(self.blocks(self.tokens(words) + self.positions.weight))
        return self.head(x if self.causal else engine.mean(x, 1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        features, width = weights.LSTM
        self.lstm = nn.LSTM(features, width, batch_first=True)
        self.head = nn.Linear(width, weights.CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        outputs, _ = self.lstm(x)
        return self.head(outputs[:, -1])


class Factors(nn.Module):
    """Rating = user · item + bias of the user + bias of the item."""

    def __init__(self) -> None:
        self.users = nn.Embedding(weights.USERS, weights.FACTORS)
        self.items = nn.Embedding(weights.ITEMS, weights.FACTORS)
        self.user_bias = nn.Embedding(weights.USERS, 1)
        self.item_bias = nn.Embedding(weights.ITEMS, 1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        product = (self.users(users) * self.items(items)).sum(1)
        return product + self.user_bias(users)[:, 0] + self.item_bias(items)[:, 0]


MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp_small": lambda: mlp(64, 128, 128, weights.CLASSES),
    "mlp_large": lambda: mlp(784, 512, 512, weights.CLASSES),
    "tabular": Tabular,
    "cnn": cnn,
    "resnet18": ResNet18,
    "transformer": lambda: LanguageModel(weights.TRANSFORMER, weights.CLASSES, causal=False),
    "gpt": lambda: LanguageModel(weights.GPT, weights.GPT.words, causal=True),
    "lstm": Recurrent,
    "factors": Factors,
    "audio": audio,
}
