"""PyTorch's side: the models, with the names of weights.py."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.cpu import weights


def filled(name: str) -> nn.Module:
    """The model with the weights that all peers begin with."""
    model = MODELS[name]()
    given = {key: torch.from_numpy(array) for key, array in weights.initial(name).items()}
    buffers = {key for key, _ in model.named_buffers()}
    found = model.load_state_dict(given, strict=False)
    if found.unexpected_keys or set(found.missing_keys) - buffers:
        raise KeyError(f"{name}: the model and weights.py do not agree: {found}")
    return model


def mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inner, outer in pairwise(sizes):
        layers += [nn.Linear(inner, outer), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Tabular(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        rows = weights.CARDINALITIES
        self.tables = nn.ModuleList(nn.Embedding(n, weights.WIDTH) for n in rows)
        self.body = mlp(len(rows) * weights.WIDTH + weights.NUMBERS, 256, 256, 2)

    def forward(self, categories: Tensor, numbers: Tensor) -> Tensor:
        found = [table(categories[:, n]) for n, table in enumerate(self.tables)]
        return self.body(torch.cat([*found, numbers], 1))


class Headed(nn.Module):
    def __init__(self, body: nn.Module, width: int) -> None:
        super().__init__()
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
    return Headed(nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten()), inner)


class Residual(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inner, outer, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outer),
            nn.ReLU(),
            nn.Conv2d(outer, outer, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outer),
        )
        same = stride == 1 and inner == outer
        self.short = nn.Identity() if same else shortcut(inner, outer, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.short(x))


def shortcut(inner: int, outer: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))


class ResNet18(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()
        )
        inner, blocks = 64, []
        for outer, stride in weights.STAGES:
            blocks.append(Residual(inner, outer, stride))
            inner = outer
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(inner, weights.CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        found = F.adaptive_avg_pool2d(self.blocks(self.stem(x)), 1)
        return self.head(found.flatten(1))


class Block(nn.Module):
    def __init__(self, sizes: weights.Language, causal: bool) -> None:
        super().__init__()
        width = sizes.width
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads, self.causal = sizes.heads, causal

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))

    def attend(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class LanguageModel(nn.Module):
    def __init__(self, sizes: weights.Language, outputs: int, causal: bool) -> None:
        super().__init__()
        self.tokens = nn.Embedding(sizes.words, sizes.width)
        self.positions = nn.Embedding(sizes.length, sizes.width)
        self.blocks = nn.Sequential(*(Block(sizes, causal) for _ in range(sizes.layers)))
        self.norm, self.head = nn.LayerNorm(sizes.width), nn.Linear(sizes.width, outputs)
        self.causal = causal

    def forward(self, words: Tensor) -> Tensor:
        x = self.norm(self.blocks(self.tokens(words) + self.positions.weight))
        return self.head(x if self.causal else x.mean(1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        features, width = weights.LSTM
        self.lstm = nn.LSTM(features, width, batch_first=True)
        self.head = nn.Linear(width, weights.CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        outputs, _ = self.lstm(x)
        return self.head(outputs[:, -1])


class Factors(nn.Module):
    def __init__(self) -> None:
        super().__init__()
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
