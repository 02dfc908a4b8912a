"""Numbers as inputs and targets: statistics fitted on training rows, kept, undone at the end."""

from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import Invalid, Problem
from spec.data.cells import number
from spec.data.config import Normalize, NumberInput, NumberTarget
from spec.data.profile import Record
from spec.data.rows import Raw
from spec.data.statistics import moments
from spec.data.tables import Arrays, Column, Numbers, Texts
from spec.data.texts import as_floats

Floats = NDArray[np.float32]
NEGLIGIBLE = 1e-12


class Scale(Record):
    """What is subtracted from each column, and what the rest is divided by."""

    center: list[float]
    scale: list[float]

    @cached_property
    def pair(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.array(self.center), np.array(self.scale)

    def apply(self, values: NDArray[np.float64]) -> Floats:
        """(x - center) / scale in float64, rounded once: (rows, columns) float32."""
        center, scale = self.pair
        with np.errstate(over="ignore"):
            return ((values - center) / scale).astype(np.float32)

    def undo(self, values: NDArray[Any]) -> NDArray[np.float64]:
        center, scale = self.pair
        return np.asarray(values, np.float64) * scale + center


def fit_scale(values: NDArray[Any], how: Normalize) -> Scale:
    """Statistics of each column of (rows, columns); NaN is left out.

    A spread of 0 becomes 1, and so does an interquartile range that is nothing beside the range:
    dividing by it would leave the numbers of float32.
    """
    width = values.shape[1]
    if how == "none":
        return Scale(center=[0.0] * width, scale=[1.0] * width)
    if how == "standard":
        center, scale = moments(values)
    else:
        center, scale = np.zeros(width), np.ones(width)
        for at in range(width):
            column = _present(values[:, at])
            if len(column):
                center[at], scale[at] = _spread(column, how)
    scale = np.where(scale > 0, scale, 1.0)
    return Scale(center=center.tolist(), scale=scale.tolist())


def _spread(column: NDArray[np.float64], how: Normalize) -> tuple[float, float]:
    if how == "minmax":
        return float(column.min()), float(column.max() - column.min())
    low, middle, high = np.percentile(column, [25, 50, 75])
    narrow = high - low <= NEGLIGIBLE * (column.max() - column.min())
    return float(middle), 0.0 if narrow else float(high - low)


def _present(column: NDArray[Any]) -> NDArray[np.float64]:
    wide = column.astype(np.float64)
    return wide[~np.isnan(wide)]


class NumberEncoder(Record):
    """One input of numbers. `fill` stands in for missing values, before scaling."""

    type: Literal["number"] = "number"
    columns: list[str]
    widths: list[int]
    scale: Scale
    fill: list[float] | None = None

    @classmethod
    def fit(
        cls, given: NumberInput, names: list[str], columns: list[Column], train: NDArray[Any]
    ) -> "tuple[NumberEncoder, NDArray[Any]]":
        """The encoder and the block of raw values (rows, width) that it encodes."""
        block = stack(columns)
        seen = block[train]
        encoder = cls(
            columns=names,
            widths=[width_of(column) for column in columns],
            scale=fit_scale(seen, given.normalize),
            fill=_fill(seen, given.missing),
        )
        return encoder, block

    def encode(self, block: NDArray[Any]) -> Floats:
        """Raw values (rows, width), NaN where missing → float32 (rows, width)."""
        values = block.astype(np.float64)
        if self.fill is not None and block.dtype.kind == "f":
            values = np.where(np.isnan(values), np.array(self.fill), values)
        return self.scale.apply(values)

    def parse(self, raw: Raw) -> NDArray[np.float64]:
        """The block of raw rows; problems are kept in `raw`."""
        plain = raw.plain(self.columns)
        if plain is not None and plain.shape[1] == sum(self.widths):
            return plain
        block = np.zeros((len(raw), sum(self.widths)))
        start = 0
        for name, width in zip(self.columns, self.widths, strict=True):
            for row, value in raw.column(name):
                block[row, start : start + width] = self._cell(raw, row, name, value, width)
            start += width
        return block

    def _cell(self, raw: Raw, row: int, name: str, value: Any, width: int) -> float | list[float]:
        items = value if width > 1 or isinstance(value, list) else [value]
        if not isinstance(items, list) or len(items) != width:
            raw.complain(row, name, "wrong_type", f"a list of {width} numbers", value)
            return 0.0
        found = [number(item) for item in items]
        for item, parsed in zip(items, found, strict=True):
            if parsed is None:
                raw.complain(row, name, "not_a_number", "a finite number", item)
                return 0.0
            if np.isnan(parsed) and self.fill is None:
                raw.complain(row, name, "missing_value", "a number", item)
                return 0.0
        return [parsed for parsed in found if parsed is not None]


def width_of(column: Column) -> int:
    return int(np.prod(column.values.shape[1:])) if isinstance(column, Arrays) else 1


def stack(columns: list[Column]) -> NDArray[Any]:
    """Columns side by side in the smallest type that holds them all: (rows, width).

    Missing values are NaN, so integers with missing values become floats.
    """
    parts = [_values(column) for column in columns]
    dtype = np.result_type(*parts)
    block = np.empty((len(parts[0]), sum(part.shape[1] for part in parts)), dtype)
    start = 0
    for part in parts:
        block[:, start : start + part.shape[1]] = part
        start += part.shape[1]
    return block


def _values(column: Column) -> NDArray[Any]:
    if isinstance(column, Arrays):
        return column.values.reshape(len(column), -1)
    values = numeric(column)
    return values[:, None]


def numeric(column: Numbers | Texts) -> NDArray[Any]:
    """The numbers of a column, NaN where missing; truth values are 0 and 1."""
    if isinstance(column, Texts):
        found, good = as_floats(column.words)
        for at in np.flatnonzero(~good):
            found[at] = {"true": 1.0, "false": 0.0}.get(column.words[int(at)].as_py().lower())
        return np.append(found, np.nan)[column.codes]
    values = column.values.view(np.uint8) if column.values.dtype.kind == "b" else column.values
    if column.missing is None or values.dtype.kind == "f":
        return values
    wide = values.astype(np.result_type(values.dtype, np.float32))
    wide[column.missing] = np.nan
    return wide


def _fill(seen: NDArray[Any], missing: str) -> list[float] | None:
    if missing == "error":
        return None
    width = seen.shape[1]
    if missing == "zero":
        return [0.0] * width
    columns = [_present(seen[:, at]) for at in range(width)]
    middle = np.mean if missing == "mean" else np.median
    return [float(middle(column)) if len(column) else 0.0 for column in columns]


class NumberTargetEncoder(Record):
    """A number to predict, and how to give it back in its own units."""

    type: Literal["number"] = "number"
    column: str
    scale: Scale

    @classmethod
    def fit(
        cls, given: NumberTarget, column: Column, train: NDArray[Any]
    ) -> "tuple[NumberTargetEncoder, NDArray[Any]]":
        block = stack([column])
        scale = fit_scale(block[train], given.normalize)
        return cls(column=given.column, scale=scale), block

    def encode(self, block: NDArray[Any]) -> Floats:
        return self.scale.apply(block.astype(np.float64))

    def decode(self, outputs: NDArray[Any]) -> list[dict[str, Any]]:
        """Model outputs (rows, 1) or (rows,) → {value} in the column's own units."""
        values = np.asarray(outputs, np.float64)
        if values.ndim == 0 or values.size != len(values):
            raise Invalid(
                [
                    Problem(
                        "/outputs",
                        "wrong_shape",
                        f"the model gives {list(values.shape)}, one number a row is needed",
                        expected="[rows, 1]",
                        got=str(list(values.shape)),
                    )
                ]
            )
        found = self.scale.undo(values.reshape(-1))
        return [answer(float(value)) for value in found]


def answer(value: float) -> dict[str, Any]:
    """A number as JSON can hold it."""
    if np.isfinite(value):
        return {"value": value}
    name = "nan" if np.isnan(value) else "inf" if value > 0 else "-inf"
    return {"value": None, "nonfinite": name}
