"""What can be wrong with the target of a spec."""

from typing import Any

from core.errors import Problem
from spec.data.check.columns import Problems, finite_numbers, missing_values, not_one_value
from spec.data.config import CategoryTarget, Target
from spec.data.profile import ColumnProfile
from spec.data.sources import suggestion
from spec.data.tables import label

MANY_CLASSES = 20
MAX_PROBLEMS = 20
POINTER = "/data/target/column"


def target_problems(given: Target, column: ColumnProfile, rows: int) -> Problems:
    """Problems of the target with its column."""
    if column.shape is not None:
        yield not_one_value(POINTER, column)
        return
    if column.missing == rows:
        yield Problem(POINTER, "empty_column", f"the target {column.name!r} has no values")
        return
    if column.missing and given.missing == "error":
        yield missing_values("/data/target/missing", column, rows, "drop")
    if isinstance(given, CategoryTarget):
        yield from _classes(given, column, rows)
    else:
        yield from finite_numbers(POINTER, column, rows)


def _classes(given: CategoryTarget, column: ColumnProfile, rows: int) -> Problems:
    if column.infinite:
        yield from finite_numbers(POINTER, column, rows)
    count = column.distinct or 0
    present = rows - column.missing
    if count < 2 and given.classes is None:
        yield Problem(
            POINTER,
            "one_class",
            f"the target {column.name!r} has one value only",
            expected="two classes or more",
            got=_shown(column),
        )
    if not column.distinct_exact or (count > MANY_CLASSES and 2 * count > present):
        yield Problem(
            POINTER,
            "too_many_classes",
            f"the target {column.name!r} has {count} different values in {present} rows",
            expected="several rows for each class",
            got=f"{count} classes",
            hint="use type: number" if column.numeric else "is this an id?",
        )
    if given.classes is not None:
        yield from _declared(given.classes, column)


def _declared(classes: list[Any], column: ColumnProfile) -> Problems:
    names = [label(value) for value in classes]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Problem(
                f"/data/target/classes/{index}",
                "duplicate_class",
                f"the class {name!r} is named twice",
                got=name,
            )
    found = [label(one.value) for one in column.categories or []]
    for value in [value for value in found if value not in names][:MAX_PROBLEMS]:
        quoted = any(isinstance(one, bool) for one in classes)
        yield Problem(
            "/data/target/classes",
            "undeclared_class",
            f"the column holds {value!r}, which is not among the classes",
            expected=f"one of: {', '.join(names[:20])}",
            got=value,
            hint="YAML reads yes and no as true and false: put quotes around them"
            if quoted
            else suggestion(value, names),
        )


def _shown(column: ColumnProfile) -> str:
    named = column.categories or []
    return label(named[0].value)[:40] if named else "no value"
