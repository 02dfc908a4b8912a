"""One array inside an NPZ file: its header checked first, its numbers read into counted memory."""

import math
import tokenize
import zipfile
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from spec.data.sources import Source, pointer_part

PIECE = 16 << 20
KINDS = "biufUS"


@dataclass(frozen=True)
class Header:
    """What the header of one array says."""

    name: str
    member: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def header_of(source: Source, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Header:
    name = member.filename.removesuffix(".npy")
    under = f"/columns/{pointer_part(name)}"
    with archive.open(member) as stream:
        try:
            shape, fortran, dtype = _npy_header(stream)
        except (ValueError, SyntaxError, TypeError, RecursionError, tokenize.TokenError) as error:
            raise source.invalid(
                "corrupt",
                f"the header of array {name!r} cannot be read: {str(error)[:200]}",
                under=under,
                expected="an array written by NumPy",
            ) from None
    _loadable(source, name, shape, dtype, under)
    header = Header(name, member, shape, dtype, fortran)
    _fits(source, header, under)
    return header


def _loadable(
    source: Source, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], under: str
) -> None:
    if dtype.hasobject:
        raise source.invalid(
            "pickle",
            f"array {name!r} holds Python objects, which are never loaded",
            under=under,
            expected="numbers or text",
            got="dtype object",
            hint="convert it first, for example with .astype(str) or .astype(float)",
        )
    if dtype.kind not in KINDS or dtype.itemsize == 0:
        raise source.invalid(
            "unsupported_type",
            f"array {name!r} has the type {dtype}",
            under=under,
            expected="truth values, integers, floats or text",
            got=str(dtype),
        )
    if not shape or min(shape) < 0:
        raise source.invalid(
            "bad_shape",
            f"array {name!r} has the shape {list(shape)} and no rows",
            under=under,
            expected="rows as the first dimension",
            got=list(shape),
        )


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(stream)
    if version == (1, 0):
        return npy.read_array_header_1_0(stream)
    if version == (2, 0):
        return npy.read_array_header_2_0(stream)
    raise ValueError(f"npy version {version[0]}.{version[1]} is not supported")


def _fits(source: Source, header: Header, under: str) -> None:
    """What the header asks for, against the limit and against what the archive holds."""
    limit = source.budget.limits.max_decoded_bytes
    if header.bytes > limit:
        raise source.invalid(
            "too_large",
            f"array {header.name!r} of shape {list(header.shape)} takes {header.bytes} bytes",
            under=under,
            expected=f"at most {limit} bytes",
            got=f"{header.bytes} bytes",
        )
    if header.bytes > header.member.file_size:
        raise source.invalid(
            "truncated",
            f"array {header.name!r} needs {header.bytes} bytes, the archive holds fewer",
            under=under,
            expected=f"{header.bytes} bytes",
            got=f"{header.member.file_size} bytes",
            hint="the file is cut off or damaged; write and upload it again",
        )


def values_of(
    source: Source, archive: zipfile.ZipFile, header: Header, first: int | None
) -> NDArray[Any]:
    """The numbers of one array, read in pieces into memory of exactly the declared size."""
    shape = header.shape
    if first is not None and not header.fortran:
        shape = (min(first, shape[0]), *shape[1:])
    flat = np.empty(math.prod(shape), header.dtype)
    target: Any = memoryview(flat.view(np.uint8))  # type: ignore[arg-type]
    with archive.open(header.member) as stream:
        _npy_header(stream)
        done = 0
        while done < len(target):
            count = stream.readinto(target[done : done + PIECE])  # type: ignore[attr-defined]
            if not count:
                raise EOFError(f"array {header.name!r} breaks off")
            done += count
        if first is None and stream.read(1):
            raise zipfile.BadZipFile(f"array {header.name!r} is longer than its header says")
    if flat.dtype.kind == "b":
        flat = flat.view(np.uint8) != 0
    if header.fortran:
        return flat.reshape(shape[::-1]).T[:first]
    return flat.reshape(shape)
