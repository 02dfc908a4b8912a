"""A dataset in memory: columns of equal length as NumPy arrays, without Python objects in them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spec.data.formats import Format

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Numbers:
    """One number (or truth value) a row, in the smallest type that holds them all.

    `missing` marks rows without a number; a missing float is NaN, a missing integer 0. `nan` says
    how many of them hold a NaN that was stored as a value.
    """

    values: NDArray[Any]
    missing: Mask | None = None
    nan: int = 0

    def __len__(self) -> int:
        return len(self.values)

    def absent(self) -> Mask:
        return np.zeros(len(self), bool) if self.missing is None else self.missing


@dataclass(frozen=True)
class Texts:
    """One text a row: `words[codes[row]]`; code -1 is a missing value. Words are distinct.

    `why` says why a column of numbers was kept as text.
    """

    codes: NDArray[np.int32]
    words: Any
    why: str | None = None

    def __len__(self) -> int:
        return len(self.codes)

    def absent(self) -> Mask:
        return self.codes < 0


@dataclass(frozen=True)
class Arrays:
    """One array of numbers a row, all of one shape: (rows, …)."""

    values: NDArray[Any]

    def __len__(self) -> int:
        return len(self.values)

    def absent(self) -> Mask:
        return np.zeros(len(self), bool)


Column = Numbers | Texts | Arrays


@dataclass(frozen=True)
class FileRows:
    """How many rows of the table came from a file."""

    name: str
    rows: int


@dataclass(frozen=True)
class Table:
    """Columns of equal length, and where the rows came from."""

    columns: dict[str, Column]
    files: list[FileRows]
    format: Format
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    def locate(self, row: int) -> tuple[int, int]:
        """Index of the file a row came from, and its number there, counted from 1."""
        for index, file in enumerate(self.files):
            if row < file.rows:
                return index, row + 1
            row -= file.rows
        raise IndexError(f"the table has {self.rows} rows")


def numbers(values: NDArray[Any], missing: Mask | None = None) -> Numbers:
    """A column of numbers in native byte order; NaN counts as missing."""
    values = native(values)
    if values.dtype.kind == "f":
        if values.dtype.itemsize > 8:
            values = values.astype(np.float64)
        absent = np.isnan(values)
        nan = int(absent.sum() if missing is None else (absent & ~missing).sum())
        if missing is not None:
            absent |= missing
            values = np.where(missing, np.asarray(np.nan, values.dtype), values)
        return Numbers(values, absent if absent.any() else None, nan)
    if missing is not None and missing.any():
        return Numbers(np.where(missing, np.zeros((), values.dtype), values), missing)
    return Numbers(values)


def narrow(values: NDArray[Any]) -> NDArray[Any]:
    """Integers in the smallest of uint8, int16, int32 and int64 that holds them."""
    if values.dtype.kind not in "iu" or values.size == 0:
        return values
    low, high = int(values.min()), int(values.max())
    for dtype in (np.uint8, np.int16, np.int32, np.int64):
        bounds = np.iinfo(dtype)
        if bounds.min <= low and high <= bounds.max:
            return values.astype(dtype, copy=False)
    return values


def native(values: NDArray[Any]) -> NDArray[Any]:
    """The same values in this machine's byte order, contiguous."""
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))


def texts(words: Iterable[str], codes: NDArray[Any]) -> Texts:
    """A text column from distinct words and the code of each row."""
    return Texts(codes.astype(np.int32, copy=False), pa.array(list(words), pa.string()))


def label(value: Any) -> str:
    """The one spelling under which a value is a category: 1, 1.0 and "1" are the same."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, np.float16 | np.float32):
        value = float(str(value))
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    if isinstance(value, int | np.integer):
        return str(int(value))
    return str(value).strip()


@dataclass(frozen=True)
class Factors:
    """A column as categories: `labels[codes[row]]`, -1 for missing; labels are sorted.

    `numeric` says that they are numbers, sorted as such; `values` are the labels as JSON has them.
    """

    codes: NDArray[np.int32]
    labels: list[str]
    values: list[str | int | float]
    numeric: bool


def factorize(column: Column) -> Factors:
    """The categories of a column of numbers or text."""
    if isinstance(column, Arrays):
        raise TypeError("arrays are not categories")
    if isinstance(column, Texts):
        words = column.words.to_pylist()
        order = sorted(range(len(words)), key=words.__getitem__)
        rank = np.full(len(words) + 1, -1, np.int32)
        rank[order] = np.arange(len(words), dtype=np.int32)
        names = [words[at] for at in order]
        return Factors(rank[column.codes], names, list(names), False)
    found, inverse = np.unique(column.values, return_inverse=True)
    codes = inverse.astype(np.int32)
    if column.missing is not None:
        present = np.zeros(len(found), bool)
        present[codes[~column.missing]] = True
        shifted = np.cumsum(present, dtype=np.int32) - 1
        codes, found = np.where(column.missing, np.int32(-1), shifted[codes]), found[present]
    names = [label(value) for value in found]
    if found.dtype.kind == "b":
        return Factors(codes, names, list(names), False)
    whole = found.dtype.kind in "iu"
    return Factors(codes, names, [int(n) if whole else float(n) for n in names], True)
