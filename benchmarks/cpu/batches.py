"""The batches of every model: as NumPy arrays, the same for all peers, taken in turns."""

from __future__ import annotations

import numpy as np

from benchmarks.cpu import weights
from benchmarks.cpu.rows import Row

COUNT = 8
Batch = dict[str, np.ndarray]


def batches(row: Row) -> list[Batch]:
    """Inputs by name, and in training what is to be learned as "y"."""
    draw = np.random.default_rng(3)
    found = [batch(row.model, row.batch, draw) for _ in range(COUNT)]
    if not row.trains:
        for one in found:
            del one["y"]
    return found


def batch(model: str, size: int, draw: np.random.Generator) -> Batch:
    if model == "tabular":
        categories = [draw.integers(0, rows, size) for rows in weights.CARDINALITIES]
        numbers = draw.standard_normal((size, weights.NUMBERS), np.float32)
        return {"c": np.stack(categories, 1), "x": numbers, "y": draw.integers(0, 2, size)}
    if model == "factors":
        users, items = draw.integers(0, weights.USERS, size), draw.integers(0, weights.ITEMS, size)
        return {"u": users, "i": items, "y": draw.uniform(1, 5, size).astype(np.float32)}
    if model in LANGUAGES:
        sizes = LANGUAGES[model]
        words = draw.integers(0, sizes.words, (size, sizes.length + 1))
        following = words[:, 1:] if model == "gpt" else draw.integers(0, weights.CLASSES, size)
        return {"x": words[:, :-1].copy(), "y": following.copy()}
    x = draw.standard_normal((size, *INPUTS[model]), np.float32)
    return {"x": x, "y": draw.integers(0, weights.CLASSES, size)}


LANGUAGES = {"transformer": weights.TRANSFORMER, "gpt": weights.GPT}
INPUTS: dict[str, tuple[int, ...]] = {
    "mlp_small": (64,),
    "mlp_large": (784,),
    "cnn": (3, 32, 32),
    "resnet18": (3, 32, 32),
    "lstm": (50, weights.LSTM[0]),
    "audio": (1, 8000),
}
