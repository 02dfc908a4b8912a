"""Which format a file has: by its content and its name, or because the user says so."""

import re
from pathlib import PurePath
from typing import Literal

from spec.data.sources import GZIP, Source

Format = Literal["csv", "parquet", "npz", "idx"]
SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".npz": "npz",
    ".idx": "idx",
}
IDX_NAME = re.compile(r"idx\d-u?byte$")
OTHERS = {
    b"\x93NUMPY": ("a single NumPy array", "save it with its labels as one NPZ file"),
    b"\x89HDF": ("an HDF5 file", "export it as Parquet or NPZ"),
    b"\x89PNG": ("a PNG image", "put the images into one NPZ file"),
    b"\xff\xd8\xff": ("a JPEG image", "put the images into one NPZ file"),
    b"%PDF": ("a PDF document", "export the table as CSV"),
    b"SQLite format": ("an SQLite database", "export the table as CSV"),
    b"ARROW1": ("an Arrow file", "save it as Parquet"),
    b"ORC": ("an ORC file", "save it as Parquet"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save the sheet as CSV"),
    b"BZh": ("a bzip2 file", "decompress it, or use gzip"),
    b"\xfd7zXZ": ("an xz file", "decompress it, or use gzip"),
    b"\x28\xb5\x2f\xfd": ("a zstd file", "decompress it, or use gzip"),
    b"\x80\x04\x95": ("a pickle", "export the table as CSV, Parquet or NPZ"),
}


def detect(source: Source, explicit: Format | None) -> Format:
    """The format of a file; raises Invalid where name, content or the user's word disagree."""
    content = _by_content(source)
    if explicit is not None:
        if content != explicit:
            raise source.invalid(
                "format_mismatch",
                f"the format is given as {explicit}, but the content is {content}",
                expected=explicit,
                got=content,
                hint=f"leave the format out, or give {content}",
            )
        return explicit
    named = _by_name(source.name)
    if named is not None and named != content:
        raise source.invalid(
            "format_mismatch",
            f"the name says {named}, but the content is {content}",
            expected=named,
            got=content,
            hint=f"rename the file, or give the format: {content}",
        )
    return content


def _by_name(name: str) -> Format | None:
    path = PurePath(name.lower())
    if path.suffix == ".gz":
        path = path.with_suffix("")
    if IDX_NAME.search(path.name):
        return "idx"
    return SUFFIXES.get(path.suffix)


def _by_content(source: Source) -> Format:
    with source.path.open("rb") as file:
        head = file.read(4096)
    if not head:
        raise source.invalid("empty_file", "the file is empty", got="0 bytes")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "npz"
    if head.startswith(GZIP):
        with source.open() as stream:
            head = stream.read(4096)
    if head[:2] == b"\0\0" and len(head) >= 4 and head[2] in _IDX_TYPES and 1 <= head[3] <= 8:
        return "idx"
    for magic, (what, hint) in OTHERS.items():
        if head.startswith(magic):
            raise source.invalid(
                "unknown_format",
                f"the file is {what}",
                expected="csv, parquet, npz or idx",
                got=what,
                hint=hint,
            )
    return "csv"


_IDX_TYPES = (0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E)
