"""Which rows are trained on, validated on and tested on.

Rows are dealt out by a keyed hash of (seed, row), so the same seed and number of rows give the same
parts on every machine, whatever the version of NumPy.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spec.data.config import ColumnSplit, FractionSplit

PARTS = ("train", "validation", "test")
Rows = NDArray[np.int64]


def keys(rows: Rows, seed: int) -> NDArray[np.uint64]:
    """A hash of (seed, row) for every row, by splitmix64 (Steele, Lea and Flood, 2014)."""
    return _mix(_mix(np.asarray([seed], np.uint64)) ^ _mix(rows.astype(np.uint64)))


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = state + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def sizes(rows: int, validation: float, test: float) -> tuple[int, int, int]:
    """How many rows each part gets; training gets what rounding leaves."""
    held = int(rows * validation + 0.5), int(rows * test + 0.5)
    return rows - sum(held), *held


def deal(
    rows: Rows, validation: float, test: float, *, seed: int, classes: NDArray[Any] | None = None
) -> dict[str, Rows]:
    """Rows dealt out by shares; with the class of each row, every part gets its share of each.

    The rows of a class stand at (rank + 1/2) / (size of the class) in the random order of that
    class; all rows are cut in the order of those places. So the parts have exactly the sizes of
    `sizes`, and every class has its share of each part, to within a row and what the rounding of
    the other classes leaves. A class of one row goes where the middle is: mostly to training.
    """
    order = np.argsort(keys(rows, seed), kind="stable")
    if classes is not None:
        order = order[np.argsort(_places(classes[order]), kind="stable")]
    train, held, _ = sizes(len(rows), validation, test)
    parts = np.split(rows[order], [train, train + held])
    return {name: np.sort(part) for name, part in zip(PARTS, parts, strict=True)}


def _places(classes: NDArray[Any]) -> NDArray[np.float64]:
    """(rank + 1/2) / size for each row within its class."""
    _, inverse, counts = np.unique(classes, return_inverse=True, return_counts=True)
    by_class = np.argsort(inverse, kind="stable")
    starts = np.cumsum(counts) - counts
    ranks = np.empty(len(classes), np.int64)
    ranks[by_class] = np.arange(len(classes)) - np.repeat(starts, counts)
    return np.asarray((ranks + 0.5) / counts[inverse], np.float64)


def fractions(split: FractionSplit | ColumnSplit) -> tuple[float, float]:
    """Shares of validation and test among the rows that are dealt out at random."""
    if isinstance(split, FractionSplit):
        return split.validation, split.test
    return tuple(  # type: ignore[return-value]
        part if isinstance(part, float) else 0.0 for part in (split.validation, split.test)
    )


def assign(
    rows: Rows,
    split: FractionSplit | ColumnSplit,
    *,
    seed: int,
    named: dict[str, Rows] | None = None,
    classes: NDArray[Any] | None = None,
) -> dict[str, Rows]:
    """The rows of each part.

    `named` holds the rows that the values of a column give to each part; `classes` the class of
    every row of the dataset, where the split is stratified.
    """
    pool = rows if named is None else named["train"]
    strata = classes[pool] if classes is not None and split.stratify else None
    own = split.seed if split.seed is not None else seed
    parts = deal(pool, *fractions(split), seed=own, classes=strata)
    if named is not None:
        for part in ("validation", "test"):
            if len(named[part]):
                parts[part] = named[part]
    return parts
