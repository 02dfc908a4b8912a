"""Datasets: what a loader asks for rows by index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from engine.errors import AxisError, ShapeError

Batch = dict[str, np.ndarray]


class Dataset(Protocol):
    """Anything with a length that can gather rows. Loaders call `gather` from several threads."""

    def __len__(self) -> int: ...

    def gather(self, indices: np.ndarray) -> Batch:
        """The rows at `indices`, in that order, one array for each name."""
        ...


class ArrayDataset:
    """Rows of arrays held in memory (or mapped from a file): `ArrayDataset({"x": x, "y": y})`."""

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self.arrays = {name: np.asarray(array) for name, array in arrays.items()}
        if not self.arrays:
            raise ShapeError("a dataset needs at least one array")
        lengths = {array.shape[0] if array.ndim else None for array in self.arrays.values()}
        if len(lengths) > 1 or None in lengths:
            told = ", ".join(f"{name}: {list(a.shape)}" for name, a in self.arrays.items())
            raise ShapeError(f"the arrays of a dataset need equally many rows, got {told}")
        self._length = len(next(iter(self.arrays.values())))

    def __len__(self) -> int:
        return self._length

    def gather(self, indices: np.ndarray, *, out: Batch | None = None) -> Batch:
        """The rows at `indices`; with `out`, written into its arrays."""
        rows = np.asarray(indices, np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= self._length):
            raise AxisError(
                f"rows {rows.min()} to {rows.max()} were asked of a dataset of {self._length}"
            )
        if out is None:
            return {name: array[rows] for name, array in self.arrays.items()}
        for name, array in self.arrays.items():  # "clip" is safe now, and needs no second buffer
            np.take(array, rows, axis=0, out=out[name], mode="clip")
        return out

    def subset(self, indices: Any) -> ArrayDataset:
        """A dataset of these rows, copied."""
        return ArrayDataset(self.gather(np.asarray(indices)))

    def __repr__(self) -> str:
        told = ", ".join(f"{n}: {a.dtype.name}{list(a.shape)}" for n, a in self.arrays.items())
        return f"ArrayDataset({told})"


class SampleDataset:
    """Rows made one at a time: `SampleDataset(paths, load)` where `load(path)` gives a row.

    A row is a dictionary of arrays or numbers; `collate` makes one batch of a list of rows.
    """

    def __init__(
        self,
        items: Sequence[Any],
        load: Callable[[Any], Mapping[str, Any]],
        *,
        collate: Callable[[Sequence[Mapping[str, Any]]], Batch] | None = None,
    ) -> None:
        self.items = items
        self.load = load
        self.collate = collate or default_collate

    def __len__(self) -> int:
        return len(self.items)

    def gather(self, indices: np.ndarray) -> Batch:
        return self.collate([self.load(self.items[int(index)]) for index in indices])


def default_collate(rows: Sequence[Mapping[str, Any]]) -> Batch:
    """Stack equal rows by name; ShapeError names the column and the row that does not fit."""
    if not rows:
        raise ShapeError("a batch needs at least one row")
    names = set(rows[0])
    for number, row in enumerate(rows):
        if set(row) != names:
            raise ShapeError(f"row {number} has {sorted(row)}, row 0 has {sorted(names)}")
    return {name: _stack(name, [np.asarray(row[name]) for row in rows]) for name in rows[0]}


def _stack(name: str, column: list[np.ndarray]) -> np.ndarray:
    for number, array in enumerate(column):
        if array.shape != column[0].shape:
            raise ShapeError(
                f"{name} of row {number} is {list(array.shape)}, of row 0 "
                f"{list(column[0].shape)}; pad them or give a collate function"
            )
    return np.stack(column)
