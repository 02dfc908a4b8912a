"""Files of a user turned into one table; whatever is wrong is an Invalid that says where."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import Invalid, Problem
from spec.data import csv, idx, npz, parquet
from spec.data.formats import Format, detect
from spec.data.limits import Budget, Limits
from spec.data.options import CsvOptions, Options, parse_options
from spec.data.sources import DataFile, Source
from spec.data.tables import Table, texts

OptionsLike = Mapping[str, Any] | Options | None


def read(
    files: Sequence[DataFile],
    *,
    format: Format | None = None,
    options: OptionsLike = None,
    limits: Limits | None = None,
    first: int | None = None,
) -> Table:
    """All rows of the files below each other; with `first`, only that many.

    Raises Invalid for files that are damaged, too large, of different formats or not tables.
    """
    limits = limits or Limits()
    sources = _sources(files, limits)
    found = _format(sources, format)
    parsed = parse_options(options, found)
    try:
        table = _read(sources, found, parsed, first)
    except MemoryError:
        raise Invalid([Problem("/files", "too_large", _TOO_LARGE)]) from None
    if table.rows == 0:
        raise sources[0].invalid("no_rows", "there are no rows", got="0 rows")
    _refuse_names(sources[0], table, limits)
    return _with_files(table, parsed) if parsed.file_column is not None else table


_TOO_LARGE = "the dataset does not fit into the memory of this machine"


def _refuse_names(source: Source, table: Table, limits: Limits) -> None:
    for number, name in enumerate(table.columns, 1):
        if not name.strip() or len(name) > limits.max_name_length:
            raise source.invalid(
                "bad_name",
                f"column {number} has no name" if not name.strip() else "a name is too long",
                expected=f"names of 1 to {limits.max_name_length} characters",
                got=name[:40],
            )


def _sources(files: Sequence[DataFile], limits: Limits) -> list[Source]:
    if not files:
        raise Invalid([Problem("/files", "no_files", "there are no files")])
    if len(files) > limits.max_files:
        detail = f"a dataset has at most {limits.max_files} files"
        raise Invalid([Problem("/files", "too_many_files", detail, got=len(files))])
    budget = Budget(limits)
    return [Source(index, file.name, Path(file.path), budget) for index, file in enumerate(files)]


def _format(sources: list[Source], explicit: Format | None) -> Format:
    found = [detect(source, explicit) for source in sources]
    for source, format in zip(sources, found, strict=True):
        if format != found[0]:
            raise source.invalid(
                "mixed_formats",
                f"the file is {format}, the first one {found[0]}",
                expected=found[0],
                got=format,
                hint="a dataset has files of one format",
            )
    return found[0]


def _read(sources: list[Source], format: Format, options: Options, first: int | None) -> Table:
    if isinstance(options, CsvOptions):
        return csv.read(sources, options, first=first)
    if format == "parquet":
        return parquet.read(sources, first=first)
    if format == "npz":
        return npz.read(sources, first=first)
    return idx.read(sources, first=first)


def _with_files(table: Table, options: Options) -> Table:
    name = str(options.file_column)
    if name in table.columns:
        detail = f"there is a column {name!r} already"
        raise Invalid([Problem("/options/file_column", "duplicate_column", detail, got=name)])
    names = list(dict.fromkeys(file.name for file in table.files))
    codes = np.repeat(
        [names.index(file.name) for file in table.files], [file.rows for file in table.files]
    )
    columns = {**table.columns, name: texts(names, codes)}
    return Table(columns, table.files, table.format, table.notes)
