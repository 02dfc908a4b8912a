"""What the model will be fed: shapes, types, cardinalities and rows, told from a profile alone."""

import math

from pydantic import Field

from spec.data.columns import resolve
from spec.data.config import (
    CategoryInput,
    CategoryTarget,
    ColumnSplit,
    DataSpec,
    ImageInput,
    Input,
    Layout,
    NumberInput,
)
from spec.data.profile import ColumnProfile, DataProfile, Record
from spec.data.splits import PARTS, fractions, sizes
from spec.data.tables import label

CHANNELS = (1, 3, 4)


class InputShape(Record):
    """One input: shape and dtype of one row.

    A category is fed as indices below `cardinality`; `embedding` and `one_hot` say what the
    network should make of them.
    """

    type: str
    shape: list[int]
    dtype: str
    cardinality: int | None = None
    embedding: int | None = None
    one_hot: bool = False


class TargetShape(Record):
    """The target: a class index (shape []) or a number (shape [1])."""

    type: str
    shape: list[int]
    dtype: str
    classes: int | None = None


class PartRows(Record):
    train: int = Field(ge=0)
    validation: int = Field(ge=0)
    test: int = Field(ge=0)


class DataShapes(Record):
    """What `prepare` will yield for a spec and a dataset."""

    inputs: dict[str, InputShape]
    target: TargetShape
    rows: PartRows


def shapes(data: DataSpec, profile: DataProfile) -> DataShapes:
    """What `prepare` will yield; the spec must have passed `check` with this profile."""
    known = profile.by_name()
    return DataShapes(
        inputs={name: input_shape(name, given, known) for name, given in data.inputs.items()},
        target=_target_shape(data, known),
        rows=_rows(data, profile, known),
    )


def input_shape(name: str, given: Input, known: dict[str, ColumnProfile]) -> InputShape:
    names, _ = resolve(name, given, list(known))
    found = [known[column] for column in names]
    if isinstance(given, NumberInput):
        width = sum(math.prod(column.shape or [1]) for column in found)
        return InputShape(type="number", shape=[width], dtype="float32")
    if isinstance(given, CategoryInput):
        return _category_shape(given, found)
    shape, _ = image_shape(given, found)
    return InputShape(type="image", shape=shape, dtype="float32")


def _category_shape(given: CategoryInput, found: list[ColumnProfile]) -> InputShape:
    return InputShape(
        type="category",
        shape=[] if given.columns is None else [len(found)],
        dtype="int64",
        cardinality=cardinality(given, found),
        embedding=given.embedding,
        one_hot=given.one_hot,
    )


def reserved(given: CategoryInput) -> int:
    """Indices before the first value: 0 is unknown, 1 missing where that is a category."""
    return 2 if given.missing == "category" else 1


def cardinality(given: CategoryInput, found: list[ColumnProfile]) -> int:
    """Indices of a category: the reserved ones and one for each value of the whole dataset.

    Values that no training row holds keep an index of their own that is never used; so the
    cardinality is known without reading the data.
    """
    return reserved(given) + slots(given, found)


def slots(given: CategoryInput, found: list[ColumnProfile]) -> int:
    if len(found) == 1:
        count = found[0].distinct or 0
    elif all(column.complete for column in found):
        named = [one for column in found for one in column.categories or []]
        count = len({label(one.value) for one in named})
    else:
        count = sum(column.distinct or 0 for column in found)
    if given.limit is None:
        return count
    exact = all(column.distinct_exact for column in found)
    return min(given.limit, count) if exact else given.limit


def image_shape(given: ImageInput, found: list[ColumnProfile]) -> tuple[list[int], Layout]:
    """[channels, height, width] and the order in which the values are stored."""
    stored = found[0].shape if len(found) == 1 and given.columns is None else None
    if stored is None:
        return list(given.shape or []), given.layout or "CHW"
    layout = given.layout or guess_layout(stored) or "CHW"
    if layout == "HW":
        return [1, *stored], layout
    return ([stored[2], stored[0], stored[1]] if layout == "HWC" else list(stored)), layout


def guess_layout(stored: list[int]) -> Layout | None:
    """HW for two dimensions; for three, the channels are the 1, 3 or 4 below both other sizes.

    None where that is unclear.
    """
    if len(stored) == 2:
        return "HW"
    if len(stored) != 3:
        return None
    first, middle, last = stored
    if last in CHANNELS and last < min(first, middle):
        return "HWC"
    return "CHW" if first in CHANNELS and first < min(middle, last) else None


def _target_shape(data: DataSpec, known: dict[str, ColumnProfile]) -> TargetShape:
    if not isinstance(data.target, CategoryTarget):
        return TargetShape(type="number", shape=[1], dtype="float32")
    declared = data.target.classes
    count = known[data.target.column].distinct if declared is None else len(declared)
    return TargetShape(type="category", shape=[], dtype="int64", classes=count)


def _rows(data: DataSpec, profile: DataProfile, known: dict[str, ColumnProfile]) -> PartRows:
    split = data.split
    pool = profile.rows
    named = dict.fromkeys(PARTS, 0)
    if isinstance(split, ColumnSplit):
        named = named_rows(split, known[split.column], profile.rows)
        pool = named["train"]
    elif data.target.missing == "drop":
        pool -= known[data.target.column].missing
    counts = dict(zip(PARTS, sizes(pool, *fractions(split)), strict=True))
    for part in ("validation", "test"):
        counts[part] = counts[part] or named[part]
    return PartRows(**counts)


def named_rows(split: ColumnSplit, column: ColumnProfile, rows: int) -> dict[str, int]:
    """Rows that the values of the split column give to each part."""
    counts = {label(one.value): one.count for one in column.categories or []}
    found = {
        part: sum(counts.get(label(value), 0) for value in values)
        for part, values in split.values().items()
    }
    if split.train is None:
        found["train"] = rows - sum(found.values())
    return {part: found.get(part, 0) for part in PARTS}
