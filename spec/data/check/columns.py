"""What can be wrong with one column, whoever takes it."""

from collections.abc import Iterator

from core.errors import Problem
from spec.data.profile import ColumnProfile

MAX_FLOAT32 = 3.4e38

Problems = Iterator[Problem]


def finite_numbers(pointer: str, column: ColumnProfile, rows: int) -> Problems:
    """That a column holds finite numbers only, missing values apart."""
    if column.type != "bool" and column.texts:
        yield _not_a_number(pointer, column)
    if column.missing == rows:
        yield Problem(
            pointer,
            "empty_column",
            f"column {column.name!r} has no value at all",
            expected="a column with values",
            got=f"{column.missing} missing values",
        )
    bad = column.infinite if column.shape is None else column.nonfinite
    if bad:
        yield Problem(
            pointer,
            "not_finite",
            f"column {column.name!r} holds {bad} values that are infinite or not a number",
            expected="finite numbers",
            got=f"{bad} of {rows} rows",
            hint="replace them in the data, or leave them blank and say what stands in",
        )
    if max(abs(column.min or 0), abs(column.max or 0)) > MAX_FLOAT32:
        yield Problem(
            pointer,
            "out_of_range",
            f"column {column.name!r} holds numbers beyond the range of float32",
            expected=f"numbers up to {MAX_FLOAT32:g}",
            got=column.max,
        )


def missing_values(pointer: str, column: ColumnProfile, rows: int, policies: str) -> Problem:
    """That a column has missing values where its policy allows none."""
    return Problem(
        pointer,
        "missing_values",
        f"column {column.name!r} has {column.missing} missing values",
        expected=f"no missing values, or missing: {policies}",
        got=f"{column.missing} of {rows} rows",
        hint=f"say missing: {policies}",
    )


def _not_a_number(pointer: str, column: ColumnProfile) -> Problem:
    cell = column.first_text
    where = f"row {cell.row}: {cell.value[:40]!r}" if cell is not None else "text"
    return Problem(
        pointer,
        "not_a_number",
        f"column {column.name!r} holds text, {where}",
        expected="numbers",
        got=cell.value[:40] if cell is not None else "text",
        hint="use type: category"
        if column.type == "category"
        else "mend the data, or name what stands for a missing value in the dataset's options",
    )


def not_one_value(pointer: str, column: ColumnProfile) -> Problem:
    """That a column holds arrays where a single value is needed."""
    return Problem(
        pointer,
        "wrong_type",
        f"column {column.name!r} holds arrays of shape {column.shape}",
        expected="one value a row",
        got=f"{column.dtype} {column.shape}",
    )
