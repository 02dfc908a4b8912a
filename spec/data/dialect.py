"""How one CSV file is written: its delimiter, the names of its columns, its rows of text."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from spec.data.lines import BOM, Scan
from spec.data.options import CsvOptions
from spec.data.sources import Source

DELIMITERS = ",\t;|"
SAMPLE = 1 << 16


@dataclass(frozen=True)
class Dialect:
    """How one file is written: found in its first rows."""

    source: Source
    delimiter: str
    names: list[str]
    plain: bool
    bom: bool


def find_dialect(source: Source, options: CsvOptions, found: Scan) -> Dialect:
    with opened(source, options, found.bom) as stream:
        sample = stream.read(SAMPLE)
    delimiter = options.delimiter or _delimiter(sample, source.name, options)
    plain = not (found.quoted and options.quotes) and options.comment is None
    with opened(source, options, found.bom) as stream:
        first = next(records(source, stream, delimiter, options), None)
    if first is None:
        raise source.invalid("empty_file", "the file holds no rows", got="blank lines")
    names = _names(source, first[1], options)
    source.budget.columns(len(names), source.pointer)
    return Dialect(source, delimiter, names, plain, found.bom)


def after_bom(source: Source, bom: bool) -> BinaryIO:
    stream = source.open()
    stream.read(len(BOM) if bom else 0)
    return stream


def opened(source: Source, options: CsvOptions, bom: bool) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        after_bom(source, bom), encoding=options.encoding, errors="replace", newline=""
    )


def records(
    source: Source, stream: io.TextIOWrapper, delimiter: str, options: CsvOptions
) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line each ends on; blank lines and comments are left out."""
    lines = _uncommented(stream, options, source.budget.limits.max_line_bytes)
    reader = _reader(lines, delimiter, options)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        line = reader.line_num
        raise source.invalid(
            "bad_quotes",
            f"line {line}: {error}",
            expected="quotes that are closed, and doubled inside a value",
            hint="look for a quote that is never closed on or before this line; if quotes are "
            "ordinary characters here, say quotes: false in the options",
        ) from None


def _uncommented(stream: io.TextIOWrapper, options: CsvOptions, limit: int) -> Iterator[str]:
    while line := stream.readline(limit):
        if options.comment is None or not line.startswith(options.comment):
            yield line


def _reader(lines: Iterator[str], delimiter: str, options: CsvOptions) -> Any:
    return csv.reader(
        lines,
        delimiter=delimiter,
        skipinitialspace=True,
        strict=True,
        quoting=csv.QUOTE_MINIMAL if options.quotes else csv.QUOTE_NONE,
    )


def _delimiter(sample: str, name: str, options: CsvOptions) -> str:
    """The delimiter that gives every sampled row the same number of values, more than one."""
    lines = [line for line in sample.splitlines() if line.strip()]
    if options.comment is not None:
        lines = [line for line in lines if not line.startswith(options.comment)]
    lines = lines[: -1 if len(lines) > 1 and len(sample) >= SAMPLE else None][:50]
    best, score = ",", (0.0, 1)
    for delimiter in DELIMITERS:
        counts = Counter(len(row) for row in _lenient(lines, delimiter, options))
        width, rows = max(counts.items(), key=lambda item: item[1], default=(1, 0))
        if width > 1 and (rows / len(lines), width) > score:
            best, score = delimiter, (rows / len(lines), width)
    return "\t" if name.lower().endswith(".tsv") else best


def _lenient(lines: list[str], delimiter: str, options: CsvOptions) -> Iterator[list[str]]:
    try:
        yield from _reader(iter(lines), delimiter, options)
    except csv.Error:
        return


def _names(source: Source, first: list[str], options: CsvOptions) -> list[str]:
    header = [cell.strip() for cell in first] if options.header else [""] * len(first)
    if options.names is not None:
        if len(options.names) != len(header):
            raise source.invalid(
                "wrong_names",
                f"{len(options.names)} names are given for {len(header)} columns",
                expected=f"{len(header)} names",
                got=f"{len(options.names)} names",
            )
        header = options.names
    names = [name or f"column_{number}" for number, name in enumerate(header, 1)]
    _refuse_names(source, names)
    return names


def _refuse_names(source: Source, names: list[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise source.invalid(
            "duplicate_column",
            f"the first row names a column twice: {', '.join(map(repr, twice[:5]))}",
            under="/rows/0",
            expected="a name of its own for each column",
            got=", ".join(names[:5]),
            hint="rename the columns; if the first row is data, say header: false in the options",
        )
    limit = source.budget.limits.max_name_length
    for number, name in enumerate(names, 1):
        if len(name) > limit:
            raise source.invalid(
                "long_name",
                f"the name of column {number} has {len(name)} characters",
                under="/rows/0",
                expected=f"at most {limit} characters",
                got=name[:40] + "…",
                hint="if the first row is data, say header: false in the options",
            )
