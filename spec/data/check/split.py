"""What can be wrong with the split of a spec."""

from core.errors import Problem
from spec.data.check.columns import Problems
from spec.data.columns import unknown
from spec.data.config import CategoryTarget, ColumnSplit, DataSpec, Split
from spec.data.profile import ColumnProfile, DataProfile
from spec.data.shapes import named_rows
from spec.data.sources import suggestion
from spec.data.splits import PARTS, fractions, sizes
from spec.data.tables import label


def split_problems(data: DataSpec, profile: DataProfile) -> Problems:
    """Problems of the split with the dataset."""
    split = data.split
    known = profile.by_name()
    target = known.get(data.target.column)
    if isinstance(split, ColumnSplit):
        column = known.get(split.column)
        if column is None:
            yield unknown("/data/split/column", split.column, list(known))
        else:
            yield from _column_split(split, column, profile.rows)
        if target is not None and target.missing and data.target.missing == "drop":
            yield _cannot_drop()
    else:
        dropped = target.missing if target is not None and data.target.missing == "drop" else 0
        yield from _shares(split, profile.rows - dropped)
    if split.stratify:
        yield from _strata(data, target)


def _column_split(split: ColumnSplit, column: ColumnProfile, rows: int) -> Problems:
    if not column.complete:
        yield Problem(
            "/data/split/column",
            "too_many_values",
            f"column {column.name!r} has too many values to split by",
            expected="a column with few different values",
            got=f"{column.distinct} values" if column.shape is None else str(column.shape),
        )
        return
    counts = {label(one.value): one.count for one in column.categories or []}
    unknown_values = list(_unknown_values(split, column, counts))
    yield from unknown_values
    if unknown_values:
        return
    named = named_rows(split, column, rows)
    rest = rows - sum(named.values())
    if rest and split.rest == "error":
        yield _unassigned(split, list(counts), rest, rows)
    yield from _shares(split, named["train"])


def _unknown_values(split: ColumnSplit, column: ColumnProfile, counts: dict[str, int]) -> Problems:
    for part, values in split.values().items():
        for value in values:
            if label(value) not in counts:
                yield Problem(
                    f"/data/split/{part}",
                    "unknown_value",
                    f"column {column.name!r} never holds {label(value)!r}",
                    expected=f"one of: {', '.join(list(counts)[:20])}",
                    got=value,
                    hint=suggestion(label(value), list(counts)),
                )


def _unassigned(split: ColumnSplit, found: list[str], rest: int, rows: int) -> Problem:
    named = {label(value) for values in split.values().values() for value in values}
    others = [value for value in found if value not in named] or ["missing values"]
    return Problem(
        "/data/split",
        "unassigned_rows",
        f"{rest} rows belong to no part: {', '.join(others[:5])}",
        expected="every row in a part, or rest: ignore",
        got=f"{rest} of {rows} rows",
        hint="name their values, or say rest: ignore",
    )


def _cannot_drop() -> Problem:
    return Problem(
        "/data/target/missing",
        "unsupported",
        "rows without a target cannot be dropped where a column gives the split",
        expected="missing: error",
        got="missing: drop",
        hint="remove these rows from the data",
    )


def _shares(split: Split, rows: int) -> Problems:
    """That no part with a share ends up without rows."""
    validation, test = fractions(split)
    counts = sizes(rows, validation, test)
    for part, share, count in zip(PARTS, (1, validation, test), counts, strict=True):
        if share > 0 and count < 1:
            yield Problem(
                f"/data/split/{part}",
                "empty_part",
                f"{part} gets none of the {rows} rows",
                expected="one row or more",
                got=f"{share:g} of {rows} rows",
                hint="use more rows, or a larger share",
            )


def _strata(data: DataSpec, target: ColumnProfile | None) -> Problems:
    if not isinstance(data.target, CategoryTarget):
        yield Problem(
            "/data/split/stratify",
            "wrong_type",
            "only a category can be stratified by, the target is a number",
            expected="a target of type category",
            got="number",
            hint="say stratify: false",
        )
        return
    parts = 1 + sum(share > 0 for share in fractions(data.split))
    rarest = target.rarest if target is not None else None
    if rarest is not None and target is not None and rarest < parts:
        rare = [label(one.value) for one in target.categories or [] if one.count < parts]
        yield Problem(
            "/data/split/stratify",
            "too_few_rows",
            f"a class has {rarest} rows, too few for {parts} parts"
            + (f": {', '.join(rare[:5])}" if rare else ""),
            expected=f"{parts} rows or more of each class",
            got=f"{rarest} rows",
            hint="say stratify: false, or leave out the rarest classes",
        )
