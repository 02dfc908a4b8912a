"""What the columns of a dataset hold, found once and kept with it: checks and plans read this."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from spec.data.formats import Format
from spec.data.limits import Limits
from spec.data.reading import OptionsLike, read
from spec.data.sources import DataFile
from spec.data.statistics import summary
from spec.data.tables import Arrays, Column, Numbers, Table, Texts
from spec.data.texts import as_floats

MAX_CATEGORIES = 100
MAX_SHOWN = 200
FEW = 100
SHARE = 0.05
ID_ROWS = 20

ColumnType = Literal["number", "category", "text", "image", "bool"]


class Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Category(Record):
    """One value and in how many rows it stands."""

    value: str | int | float | bool
    count: int


class Cell(Record):
    """One cell that stands out. Rows count from 1 within their file."""

    file: int
    row: int
    value: str


class ColumnProfile(Record):
    """What one column holds.

    `missing` counts rows without a value (NaN too), `nonfinite` stored NaN and infinities,
    `infinite` the infinities alone. `distinct` is exact unless `distinct_exact` is false; then
    there are at least that many. `categories` are the most frequent values, all of them where
    `distinct` is not larger. For text: `texts` rows are no number, `first_text` is the first.
    """

    name: str
    type: ColumnType
    dtype: str
    missing: int = 0
    nonfinite: int = 0
    infinite: int = 0
    distinct: int | None = None
    distinct_exact: bool = True
    categories: list[Category] | None = None
    rarest: int | None = None
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    quantiles: dict[str, float] | None = None
    shape: list[int] | None = None
    longest: int | None = None
    texts: int | None = None
    first_text: Cell | None = None
    reason: str | None = None

    @property
    def complete(self) -> bool:
        """Whether `categories` names every value."""
        named = self.categories is not None and len(self.categories) == self.distinct
        return named and (self.longest or 0) <= MAX_SHOWN

    @property
    def numeric(self) -> bool:
        """Whether every value is a number, or text that reads as one."""
        return self.shape is None and (self.texts is None or self.texts == 0)


class Notice(Record):
    """Something about the data that is worth a look and forbids nothing."""

    code: str
    detail: str
    column: str | None = None


class FileProfile(Record):
    name: str
    rows: int


class DataProfile(Record):
    """What a dataset holds."""

    format: Format
    rows: int
    files: list[FileProfile]
    columns: list[ColumnProfile]
    warnings: list[Notice] = []

    def column(self, name: str) -> ColumnProfile | None:
        return self.by_name().get(name)

    def by_name(self) -> dict[str, ColumnProfile]:
        return {column.name: column for column in self.columns}

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "DataProfile":
        return cls.model_validate(document)


def profile(
    files: Sequence[DataFile] | Table,
    *,
    format: Format | None = None,
    options: OptionsLike = None,
    limits: Limits | None = None,
    columns: Sequence[str] | None = None,
) -> DataProfile:
    """Read the files and say what their columns hold. Raises Invalid where they cannot be read."""
    if isinstance(files, Table):
        table = files
    else:
        table = read(files, format=format, options=options, limits=limits)
    names = list(table.columns) if columns is None else columns
    found = [_column(table, name, table.columns[name]) for name in names]
    warnings = [Notice(code="header", detail=note) for note in table.notes]
    for column in found:
        warnings += _warnings(column, table.rows)
    return DataProfile(
        format=table.format,
        rows=table.rows,
        files=[FileProfile(name=file.name, rows=file.rows) for file in table.files],
        columns=found,
        warnings=warnings,
    )


def _column(table: Table, name: str, column: Column) -> ColumnProfile:
    if isinstance(column, Numbers):
        return _numbers(name, column)
    if isinstance(column, Texts):
        return _texts(table, name, column)
    return _arrays(name, column)


def _numbers(name: str, column: Numbers) -> ColumnProfile:
    absent = column.absent()
    values = column.values if column.missing is None else column.values[~absent]
    found = summary(values)
    few = found.exact and 0 < len(found.values) <= MAX_CATEGORIES and found.infinite == 0
    order: NDArray[Any] = np.argsort(-found.counts, kind="stable")
    boolean = column.values.dtype.kind == "b"
    convert = bool if boolean else int if column.values.dtype.kind in "iu" else float
    return ColumnProfile(
        name=name,
        type="bool" if boolean else "number",
        dtype=column.values.dtype.name,
        missing=int(absent.sum()),
        nonfinite=column.nan + found.infinite,
        infinite=found.infinite,
        distinct=len(found.values) + (1 if found.infinite else 0),
        distinct_exact=found.exact,
        categories=[
            Category(value=convert(found.values[at]), count=int(found.counts[at])) for at in order
        ]
        if few
        else None,
        rarest=int(found.counts.min()) if found.exact and len(found.counts) else None,
        min=finite(found.min),
        max=finite(found.max),
        mean=finite(found.mean),
        std=finite(found.std),
        quantiles=found.quantiles or None,
    )


def _texts(table: Table, name: str, column: Texts) -> ColumnProfile:
    counts = np.bincount(column.codes + 1, minlength=len(column.words) + 1)
    missing, counts = int(counts[0]), counts[1:]
    _, good = as_floats(column.words)
    texts = int(counts[~good].sum())
    return ColumnProfile(
        name=name,
        type=_guess(column, counts),
        dtype="text",
        missing=missing,
        distinct=len(counts),
        categories=_most_frequent(column, counts),
        rarest=int(counts.min()) if len(counts) else None,
        longest=_longest(column),
        texts=texts,
        first_text=_first_text(table, column, good) if texts else None,
        reason=column.why,
    )


def _guess(column: Texts, counts: Any) -> ColumnType:
    if 1 <= len(counts) <= 2:
        words = {word.lower() for word in column.words.to_pylist()}
        if words <= {"true", "false"}:
            return "bool"
    total = int(counts.sum())
    few = len(counts) <= FEW and (len(counts) < total or total <= 1)
    return "category" if few or len(counts) <= SHARE * total else "text"


def _most_frequent(column: Texts, counts: Any) -> list[Category]:
    """The values that stand in the most rows; equally frequent ones in order of their spelling."""
    if len(counts) > MAX_CATEGORIES:
        least = np.partition(counts, -MAX_CATEGORIES)[-MAX_CATEGORIES]
        chosen = np.flatnonzero(counts >= least)[: 100 * MAX_CATEGORIES]
    else:
        chosen = np.arange(len(counts))
    named = [(column.words[int(at)].as_py(), int(counts[at])) for at in chosen]
    named.sort(key=lambda item: (-item[1], item[0]))
    return [Category(value=word[:MAX_SHOWN], count=count) for word, count in named[:MAX_CATEGORIES]]


def _longest(column: Texts) -> int:
    return int(pc.max(pc.utf8_length(column.words)).as_py() or 0)


def _first_text(table: Table, column: Texts, good: Any) -> Cell:
    text = np.append(~good, False)
    row = int(np.argmax(text[column.codes]))
    file, number = table.locate(row)
    word = column.words[int(column.codes[row])].as_py()
    return Cell(file=file, row=number, value=word[:MAX_SHOWN])


def _arrays(name: str, column: Arrays) -> ColumnProfile:
    values = column.values
    low, high, nan, infinite = _range(values)
    image = values.ndim in (3, 4)
    return ColumnProfile(
        name=name,
        type="image" if image else "number",
        dtype=values.dtype.name,
        nonfinite=nan + infinite,
        infinite=infinite,
        min=finite(low),
        max=finite(high),
        shape=list(values.shape[1:]),
    )


def _range(values: Any) -> tuple[float | None, float | None, int, int]:
    """Smallest and largest finite value, and how many are NaN and infinite, piece by piece."""
    low, high, nan, infinite = np.inf, -np.inf, 0, 0
    step = max(1, (16 << 20) // max(1, values[:1].nbytes))
    for start in range(0, len(values), step):
        part = values[start : start + step]
        if part.dtype.kind == "f":
            nan += int(np.isnan(part).sum())
            infinite += int(np.isinf(part).sum())
            part = part[np.isfinite(part)]
        if part.size:
            low, high = min(low, float(part.min())), max(high, float(part.max()))
    return (low, high, nan, infinite) if low <= high else (None, None, nan, infinite)


def finite(value: float | None) -> float | None:
    """The value where JSON can hold it."""
    return value if value is not None and np.isfinite(value) else None


def _warnings(column: ColumnProfile, rows: int) -> list[Notice]:
    found = []

    def warn(code: str, detail: str) -> None:
        found.append(Notice(code=code, detail=detail, column=column.name))

    present = rows - column.missing
    if present == 0:
        warn("empty", "every value is missing")
    elif column.distinct == 1 and column.distinct_exact and column.missing == 0:
        warn("constant", "every row holds the same value")
    elif rows >= ID_ROWS and column.distinct == present and _countable(column):
        warn("unique", "every row holds another value: looks like an id")
    if column.infinite:
        warn("infinite", f"{column.infinite} values are infinite")
    if column.texts and column.first_text and 2 * column.texts < present:
        cell = column.first_text
        warn(
            "mostly_numbers",
            f"{column.texts} of {present} values are no numbers; the first is in row {cell.row}: "
            f"{cell.value[:40]!r}",
        )
    return found


def _countable(column: ColumnProfile) -> bool:
    return column.dtype == "text" or "int" in column.dtype
