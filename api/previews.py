"""The first rows of a dataset, as they are read."""

from typing import Any, cast

from api.schemas.datasets import Preview
from api.service import Service
from api.staging import staged
from spec.data.formats import Format
from spec.data.limits import Limits
from spec.data.reading import read
from spec.data.tables import Arrays, Column, Numbers, Table
from store import datasets
from store.base import finite

MAX_CELL = 10_000


def preview(service: Service, project_id: str, ref: str, limit: int) -> Preview:
    """At most `limit` rows of the newest version."""
    with service.readers.begin() as session:
        version = datasets.version(session, project_id, datasets.get(session, project_id, ref).id)
        files = datasets.files(session, version.id)
    named = [(file.name, file.sha256) for file in files]
    with staged(service.readers, service.settings.data_dir, named) as paths:
        table = read(
            paths,
            format=cast(Format, version.format),
            options=version.options,
            limits=Limits.of(service.settings),
            first=limit,
        )
    return Preview(columns=list(table.columns), rows=_rows(table, min(limit, table.rows)))


def _rows(table: Table, count: int) -> list[dict[str, Any]]:
    cells = {name: _cells(column, count) for name, column in table.columns.items()}
    return [{name: cells[name][row] for name in cells} for row in range(count)]


def _cells(column: Column, count: int) -> list[Any]:
    absent = column.absent()[:count].tolist()
    if isinstance(column, Arrays):
        return [_array(value) for value in column.values[:count]]
    if isinstance(column, Numbers):
        values = column.values[:count].tolist()
    else:
        values = [
            column.words[code].as_py() if code >= 0 else None
            for code in column.codes[:count].tolist()
        ]
    return [None if gone else finite(value) for value, gone in zip(values, absent, strict=True)]


def _array(value: Any) -> Any:
    """The numbers of an array; of one that is very large, its shape."""
    return finite(value.tolist()) if value.size <= MAX_CELL else {"shape": list(value.shape)}
