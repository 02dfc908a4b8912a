"""What can be wrong with one input of a spec."""

import math

from core.errors import Problem
from spec.data.check.columns import Problems, finite_numbers, missing_values, not_one_value
from spec.data.config import CategoryInput, ImageInput, Input, NumberInput
from spec.data.profile import ColumnProfile
from spec.data.shapes import guess_layout, image_shape

MAX_PROBLEMS = 20


def input_problems(
    place: str, pointer: str, given: Input, found: list[ColumnProfile], rows: int
) -> Problems:
    """Problems of an input with its columns; `place` is the input, `pointer` names the columns."""
    if isinstance(given, NumberInput):
        yield from _limited(_numbers(place, pointer, given, found, rows))
    elif isinstance(given, CategoryInput):
        yield from _limited(_categories(place, pointer, given, found, rows))
    elif given.columns is None:
        yield from _limited(_image_column(place, pointer, given, found[0], rows))
    else:
        yield from _limited(_pixels(place, pointer, given, found, rows))


def _numbers(
    place: str, pointer: str, given: NumberInput, found: list[ColumnProfile], rows: int
) -> Problems:
    for column in found:
        if column.type == "image" or len(column.shape or []) > 1:
            yield Problem(
                pointer,
                "wrong_type",
                f"column {column.name!r} holds arrays of shape {column.shape}",
                expected="a number, or a vector of numbers, a row",
                got=f"{column.dtype} {column.shape}",
                hint="use type: image and a flatten layer",
            )
            continue
        yield from finite_numbers(pointer, column, rows)
        if column.missing and given.missing == "error":
            yield missing_values(f"{place}/missing", column, rows, "mean, median or zero")


def _categories(
    place: str, pointer: str, given: CategoryInput, found: list[ColumnProfile], rows: int
) -> Problems:
    for column in found:
        if column.shape is not None:
            yield not_one_value(pointer, column)
            continue
        if column.missing and given.missing == "error":
            yield missing_values(f"{place}/missing", column, rows, "category or unknown")
        if column.infinite:
            yield from finite_numbers(pointer, column, rows)
        if not column.distinct_exact and given.limit is None:
            yield Problem(
                pointer,
                "too_many_categories",
                f"column {column.name!r} has more than {column.distinct} different values",
                expected="a limit",
                got=f"more than {column.distinct}",
                hint="say limit: 10000 to keep the most frequent ones",
            )


def _pixels(
    place: str, pointer: str, given: ImageInput, found: list[ColumnProfile], rows: int
) -> Problems:
    needed = math.prod(given.shape or [0])
    if len(found) != needed:
        yield Problem(
            f"{place}/shape",
            "wrong_shape",
            f"{len(found)} columns do not fill an image of shape {given.shape}",
            expected=f"{needed} pixel columns",
            got=f"{len(found)} columns",
            hint=_square(len(found), given.shape),
        )
    for column in found:
        yield from finite_numbers(pointer, column, rows)
        if column.shape is not None:
            yield Problem(
                pointer, "wrong_type", f"column {column.name!r} holds arrays, not one pixel"
            )
        if column.missing:
            yield Problem(
                pointer,
                "missing_values",
                f"pixel column {column.name!r} has {column.missing} missing values",
                expected="no missing pixels",
                got=f"{column.missing} of {rows} rows",
            )


def _image_column(
    place: str, pointer: str, given: ImageInput, column: ColumnProfile, rows: int
) -> Problems:
    stored = column.shape
    if stored is None or len(stored) not in (2, 3):
        yield Problem(
            pointer,
            "wrong_type",
            f"column {column.name!r} does not hold images",
            expected="arrays of height x width, with channels before or behind",
            got=f"{column.dtype} {stored or ''}".strip(),
            hint="for pixel columns say columns: and shape:",
        )
        return
    yield from finite_numbers(pointer, column, rows)
    layout = given.layout or guess_layout(stored)
    if layout is None or len(layout) != len(stored):
        yield Problem(
            f"{place}/layout",
            "wrong_layout",
            f"images of {stored} can be read as HWC and as CHW"
            if given.layout is None
            else f"images of {stored} are not {given.layout}",
            expected="HW" if len(stored) == 2 else "HWC or CHW",
            got=given.layout,
            hint="say layout: HW" if len(stored) == 2 else "say layout: HWC or layout: CHW",
        )
        return
    yield from _stored_shape(place, given, column)


def _stored_shape(place: str, given: ImageInput, column: ColumnProfile) -> Problems:
    """That shape, mean and std of the spec fit the stored images."""
    shape, _ = image_shape(given, [column])
    if given.shape is not None and list(given.shape) != shape:
        yield Problem(
            f"{place}/shape",
            "wrong_shape",
            f"the images are {shape}, the shape says {given.shape}",
            expected=shape,
            got=given.shape,
            hint="leave the shape out",
        )
    for name, values in (("mean", given.mean), ("std", given.std)):
        if values is not None and len(values) not in (1, shape[0]):
            yield Problem(
                f"{place}/{name}",
                "wrong_length",
                f"{len(values)} numbers for {shape[0]} channels",
                expected=f"1 or {shape[0]} numbers",
                got=f"{len(values)} numbers",
            )


def _square(columns: int, shape: list[int] | None) -> str | None:
    channels = shape[0] if shape else 1
    for count in dict.fromkeys((channels, 1, 3)):
        side = math.isqrt(columns // count)
        if side and count * side * side == columns:
            return f"{columns} columns make the shape [{count}, {side}, {side}]"
    return None


def _limited(problems: Problems) -> Problems:
    """The first problems of one input, and how many more there are."""
    found = list(problems)
    yield from found[:MAX_PROBLEMS]
    if len(found) > MAX_PROBLEMS:
        more = len(found) - MAX_PROBLEMS
        yield Problem(found[-1].pointer, "more_problems", f"and {more} more problems like these")
