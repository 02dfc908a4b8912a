"""Reader and writer of the safetensors format.

A file is 8 bytes with the length of the header (little-endian), the header (JSON: name ->
{dtype, shape, data_offsets}, and `__metadata__`: string -> string) and the numbers, row-major and
little-endian, without holes or overlaps. Source: the format's description and its reference
implementation, https://github.com/huggingface/safetensors (version 0.5).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Any

import numpy as np

from engine.errors import DtypeError, FormatError
from engine.io.files import write_file
from engine.io.header import CODES, Entry, encode_header, header_length, parse_header

Arrays = dict[str, np.ndarray]
Metadata = dict[str, str]


def save(arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> bytes:
    """The file as bytes. `save({"w": np.zeros((2, 3), np.float32)})`."""
    return b"".join(chunks(arrays, metadata))


def save_file(
    arrays: Mapping[str, Any],
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> int:
    """Write the file (temporary name, fsync, rename, fsync); return its length in bytes."""
    return write_file(path, chunks(arrays, metadata))


def load(data: bytes | bytearray | memoryview) -> Arrays:
    """The arrays of a file held in memory, each a copy of its own."""
    return read(data)[0]


def load_file(path: str | os.PathLike[str], *, mmap: bool = False) -> Arrays:
    """The arrays of a file.

    `mmap=True` copies nothing: the arrays are read-only views that the system pages in when they
    are read (bfloat16, which NumPy lacks, is widened to float32 and so is a copy).
    """
    return read_file(path, mmap=mmap)[0]


def read(data: bytes | bytearray | memoryview) -> tuple[Arrays, Metadata]:
    """(arrays, metadata) of a file held in memory; FormatError says where it is malformed."""
    buffer = np.frombuffer(data, np.uint8)
    arrays, metadata = _views(buffer, "data")
    return {name: _own(array) for name, array in arrays.items()}, metadata


def read_file(path: str | os.PathLike[str], *, mmap: bool = False) -> tuple[Arrays, Metadata]:
    """(arrays, metadata) of a file; FormatError says where it is malformed."""
    size = os.stat(path).st_size
    if mmap and size > 0:
        return _views(np.memmap(path, np.uint8, mode="r"), str(path))
    with open(path, "rb") as file:
        entries, metadata = _read_header(file, size, str(path))
        return {entry.name: _read_array(file, entry, str(path)) for entry in entries}, metadata


def chunks(arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> Iterator[Any]:
    """The file piece by piece: its header, then each array without copying it.

    The widest dtypes come first, then by name, so every array is aligned to its own width.
    """
    laid = {name: _little_endian(name, array) for name, array in arrays.items()}
    order = sorted(laid, key=lambda name: (-laid[name].dtype.itemsize, name))
    entries, offset = [], 0
    for name in order:
        array = laid[name]
        end = offset + array.nbytes
        entries.append(Entry(name, CODES[array.dtype], array.shape, offset, end))
        offset = end
    yield encode_header(entries, metadata or {})
    for name in order:
        if laid[name].nbytes:
            yield laid[name].reshape(-1).view(np.uint8).data


def _little_endian(name: str, array: Any) -> np.ndarray:
    found = np.asarray(array)
    kind = found.dtype.newbyteorder("<")
    if kind not in CODES:
        known = ", ".join(str(kind) for kind in CODES)
        raise DtypeError(f"{name} is {found.dtype}, which safetensors has not; it has {known}")
    return np.asarray(found, dtype=kind, order="C")


def _views(buffer: np.ndarray, source: str) -> tuple[Arrays, Metadata]:
    length = header_length(buffer[:8].tobytes(), buffer.size, source)
    start = 8 + length
    entries, metadata = parse_header(buffer[8:start].tobytes(), buffer.size - start, source)
    arrays = {e.name: _shape(buffer[start + e.begin : start + e.end], e, source) for e in entries}
    return arrays, metadata


def _read_header(file: BufferedReader, size: int, source: str) -> tuple[list[Entry], Metadata]:
    length = header_length(file.read(8), size, source)
    return parse_header(file.read(length), size - 8 - length, source)


def _read_array(file: BufferedReader, entry: Entry, source: str) -> np.ndarray:
    """Read the numbers of one entry; entries come in the order of their offsets."""
    data = np.empty(entry.end - entry.begin, np.uint8)
    got = file.readinto(data.data) if data.size else 0
    if got != data.size:
        raise FormatError(f"{source}: the file ended inside {entry.name}")
    return _shape(data, entry, source)


def _shape(raw: np.ndarray, entry: Entry, source: str) -> np.ndarray:
    """The numbers of one entry: bytes seen as its dtype and shape."""
    try:
        if entry.code == "BF16":
            wide = raw.view("<u2").astype(np.uint32) << np.uint32(16)
            return wide.view(np.float32).reshape(entry.shape)
        if entry.code == "BOOL" and raw.size and raw.max() > 1:
            raise FormatError(f"{source}: {entry.name} is BOOL and holds a byte above 1")
        return np.asarray(raw).view(entry.dtype).reshape(entry.shape)
    except FormatError:
        raise
    except (ValueError, OverflowError) as error:  # more axes, or a longer one, than NumPy has
        raise FormatError(f"{source}: header at /{entry.name}/shape: {error}") from error


def _own(array: np.ndarray) -> np.ndarray:
    return array if array.flags.owndata and array.flags.writeable else np.array(array)
