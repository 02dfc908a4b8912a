"""Small models with their losses and batches, for tests of whole steps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import engine
from engine import nn
from engine.tensor import Tensor

Batch = dict[str, np.ndarray]
CROSS_ENTROPY = nn.CrossEntropyLoss()


@dataclass(frozen=True)
class Case:
    """build: a new model. batch: (size, seed) -> arrays."""

    build: Callable[[], nn.Module]
    loss: Callable[[Any, Any], Any]
    batch: Callable[[int, int], Batch]


def classify(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    scores = model(batch["x"])
    right = (scores.argmax(-1) == batch["y"]).to("float32")
    return CROSS_ENTROPY(scores, batch["y"]), {"accuracy": right.mean(), "right": right}


def regress(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return (model(batch["x"]) - batch["y"]).square().mean()


def _classes(shape: tuple[int, ...], classes: int) -> Callable[[int, int], Batch]:
    def batch(size: int, seed: int) -> Batch:
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((size, *shape)).astype("float32")
        return {"x": x, "y": rng.integers(0, classes, size)}

    return batch


def _mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(12, 16),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Linear(16, 16),
        nn.GELU(),
        nn.Linear(16, 5),
    )


def _convnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.2),
        nn.Conv2d(4, 6, 3, padding="same"),
        nn.BatchNorm2d(6, momentum=None),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 4 * 4, 5),
    )


class _Residual(nn.Module):
    """Weights used twice, a view of one, and a layer norm."""

    def __init__(self) -> None:
        self.inner = nn.Linear(6, 6, bias=False)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.norm(self.inner(x)).tanh()
        return self.head(x @ self.inner.weight.transpose(0, 1) * 0.5 + x)


def _targets(size: int, seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((size, 6)).astype("float32")
    return {"x": x, "y": np.sin(x.sum(1, keepdims=True)).astype("float32")}


class _Words(nn.Module):
    def __init__(self) -> None:
        self.table = nn.Embedding(11, 8)
        self.first = nn.Linear(8, 8)
        self.last = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.table(x)
        weights = engine.softmax(rows @ rows.transpose(1, 2), -1)
        return self.last(self.first(weights @ rows).relu().mean(1))


def _sentences(size: int, seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    return {"x": rng.integers(0, 11, (size, 7)), "y": rng.integers(0, 5, size)}


CASES = {
    "mlp": Case(_mlp, classify, _classes((12,), 5)),
    "convnet": Case(_convnet, classify, _classes((1, 8, 8), 5)),
    "residual": Case(_Residual, regress, _targets),
    "words": Case(_Words, classify, _sentences),
}
