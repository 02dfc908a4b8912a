"""CSV files: rows of text between delimiters.

Plain files go through pyarrow, six times as fast as the csv module. Files with quotes or comments
go through the csv module: it knows a quote after a space, and it notices a quote that is never
closed, where pyarrow drops the rest of the file in silence.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as arrow_csv

from core.errors import Invalid, Problem
from spec.data.dialect import SAMPLE, Dialect, after_bom, find_dialect, opened, records
from spec.data.lines import BOM, Scan, scan
from spec.data.options import CsvOptions
from spec.data.sources import Source, pointer_part, suggestion
from spec.data.tables import FileRows, Table
from spec.data.texts import column, is_number

ROWS = 4096
CELLS = 4 << 20
MAX_RAGGED = 10


def read(sources: list[Source], options: CsvOptions, *, first: int | None = None) -> Table:
    """The rows of all files below each other; with `first`, only about that many."""
    chunks: dict[str, list[Any]] = {}
    files: list[FileRows] = []
    notes: list[str] = []
    for source in sources:
        found = _head_scan(source) if first else scan(source, options)
        dialect = find_dialect(source, options, found)
        _same_columns(dialect, chunks)
        rows = 0
        for batch in _batches(dialect, options, first):
            rows += len(batch[0])
            source.budget.rows(len(batch[0]), source.pointer)
            source.budget.bytes(4 * len(batch[0]) * len(batch), source.pointer)
            for name, part in zip(dialect.names, batch, strict=True):
                chunks.setdefault(name, []).append(part)
            if first is not None and rows >= first:
                break
        for name in dialect.names:
            chunks.setdefault(name, [])
        files.append(FileRows(source.name, rows))
        notes += _header_notes(dialect, options)
    _known_names(sources, options, chunks)
    columns = {name: column(chunks.pop(name), options, name) for name in list(chunks)}
    return Table(columns, files, "csv", notes)


def _known_names(sources: list[Source], options: CsvOptions, names: Iterable[str]) -> None:
    known = list(names)
    unknown = [name for name in options.trailing if name not in known]
    if unknown:
        raise Invalid(
            [
                Problem(
                    f"/options/trailing/{pointer_part(name)}",
                    "unknown_column",
                    f"{sources[0].name} has no column {name!r}",
                    expected=f"one of {', '.join(known[:10])}",
                    got=name,
                    hint=suggestion(name, known),
                )
                for name in unknown
            ]
        )


def _head_scan(source: Source) -> Scan:
    """What a look at the first rows needs to know; quotes are taken to be there."""
    with source.open() as stream:
        head = stream.read(SAMPLE)
    return Scan(len(head), True, head.startswith(BOM))


def _same_columns(dialect: Dialect, chunks: dict[str, list[Any]]) -> None:
    if not chunks or chunks.keys() == set(dialect.names):
        return
    absent = [name for name in chunks if name not in dialect.names]
    extra = [name for name in dialect.names if name not in chunks]
    raise dialect.source.invalid(
        "other_columns",
        "the columns are not those of the files before it",
        expected=f"also {', '.join(absent[:5])}" if absent else f"{len(chunks)} columns",
        got=f"also {', '.join(extra[:5])}" if extra else f"{len(dialect.names)} columns",
        hint="files of one dataset need the same columns; header and names apply to all of them",
    )


def _batches(dialect: Dialect, options: CsvOptions, first: int | None) -> Iterator[list[Any]]:
    """Batches of rows: one dictionary-encoded piece for each column."""
    if dialect.plain:
        return _plain_batches(dialect, options)
    size = max(1, min(first or ROWS, CELLS // len(dialect.names)))
    return _quoted_batches(dialect, options, size)


def _plain_batches(dialect: Dialect, options: CsvOptions) -> Iterator[list[Any]]:
    ragged = _Ragged(dialect)
    stream = after_bom(dialect.source, dialect.bom)
    try:
        if options.header:
            _skip_first_line(stream)
        for batch in _arrow(stream, dialect, options, ragged):
            ragged.check()
            if batch.num_rows:
                yield [part.dictionary_encode() for part in batch.columns]
        ragged.check()
    except pa.ArrowInvalid as error:
        ragged.check()
        if "Empty CSV" not in str(error):
            raise dialect.source.invalid("corrupt", f"the file cannot be read: {error}") from None
    finally:
        stream.close()


def _arrow(
    stream: BinaryIO, dialect: Dialect, options: CsvOptions, ragged: "_Ragged"
) -> Iterable[Any]:
    limit = dialect.source.budget.limits.max_line_bytes
    return arrow_csv.open_csv(  # type: ignore[no-any-return]
        stream,
        read_options=arrow_csv.ReadOptions(
            use_threads=False,
            block_size=min(max(2 * limit, 1 << 16, ROWS * len(dialect.names)), 64 << 20),
            column_names=dialect.names,
            encoding=options.encoding,
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=dialect.delimiter, quote_char=False, invalid_row_handler=ragged
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(dialect.names, pa.string()),
            null_values=[],
            strings_can_be_null=False,
        ),
    )


def _skip_first_line(stream: BinaryIO) -> None:
    """Move behind the header; lines may end with \\n, \\r\\n or \\r."""
    header = False
    while byte := stream.read(1):
        if byte in b"\r\n" and header:
            return
        header = header or byte not in b"\r\n"


class _Ragged:
    """Rows with too few or too many values."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._problems: list[Problem] = []
        self._count = 0

    def __call__(self, row: Any) -> str:
        self.take(row.number, row.actual_columns)
        return "skip"

    def take(self, number: int, values: int, line: int | None = None) -> None:
        self._count += 1
        if len(self._problems) >= MAX_RAGGED:
            return
        where = f"row {number}" + (f" (line {line})" if line is not None else "")
        self._problems.append(
            self._dialect.source.problem(
                "ragged_row",
                f"{where} has {values} values, the header {len(self._dialect.names)}",
                under=f"/rows/{number}",
                expected=f"{len(self._dialect.names)} values",
                got=f"{values} values",
                hint="values that hold the delimiter need quotes; or give another delimiter",
            )
        )

    def check(self) -> None:
        if self._problems:
            more = self._count - len(self._problems)
            detail = f"{self._count} or more rows have the wrong number of values; the first: "
            raise Invalid(self._problems, detail + self._problems[0].detail if more else None)


def _quoted_batches(dialect: Dialect, options: CsvOptions, size: int) -> Iterator[list[Any]]:
    ragged = _Ragged(dialect)
    width = len(dialect.names)
    with opened(dialect.source, options, dialect.bom) as stream:
        rows = records(dialect.source, stream, dialect.delimiter, options)
        if options.header:
            next(rows, None)
        number = 0
        while batch := list(islice(rows, size)):
            for line, row in batch:
                number += 1
                if len(row) != width:
                    ragged.take(number, len(row), line)
            ragged.check()
            values = zip(*(row for _, row in batch), strict=True)
            yield [pa.array(part, pa.string()).dictionary_encode() for part in values]


def _header_notes(dialect: Dialect, options: CsvOptions) -> list[str]:
    numeric = sum(is_number(name) for name in dialect.names)
    if options.header and options.names is None and 0 < numeric < len(dialect.names):
        return [
            f"{dialect.source.name}: the first row looks like data, {dialect.names[:3]}; "
            "if it is, say header: false in the options"
        ]
    return []
