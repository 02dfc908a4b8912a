"""IDX files (the format of MNIST), plain or gzip: images and labels in pairs, told by their names.

train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz become columns image and label; the word
in front becomes the column `split`. Format: http://yann.lecun.com/exdb/mnist
"""

import math
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from core.errors import Invalid
from spec.data.sources import Source
from spec.data.tables import Arrays, Column, FileRows, Table, narrow, numbers, texts

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
NAME = re.compile(r"^(?P<part>.*?)[-_.]?(?P<kind>images?|labels?)([-_.].*)?$")
PIECE = 16 << 20


@dataclass(frozen=True)
class Header:
    """What one file says it holds."""

    source: Source
    part: str
    kind: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read(sources: list[Source], *, first: int | None = None) -> Table:
    """All pairs below each other; with `first`, only that many rows of each."""
    headers = [_header(source) for source in sources]
    pairs = _pairs(headers)
    kinds = [kind for kind in ("image", "label") if kind in next(iter(pairs.values()))]
    rows = {part: pair[kinds[0]].shape[0] for part, pair in pairs.items()}
    if first is not None:
        rows = {part: min(first, count) for part, count in rows.items()}
    else:
        _spend(pairs)
    columns: dict[str, Column] = {
        kind: _column([pair[kind] for pair in pairs.values()], rows) for kind in kinds
    }
    if len(pairs) > 1:
        codes = np.repeat(np.arange(len(pairs)), list(rows.values()))
        columns["split"] = texts(pairs, codes)
    files = [FileRows(pair[kinds[0]].source.name, rows[part]) for part, pair in pairs.items()]
    return Table(columns, files, "idx")


def _header(source: Source) -> Header:
    part, kind = _name(source)
    with source.open() as stream:
        magic = stream.read(4)
        dimensions = magic[3] if len(magic) == 4 else 0
        sizes = stream.read(4 * dimensions)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or not dimensions:
        raise source.invalid(
            "corrupt", "the header is not that of an IDX file", got=magic.hex(" ") or "nothing"
        )
    if len(sizes) < 4 * dimensions:
        raise source.invalid("truncated", "the file ends inside its header")
    shape = tuple(int.from_bytes(sizes[at : at + 4], "big") for at in range(0, len(sizes), 4))
    header = Header(source, part, kind, shape, np.dtype(TYPES[magic[2]]), 4 + 4 * dimensions)
    limit = source.budget.limits.max_decoded_bytes
    if header.bytes > limit:
        raise source.invalid(
            "too_large",
            f"the header says {list(shape)}: {header.bytes} bytes",
            expected=f"at most {limit} bytes",
            got=f"{header.bytes} bytes",
        )
    if not source.zipped and source.size != header.start + header.bytes:
        raise _wrong_length(header, source.size)
    return header


def _name(source: Source) -> tuple[str, str]:
    name = PurePath(source.name.lower()).name.removesuffix(".gz")
    match = NAME.match(name)
    if match is None:
        raise source.invalid(
            "unknown_part",
            "the name does not say whether these are images or labels",
            expected="names such as train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz",
            got=source.name,
            hint="rename the file",
        )
    return match["part"], match["kind"].removesuffix("s")


def _wrong_length(header: Header, got: int) -> Invalid:
    expected = header.start + header.bytes
    return header.source.invalid(
        "truncated" if got < expected else "corrupt",
        f"the header says {list(header.shape)}, {expected} bytes in all",
        expected=f"{expected} bytes",
        got=f"{got} bytes" if got < expected else "more",
        hint="the file is cut off or damaged; upload it again",
    )


def _pairs(headers: list[Header]) -> dict[str, dict[str, Header]]:
    pairs: dict[str, dict[str, Header]] = {}
    for header in headers:
        pair = pairs.setdefault(header.part, {})
        if header.kind in pair:
            raise header.source.invalid(
                "duplicate_file", f"a second file of {header.kind}s for {header.part!r}"
            )
        pair[header.kind] = header
    kinds = set().union(*pairs.values())
    for part, pair in pairs.items():
        header = next(iter(pair.values()))
        if pair.keys() != kinds:
            absent = (kinds - pair.keys()).pop()
            raise header.source.invalid(
                "unpaired_file",
                f"there is no file of {absent}s for {part!r}",
                expected="images and labels for every part",
                got=", ".join(one.source.name for one in pair.values()),
            )
        counts = {one.kind: one.shape[0] for one in pair.values()}
        if len(set(counts.values())) > 1:
            raise header.source.invalid(
                "uneven_columns",
                f"{counts['image']} images and {counts['label']} labels",
                expected="as many labels as images",
                got=str(counts),
            )
    return pairs


def _spend(pairs: dict[str, dict[str, Header]]) -> None:
    for pair in pairs.values():
        for number, header in enumerate(pair.values()):
            pointer = header.source.pointer
            header.source.budget.bytes(header.bytes, pointer)
            if number == 0:
                header.source.budget.rows(header.shape[0], pointer)


def _column(headers: list[Header], rows: dict[str, int]) -> Column:
    shapes = {(header.shape[1:], header.dtype) for header in headers}
    if len(shapes) > 1:
        raise headers[-1].source.invalid(
            "other_shape",
            "the shape or type is not that of the files before it",
            expected=f"{headers[0].dtype.name} {list(headers[0].shape[1:])}",
            got=f"{headers[-1].dtype.name} {list(headers[-1].shape[1:])}",
        )
    shape, dtype = shapes.pop()
    values = np.empty((sum(rows.values()), *shape), dtype)
    start = 0
    for header in headers:
        count = rows[header.part]
        _fill(header, values[start : start + count])
        start += count
    values = values.astype(dtype.newbyteorder("="), copy=False)
    return Arrays(values) if shape else numbers(narrow(values))


def _fill(header: Header, values: NDArray[Any]) -> None:
    """Read the values of one file into their place, no more than there is room for."""
    target: Any = memoryview(values.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    whole = values.shape[0] == header.shape[0]
    with header.source.open() as stream:
        stream.read(header.start)
        done = _read_into(stream, target)
        if done < len(target):
            raise _wrong_length(header, header.start + done)
        if whole and stream.read(1):
            raise _wrong_length(header, header.start + header.bytes + 1)


def _read_into(stream: BinaryIO, target: Any) -> int:
    done = 0
    while done < len(target):
        count: int = stream.readinto(target[done : done + PIECE])  # type: ignore[attr-defined]
        if not count:
            break
        done += count
    return done
