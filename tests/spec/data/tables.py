"""Tables in memory and specs for them."""

from typing import Any

import numpy as np

from spec.data.config import DataSpec
from spec.data.tables import Arrays, Column, FileRows, Table, narrow, numbers, texts


def column(values: Any) -> Column:
    """A column from Python values (None is missing) or an array."""
    if isinstance(values, np.ndarray):
        return Arrays(values) if values.ndim > 1 else numbers(narrow(values))
    if any(isinstance(value, str) for value in values):
        words = list(dict.fromkeys(value for value in values if value is not None))
        codes = [-1 if value is None else words.index(value) for value in values]
        return texts(words, np.array(codes))
    absent = np.array([value is None for value in values])
    filled = np.array([0 if value is None else value for value in values])
    return numbers(narrow(filled), absent if absent.any() else None)


def table(**columns: Any) -> Table:
    found = {name: column(values) for name, values in columns.items()}
    return Table(found, [FileRows("data.csv", len(next(iter(found.values()))))], "csv")


def data_spec(**parts: Any) -> DataSpec:
    """A spec with one number input x and a category target y unless said otherwise."""
    document: dict[str, Any] = {
        "dataset": "things",
        "inputs": {"x": {"type": "number"}},
        "target": {"type": "category", "column": "y"},
        "split": {"train": 1.0},
    }
    return DataSpec.model_validate(document | parts)


def people(rows: int = 240, seed: int = 0) -> Table:
    """Numbers with gaps, categories with gaps, an image, a fold and two targets."""
    draw = np.random.default_rng(seed)
    gap = draw.random(rows) < 0.1
    age = [
        None if gone else int(n) for gone, n in zip(gap, draw.integers(18, 90, rows), strict=True)
    ]
    jobs = ["baker", "clerk", "miner", "nurse", None]
    return table(
        age=age,
        pay=draw.normal(3000, 500, rows),
        big=draw.integers(-(10**6), 10**6, rows),
        yes=draw.random(rows) < 0.5,
        job=[jobs[n] for n in draw.integers(0, 5, rows)],
        town=[["Rome", "Oslo", "Bonn"][n] for n in draw.integers(0, 3, rows)],
        level=draw.integers(1, 6, rows),
        vector=draw.normal(size=(rows, 3)).astype(np.float32),
        photo=draw.integers(0, 256, (rows, 4, 5, 3)).astype(np.uint8),
        fold=draw.integers(0, 10, rows),
        label=[["no", "yes", "maybe"][n] for n in draw.integers(0, 3, rows)],
        price=draw.gamma(2.0, 100.0, rows),
    )


EVERYTHING: dict[str, Any] = {
    "inputs": {
        "age": {"type": "number", "missing": "median"},
        "sizes": {"type": "number", "columns": ["pay", "big", "yes"], "normalize": "robust"},
        "vector": {"type": "number", "normalize": "minmax"},
        "job": {"type": "category", "embedding": 4},
        "town": {"type": "category", "missing": "unknown", "one_hot": True},
        "pair": {"type": "category", "columns": ["town", "job"], "limit": 5},
        "level": {"type": "category", "missing": "error"},
        "photo": {"type": "image", "normalize": "standard"},
    },
    "target": {"type": "category", "column": "label"},
    "split": {"train": 0.7, "validation": 0.2, "test": 0.1, "stratify": True},
}
