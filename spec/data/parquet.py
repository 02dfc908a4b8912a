"""Parquet files, read batch by batch: rows times decoded width are counted, not what a file claims.

Text is read as dictionary codes and never spread out: a word that stands in a million rows is held
once, as it is in the file.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.errors import Invalid
from spec.data.sources import Source, pointer_part
from spec.data.tables import Column, FileRows, Numbers, Table, narrow, numbers
from spec.data.texts import text_column

BATCH_ROWS = 65_536
BATCH_BYTES = 64 << 20
THRIFT_STRINGS = 64 << 20
THRIFT_ITEMS = 4_000_000
BROKEN = (pa.ArrowException, OSError, ValueError, MemoryError)


def read(sources: list[Source], *, first: int | None = None) -> Table:
    """The rows of all files below each other; with `first`, only about that many."""
    kinds: dict[str, str] = {}
    parts: dict[str, list[Any]] = {}
    files: list[FileRows] = []
    for source in sources:
        schema = _schema(source)
        found = {field.name: _kind(field.type) for field in schema}
        _same_columns(source, found, kinds)
        kinds = kinds or found
        rows = 0
        for batch in _batches(source, schema, kinds, first):
            rows += batch.num_rows
            source.budget.rows(batch.num_rows, source.pointer)
            for name, column in zip(schema.names, batch.columns, strict=True):
                parts.setdefault(name, []).append(_part(source, kinds[name], column))
        files.append(FileRows(source.name, rows))
    columns = {name: _column(kind, parts.pop(name, [])) for name, kind in kinds.items()}
    return Table(columns, files, "parquet")


def _open(source: Source, **options: Any) -> Any:
    try:
        return pq.ParquetFile(
            source.path,
            memory_map=False,
            pre_buffer=False,
            page_checksum_verification=True,
            thrift_string_size_limit=THRIFT_STRINGS,
            thrift_container_size_limit=THRIFT_ITEMS,
            **options,
        )
    except BROKEN as error:
        raise _broken(source, error) from None


def _broken(source: Source, error: BaseException) -> Invalid:
    reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
    return source.invalid(
        "corrupt",
        f"the Parquet file cannot be read: {reason}",
        expected="a whole Parquet file",
        hint="the file is cut off or damaged; write and upload it again",
    )


def _schema(source: Source) -> Any:
    """The columns of a file, checked together with the sizes it declares."""
    with _open(source) as file:
        metadata = file.metadata
        source.budget.columns(metadata.num_columns, source.pointer)
        groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        encoded = sum(max(group.total_byte_size, 0) for group in groups)
        source.budget.ratio(encoded, source.size, source.pointer)
        try:
            schema = file.schema_arrow
        except BROKEN as error:
            raise _broken(source, error) from None
        _refuse(source, schema)
        width = sum(_width(field.type) for field in schema)
        rows = max(metadata.num_rows, sum(group.num_rows for group in groups))
    source.budget.bytes(rows * width, source.pointer)
    return schema


def _refuse(source: Source, schema: Any) -> None:
    """Every column that cannot be a column of ours, by name."""
    problems = [
        source.problem(
            "unsupported_type",
            f"column {field.name!r} has the type {field.type}",
            under=f"/columns/{pointer_part(field.name)}",
            expected="numbers, truth values, text, dates",
            got=str(field.type),
            hint="leave the column out, or spread it over several columns",
        )
        for field in schema
        if _kind(field.type) == "unsupported"
    ]
    names = schema.names
    twice = (
        sorted({name for name in names if names.count(name) > 1})
        if len(set(names)) < len(names)
        else []
    )
    problems += [
        source.problem("duplicate_column", f"two columns are called {name!r}") for name in twice
    ]
    if not names:
        problems.append(source.problem("no_columns", "the file has no columns"))
    if problems:
        raise Invalid(problems)


def _kind(type_: Any) -> str:
    types = pa.types
    if types.is_dictionary(type_):
        inner = _kind(type_.value_type)
        return inner if inner in ("text", "number") else "unsupported"
    if types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_):
        return "text"
    if types.is_boolean(type_) or types.is_integer(type_) or types.is_floating(type_):
        return "number"
    if types.is_decimal(type_) or types.is_null(type_):
        return "float"
    if types.is_date(type_) or types.is_timestamp(type_) or types.is_time(type_):
        return "time"
    return "unsupported"


def _width(type_: Any) -> int:
    if pa.types.is_dictionary(type_):
        return 4
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return int(type_.bit_width) // 8
    return {"number": 1, "float": 8, "time": 32}.get(_kind(type_), 4)


def _same_columns(source: Source, found: dict[str, str], kinds: dict[str, str]) -> None:
    if not kinds or found == kinds:
        return
    other = [name for name in {**kinds, **found} if found.get(name) != kinds.get(name)]
    raise source.invalid(
        "other_columns",
        f"the columns are not those of the files before it: {', '.join(map(repr, other[:5]))}",
        expected=", ".join(f"{name}: {kinds[name]}" for name in other[:5] if name in kinds),
        got=", ".join(f"{name}: {found[name]}" for name in other[:5] if name in found),
        hint="files of one dataset need the same columns with the same types",
    )


def _batches(
    source: Source, schema: Any, kinds: dict[str, str], first: int | None
) -> Iterator[Any]:
    text = [name for name in schema.names if kinds[name] == "text"]
    width = max(1, sum(_width(field.type) for field in schema))
    size = max(1, min(BATCH_ROWS, BATCH_BYTES // width, first or BATCH_ROWS))
    left = first
    with _open(source, read_dictionary=text) as file:
        try:
            for batch in file.iter_batches(
                batch_size=size, columns=schema.names, use_threads=False
            ):
                batch.validate(full=True)
                yield batch
                left = None if left is None else left - batch.num_rows
                if left is not None and left <= 0:
                    return
        except BROKEN as error:
            raise _broken(source, error) from None


def _part(source: Source, kind: str, column: Any) -> Any:
    if kind == "text" or kind == "time":
        part = _encoded(column)
        source.budget.bytes(part.dictionary.nbytes, source.pointer)
        return part
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if kind == "float":
        column = column.cast(pa.float64(), safe=False)
    absent = column.is_null().to_numpy(zero_copy_only=False)
    fill = False if pa.types.is_boolean(column.type) else 0
    filled = pc.fill_null(column, pa.scalar(fill, column.type)) if absent.any() else column
    return filled.to_numpy(zero_copy_only=False), absent


def _encoded(column: Any) -> Any:
    """Codes and only the words they use; the words of a dictionary are never spread out."""
    if not pa.types.is_dictionary(column.type):
        return column.cast(pa.string()).dictionary_encode()
    codes: NDArray[Any] = pc.fill_null(column.indices, -1).to_numpy(zero_copy_only=False)
    used, inverse = np.unique(codes, return_inverse=True)
    real = used[used >= 0]
    words = column.dictionary.take(pa.array(real)).cast(pa.string())
    shifted = (inverse - (len(used) - len(real))).astype(np.int32)
    indices = pa.array(shifted, mask=shifted < 0)
    return pa.DictionaryArray.from_arrays(indices, words)


def _column(kind: str, parts: list[Any]) -> Column:
    if kind in ("text", "time"):
        return text_column(parts)
    if not parts:
        return Numbers(np.empty(0))
    values = narrow(np.concatenate([values for values, _ in parts]))
    return numbers(values, np.concatenate([absent for _, absent in parts]))
