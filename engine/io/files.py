"""Writing a file so that a reader sees all of it or none of it, whatever dies in between."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any


def write_file(path: str | os.PathLike[str], chunks: Iterable[Any]) -> int:
    """Write the chunks (bytes or buffers) to `path`; return how many bytes that made.

    They go to a temporary name beside it, are flushed to the disk, renamed into place, and then
    the folder is flushed too. Where anything fails the temporary file is removed and what `path`
    held before stays.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{token_hex(8)}.tmp")
    try:
        written = _write_through(temporary, chunks)
        os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    _flush_folder(target.parent)
    return written


def _write_through(path: Path, chunks: Iterable[Any]) -> int:
    written = 0
    with open(path, "xb") as file:
        for chunk in chunks:
            written += file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return written


def _flush_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut (a folder cannot be opened on Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
