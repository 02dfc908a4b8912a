"""The first rows of a dataset as JSON, for a person to look at."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from spec.data.formats import Format
from spec.data.limits import Limits
from spec.data.numbers import answer
from spec.data.reading import OptionsLike, read
from spec.data.sources import DataFile
from spec.data.tables import Column, Numbers, Table, Texts

MAX_TEXT = 1000
MAX_ITEMS = 4096


def preview(
    files: Sequence[DataFile] | Table,
    limit: int = 10,
    *,
    format: Format | None = None,
    options: OptionsLike = None,
    limits: Limits | None = None,
) -> list[dict[str, Any]]:
    """The first `limit` rows; of files, no more than needed is read.

    A missing value is null, a number that JSON cannot hold {"value": null, "nonfinite": "inf"}, an
    array too large to show {"shape": …, "dtype": …}.
    """
    if isinstance(files, Table):
        table = files
    else:
        table = read(files, format=format, options=options, limits=limits, first=limit)
    count = min(limit, table.rows)
    return [
        {name: _cell(column, row) for name, column in table.columns.items()} for row in range(count)
    ]


def _cell(column: Column, row: int) -> Any:
    if isinstance(column, Texts):
        code = int(column.codes[row])
        return None if code < 0 else column.words[code].as_py()[:MAX_TEXT]
    if isinstance(column, Numbers):
        absent = column.missing is not None and column.missing[row]
        return None if absent else _number(column.values[row].item())
    values = column.values[row]
    if values.size > MAX_ITEMS:
        return {"shape": list(values.shape), "dtype": values.dtype.name}
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return _nested(values.tolist())
    return values.tolist()


def _nested(values: Any) -> Any:
    return [_nested(one) for one in values] if isinstance(values, list) else _number(values)


def _number(value: Any) -> Any:
    return answer(value) if isinstance(value, float) and not np.isfinite(value) else value
