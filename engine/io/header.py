"""The header of a safetensors file: written one way, read with suspicion."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np

from engine.errors import FormatError

#: The reference implementation refuses longer headers too.
MAX_HEADER_BYTES = 100_000_000
#: As many axes as a NumPy array can have.
MAX_AXES = 64

DTYPES: dict[str, np.dtype] = {
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
    "C64": np.dtype("<c8"),
    "F32": np.dtype("<f4"),
    "I32": np.dtype("<i4"),
    "U32": np.dtype("<u4"),
    "F16": np.dtype("<f2"),
    "I16": np.dtype("<i2"),
    "U16": np.dtype("<u2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
CODES: dict[np.dtype, str] = {kind: code for code, kind in DTYPES.items()}
_WIDTHS = {code: kind.itemsize for code, kind in DTYPES.items()} | {"BF16": 2}
_FIELDS = {"dtype", "shape", "data_offsets"}


class Entry(NamedTuple):
    """One array of a file; `begin` and `end` count from the end of the header."""

    name: str
    code: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def dtype(self) -> np.dtype:
        return DTYPES[self.code]


def encode_header(entries: Sequence[Entry], metadata: Mapping[str, str]) -> bytes:
    """The length and the header, padded with spaces to a multiple of 8 bytes."""
    header: dict[str, Any] = {}
    if metadata:
        for key, value in metadata.items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise FormatError(f"metadata maps strings to strings, got {key!r}: {value!r}")
        header["__metadata__"] = dict(sorted(metadata.items()))
    for entry in entries:
        if not isinstance(entry.name, str) or entry.name == "__metadata__":
            raise FormatError(f"an array cannot be called {entry.name!r}")
        header[entry.name] = {
            "dtype": entry.code,
            "shape": list(entry.shape),
            "data_offsets": [entry.begin, entry.end],
        }
    try:
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise FormatError(f"a name or metadata is not Unicode: {error}") from error
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER_BYTES:
        raise FormatError(f"the header is {len(text)} bytes; the limit is {MAX_HEADER_BYTES}")
    return len(text).to_bytes(8, "little") + text


def header_length(prefix: bytes, size: int, source: str) -> int:
    """The length of the header, checked against the limit and the size of the file."""
    if len(prefix) < 8:
        raise FormatError(f"{source}: {size} bytes are too few; a file starts with 8 of length")
    length = int.from_bytes(prefix, "little")
    if length > MAX_HEADER_BYTES:
        raise FormatError(
            f"{source}: bytes 0-7 give a header of {length} bytes; the limit is {MAX_HEADER_BYTES}"
        )
    if length > size - 8:
        raise FormatError(
            f"{source}: bytes 0-7 give a header of {length} bytes, but only {size - 8} follow"
        )
    return length


def parse_header(text: bytes, size: int, source: str) -> tuple[list[Entry], dict[str, str]]:
    """(entries in the order of their offsets, metadata); `size` bytes of numbers follow."""
    found = _parse_json(text, source)
    metadata = _metadata(found.pop("__metadata__", {}), source)
    entries = [_entry(name, fields, source) for name, fields in found.items()]
    entries.sort(key=lambda entry: (entry.begin, entry.end))
    _check_cover(entries, size, source)
    return entries, metadata


def _parse_json(text: bytes, source: str) -> dict[str, Any]:
    if not text.startswith(b"{"):
        raise FormatError(f"{source}: the header must start with '{{', got {text[:1]!r}")
    try:
        found = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except FormatError as error:
        raise FormatError(f"{source}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{source}: the header is not JSON: {error}") from error
    assert isinstance(found, dict)
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise FormatError(f"the header has {key!r} twice")
        try:
            key.encode()
        except UnicodeEncodeError:
            raise FormatError(f"the header has a name that is not Unicode: {key!r}") from None
        found[key] = value
    return found


def _no_constant(word: str) -> Any:
    raise FormatError(f"the header has {word}, which is not JSON")


def _metadata(found: Any, source: str) -> dict[str, str]:
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise FormatError(f"{source}: header at /__metadata__: expected strings by name")
    return found


def _entry(name: str, fields: Any, source: str) -> Entry:
    where = f"{source}: header at /{name}"
    if not isinstance(fields, dict) or set(fields) != _FIELDS:
        got = sorted(fields) if isinstance(fields, dict) else type(fields).__name__
        raise FormatError(f"{where}: expected dtype, shape and data_offsets, got {got}")
    code, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(code, str) or code not in _WIDTHS:
        raise FormatError(f"{where}/dtype: expected one of {', '.join(_WIDTHS)}, got {code!r}")
    if not _are_sizes(shape) or len(shape) > MAX_AXES:
        expected = f"up to {MAX_AXES} whole numbers from 0"
        raise FormatError(f"{where}/shape: expected {expected}, got {shape!r:.80}")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise FormatError(f"{where}/data_offsets: expected [begin, end], got {offsets!r:.80}")
    begin, end = offsets
    length = prod(shape) * _WIDTHS[code]
    if end - begin != length:
        raise FormatError(
            f"{where}/data_offsets: {code} {shape!r:.80} takes {length} bytes, got {end - begin}"
        )
    return Entry(name, code, tuple(shape), begin, end)


def _are_sizes(found: Any) -> bool:
    return isinstance(found, list) and all(type(n) is int and 0 <= n < 2**63 for n in found)


def _check_cover(entries: list[Entry], size: int, source: str) -> None:
    """The entries must cover the numbers exactly: no hole, no overlap, nothing after."""
    first = Entry("", "U8", (), 0, 0)
    for before, entry in pairwise([first, *entries]):
        if entry.begin != before.end:
            what = "a hole" if entry.begin > before.end else "an overlap"
            raise FormatError(
                f"{source}: header at /{entry.name}/data_offsets: {what}; it begins at "
                f"{entry.begin}, what comes before ends at {before.end}"
            )
    end = entries[-1].end if entries else 0
    if end != size:
        raise FormatError(f"{source}: the header describes {end} bytes of numbers, {size} follow")
