"""NPZ files: arrays whose first dimension is the row. Headers are read first, pickles never.

Arrays named x_train, y_train, x_test, y_test (or train_x …) become columns x and y and a column
`split`.
"""

import re
import struct
import sys
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import Invalid, Problem
from spec.data.npy import Header, header_of, values_of
from spec.data.sources import Source, pointer_part
from spec.data.tables import Arrays, Column, FileRows, Table, narrow, numbers, texts

ENTRY = b"PK\x01\x02"
PIECE = 16 << 20
PART = re.compile(
    r"^(?P<a>train|test|valid|val|validation)[_-](?P<x>.+)$"
    r"|^(?P<y>.+)[_-](?P<b>train|test|valid|val|validation)$"
)
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)


def read(sources: list[Source], *, first: int | None = None) -> Table:
    """The rows of all files below each other; with `first`, only that many of each part."""
    tables = [_read(source, first) for source in sources]
    names = list(tables[0])
    for source, table in zip(sources, tables, strict=True):
        if table.keys() != set(names):
            raise source.invalid(
                "other_columns",
                "the arrays are not those of the files before it",
                expected=", ".join(names),
                got=", ".join(table),
            )
    columns = {name: _column(sources, name, [table[name] for table in tables]) for name in names}
    rows = [len(table[names[0]]) for table in tables]
    files = [FileRows(source.name, count) for source, count in zip(sources, rows, strict=True)]
    return Table(columns, files, "npz")


def _read(source: Source, first: int | None) -> dict[str, NDArray[Any]]:
    try:
        _count_entries(source)
        with zipfile.ZipFile(source.path) as archive:
            members = _members(source, archive)
            headers = [header_of(source, archive, member) for member in members]
            parts = _parts(source, headers)
            rows = sum(group[0].shape[0] for group in parts.values())
            source.budget.rows(rows, source.pointer)
            source.budget.bytes(sum(header.bytes for header in headers), source.pointer)
            groups = {
                part: {header.name: values_of(source, archive, header, first) for header in headers}
                for part, headers in parts.items()
            }
    except BROKEN as error:
        raise source.invalid(
            "corrupt",
            f"the NPZ file cannot be read: {error}",
            expected="a whole NPZ file",
            hint="the file is cut off or damaged; write and upload it again",
        ) from None
    return _joined(source, groups)


def _count_entries(source: Source) -> None:
    """Refuse a directory of millions of entries before zipfile makes an object of each."""
    limit = source.budget.limits.max_members
    count, tail = 0, b""
    with source.path.open("rb") as file:
        while piece := file.read(PIECE):
            count += (tail + piece).count(ENTRY)
            tail = piece[-(len(ENTRY) - 1) :]
            if count > limit:
                raise source.invalid(
                    "too_many_members",
                    f"the archive has more than {limit} members",
                    expected=f"at most {limit}",
                    got=f"{count} or more",
                )


def _members(source: Source, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    members = archive.infolist()
    names = [member.filename for member in members]
    if not members:
        raise source.invalid("no_columns", "the archive holds no arrays")
    strange = [name for name in names if not name.endswith(".npy")]
    if strange:
        excel = any(name.startswith("xl/") for name in names)
        raise source.invalid(
            "unknown_format",
            "the file is an Excel workbook" if excel else f"{strange[0][:100]!r} is not an array",
            expected="a zip of .npy arrays, as numpy.savez writes it",
            got=f"a zip with {strange[0][:100]!r}",
            hint="save the sheet as CSV" if excel else "save the arrays with numpy.savez",
        )
    if len(set(names)) < len(names):
        raise source.invalid("duplicate_column", "two members have the same name")
    if any(member.flag_bits & 1 for member in members):
        raise source.invalid("encrypted", "the archive is encrypted", hint="remove the password")
    source.budget.columns(len(members), source.pointer)
    declared = sum(member.file_size for member in members)
    limit = source.budget.limits.max_decoded_bytes
    if declared > limit:
        raise source.invalid(
            "too_large",
            f"the arrays take {declared} bytes",
            expected=f"at most {limit} bytes",
            got=f"{declared} bytes",
        )
    source.budget.ratio(declared, source.size, source.pointer)
    return members


def _parts(source: Source, headers: list[Header]) -> dict[str, list[Header]]:
    """Arrays grouped by the part of the split their names tell; one group "" without."""
    found = [PART.match(header.name) for header in headers]
    lengths = {header.shape[0] for header in headers}
    if all(found) and headers and (len(lengths) > 1 or len({_part_of(m) for m in found}) > 1):
        groups: dict[str, list[Header]] = {}
        for header, match in zip(headers, found, strict=True):
            part, name = _part_of(match)
            renamed = Header(name, header.member, header.shape, header.dtype, header.fortran)
            groups.setdefault(part, []).append(renamed)
    else:
        groups = {"": headers}
    for group in groups.values():
        if len({header.shape[0] for header in group}) > 1:
            raise _uneven(source, group)
    return groups


def _part_of(match: re.Match[str] | None) -> tuple[str, str]:
    if match is None:
        return "", ""
    part = match["a"] or match["b"]
    return part, match["x"] or match["y"]


def _uneven(source: Source, group: list[Header]) -> Invalid:
    return Invalid(
        [
            source.problem(
                "uneven_columns",
                f"array {header.name!r} has {header.shape[0]} rows",
                under=f"/columns/{pointer_part(header.name)}",
                expected="the same number of rows in every array",
                got=f"shape {list(header.shape)}",
                hint="name the arrays x_train, y_train, x_test, y_test to give a split",
            )
            for header in group[:20]
        ]
    )


def _joined(source: Source, groups: dict[str, dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    if list(groups) == [""]:
        return groups[""]
    names = list(next(iter(groups.values())))
    for part, columns in groups.items():
        if columns.keys() != set(names):
            raise source.invalid(
                "other_columns",
                f"the arrays of {part!r} are not those of the other parts",
                expected=", ".join(names),
                got=", ".join(columns),
            )
    joined = {
        name: _stacked(source, name, [columns[name] for columns in groups.values()])
        for name in names
    }
    lengths = [len(columns[names[0]]) for columns in groups.values()]
    joined["split"] = np.repeat(np.array(list(groups)), lengths)
    return joined


def _stacked(source: Source, name: str, arrays: list[NDArray[Any]]) -> NDArray[Any]:
    shapes = {array.shape[1:] for array in arrays}
    kinds = {"text" if array.dtype.kind in "US" else "number" for array in arrays}
    if len(shapes) > 1 or len(kinds) > 1:
        raise Invalid(
            [
                Problem(
                    f"{source.pointer}/columns/{pointer_part(name)}",
                    "other_shape",
                    f"the parts of {name!r} differ in shape or type",
                    expected="one shape and one type in every part",
                    got="; ".join(f"{array.dtype} {list(array.shape)}" for array in arrays),
                )
            ]
        )
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _column(sources: list[Source], name: str, arrays: list[NDArray[Any]]) -> Column:
    values = _stacked(sources[-1], name, arrays)
    if values.dtype.kind in "US":
        if values.ndim > 1:
            raise sources[0].invalid(
                "unsupported_type",
                f"array {name!r} holds text in {values.ndim} dimensions",
                under=f"/columns/{pointer_part(name)}",
                expected="one text a row",
                got=f"shape {list(values.shape)}",
            )
        return _text(sources[0], name, values)
    if values.ndim == 1:
        return numbers(narrow(values))
    if values.dtype.itemsize > 8:
        values = values.astype(np.float64)
    return Arrays(np.ascontiguousarray(values, values.dtype.newbyteorder("=")))


def _refuse_impossible(values: NDArray[Any]) -> None:
    """Refuse characters beyond Unicode, at which Python itself would stumble."""
    if values.dtype.kind == "U" and values.size:
        highest = int(np.ascontiguousarray(values).view(values.dtype.str[0] + "u4").max())
        if highest > sys.maxunicode:
            raise ValueError(f"character {highest:#x} does not exist")


def _text(source: Source, name: str, values: NDArray[Any]) -> Column:
    try:
        _refuse_impossible(values)
        found, codes = np.unique(values, return_inverse=True)
        words = [
            (word if isinstance(word, bytes) else word.encode()).decode().strip()
            for word in found.tolist()
        ]
    except ValueError as error:
        raise source.invalid(
            "encoding",
            f"array {name!r} holds text that is not Unicode: {error}",
            under=f"/columns/{pointer_part(name)}",
            expected="text in UTF-8",
        ) from None
    distinct = [word for word in dict.fromkeys(words) if word]
    index = {word: code for code, word in enumerate(distinct)}
    mapping = np.array([index.get(word, -1) for word in words], np.int32)
    return texts(distinct, mapping[codes])
