"""From files to parts ready to train on: read, check, split, fit on the training rows, encode.

Raw values are kept once, in the smallest type that holds them (bytes stay bytes), and are encoded
batch by batch where a loader gathers them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import Invalid
from spec.data.categories import CategoryEncoder, CategoryTargetEncoder
from spec.data.check import check
from spec.data.columns import resolve
from spec.data.config import (
    TARGET,
    CategoryInput,
    CategoryTarget,
    ColumnSplit,
    DataSpec,
    Input,
    NumberInput,
)
from spec.data.fitted import Encoder, Fitted, TargetEncoder
from spec.data.formats import Format
from spec.data.images import ImageEncoder
from spec.data.limits import Limits
from spec.data.numbers import NumberEncoder, NumberTargetEncoder
from spec.data.profile import DataProfile, profile
from spec.data.reading import OptionsLike, read
from spec.data.shapes import DataShapes, InputShape, TargetShape, cardinality, shapes
from spec.data.sources import DataFile
from spec.data.splits import PARTS, Rows, assign
from spec.data.tables import Table, factorize, label

Block = NDArray[Any]


class Part:
    """The rows of one part of the split, encoded as they are gathered.

    A dataset as the loader takes it: `len(part)`, `part.gather(indices)`. The arrays are named
    like the inputs, and "target".
    """

    def __init__(
        self,
        rows: Rows,
        inputs: dict[str, tuple[Encoder, Block]],
        target: tuple[TargetEncoder, Block],
    ) -> None:
        self.rows = rows
        self._inputs = inputs
        self._target = target

    def __len__(self) -> int:
        return len(self.rows)

    def gather(self, indices: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The encoded rows at `indices` of this part, in that order; contiguous arrays."""
        rows = self.rows[np.asarray(indices, np.int64)]
        arrays = {name: one.encode(block[rows]) for name, (one, block) in self._inputs.items()}
        encoder, block = self._target
        return {**arrays, TARGET: encoder.encode(block[rows])}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All rows of this part at once."""
        return self.gather(np.arange(len(self)))


@dataclass(frozen=True)
class Prepared:
    """A dataset ready to train on. Parts without rows have length 0."""

    train: Part
    validation: Part
    test: Part
    fitted: Fitted
    shapes: DataShapes

    @property
    def inputs(self) -> dict[str, InputShape]:
        return self.shapes.inputs

    @property
    def target(self) -> TargetShape:
        return self.shapes.target


def prepare(
    files: Sequence[DataFile] | Table,
    data: DataSpec,
    *,
    seed: int = 0,
    format: Format | None = None,
    options: OptionsLike = None,
    limits: Limits | None = None,
) -> Prepared:
    """Read, check, split, fit and encode. The same arguments give the same bits.

    Raises Invalid with every problem of the files, or of the spec with this data.
    """
    if isinstance(files, Table):
        table = files
    else:
        table = read(files, format=format, options=options, limits=limits)
    found = profile(table, columns=_used(data, table))
    problems = check(data, found)
    if problems:
        raise Invalid(problems)
    return _prepare(table, data, found, seed)


def _used(data: DataSpec, table: Table) -> list[str]:
    """The columns of the table that the spec takes; all of them where it names one wrongly."""
    known = list(table.columns)
    names = [data.target.column]
    if isinstance(data.split, ColumnSplit):
        names.append(data.split.column)
    for name, given in data.inputs.items():
        columns, problems = resolve(name, given, known)
        if problems:
            return known
        names += columns
    return list(dict.fromkeys(names)) if set(names) <= table.columns.keys() else known


def _prepare(table: Table, data: DataSpec, found: DataProfile, seed: int) -> Prepared:
    column = table.columns[data.target.column]
    rows = np.arange(table.rows)
    if data.target.missing == "drop":
        rows = rows[~column.absent()]
    target: tuple[TargetEncoder, Block]
    if isinstance(data.target, CategoryTarget):
        target = CategoryTargetEncoder.fit(data.target, column)
        parts = assign(rows, data.split, seed=seed, named=_named(table, data), classes=target[1])
    else:
        parts = assign(rows, data.split, seed=seed, named=_named(table, data))
        target = NumberTargetEncoder.fit(data.target, column, parts["train"])
    inputs = {
        name: _fit(name, given, table, found, parts["train"]) for name, given in data.inputs.items()
    }
    fitted = Fitted(inputs={name: one for name, (one, _) in inputs.items()}, target=target[0])
    ready = {name: Part(parts[name], inputs, target) for name in PARTS}
    return Prepared(**ready, fitted=fitted, shapes=shapes(data, found))


def _named(table: Table, data: DataSpec) -> dict[str, Rows] | None:
    """The rows that the values of the split column give to each part."""
    split = data.split
    if not isinstance(split, ColumnSplit):
        return None
    factors = factorize(table.columns[split.column])
    part_of = np.full(len(factors.labels) + 1, 0 if split.train is None else -1)
    for part, values in split.values().items():
        names = {label(value) for value in values}
        for code, name in enumerate(factors.labels):
            if name in names:
                part_of[code] = PARTS.index(part)
    parts = part_of[factors.codes]
    return {name: np.flatnonzero(parts == index) for index, name in enumerate(PARTS)}


def _fit(
    name: str, given: Input, table: Table, found: DataProfile, train: Rows
) -> tuple[Encoder, Block]:
    known = found.by_name()
    names, _ = resolve(name, given, list(known))
    columns = [table.columns[column] for column in names]
    profiles = [known[column] for column in names]
    if isinstance(given, NumberInput):
        return NumberEncoder.fit(given, names, columns, train)
    if isinstance(given, CategoryInput):
        return CategoryEncoder.fit(given, names, columns, train, cardinality(given, profiles))
    return ImageEncoder.fit(given, names, columns, profiles, train)
