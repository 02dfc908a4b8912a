"""Files as a user would send them, and what came of reading them."""

import gzip
import struct
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import Invalid, Problem
from spec.data.limits import Limits
from spec.data.reading import read
from spec.data.sources import DataFile
from spec.data.tables import Arrays, Numbers, Table, Texts


def put(folder: Path, content: str | bytes, name: str = "data.csv") -> DataFile:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return DataFile(name, path)


def refused(*files: DataFile, **options: Any) -> Problem:
    """The first problem of files that must not be readable."""
    with pytest.raises(Invalid) as caught:
        read(list(files), **options)
    assert caught.value.problems
    return caught.value.problems[0]


def outcome(file: DataFile, **options: Any) -> Table | Invalid:
    """The table, or what was wrong; anything else is a fault of ours and fails the test."""
    try:
        return read([file], **options)
    except Invalid as error:
        return error


def values(table: Table, name: str) -> list[Any]:
    """A column as Python values, None where missing."""
    column = table.columns[name]
    if isinstance(column, Texts):
        words = column.words.to_pylist()
        return [None if code < 0 else words[code] for code in column.codes]
    if isinstance(column, Numbers):
        absent = column.absent()
        return [
            None if gone else value
            for value, gone in zip(column.values.tolist(), absent, strict=True)
        ]
    assert isinstance(column, Arrays)
    return column.values.tolist()


def npz(**arrays: Any) -> bytes:
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def npy_header(text: str) -> bytes:
    body = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def idx(array: Any) -> bytes:
    """An array of bytes in the format of MNIST."""
    array = np.asarray(array, np.uint8)
    shape = b"".join(struct.pack(">I", size) for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + shape + array.tobytes()


def gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


SMALL = Limits(max_rows=1000, max_columns=50, max_decoded_bytes=1 << 20, max_line_bytes=10_000)
