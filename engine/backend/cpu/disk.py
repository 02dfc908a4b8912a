"""A folder of what was compiled: written whole or not at all, sealed, bounded in size.

`GRADWORKS_CACHE` names the folder, else it lies in `~/.cache/gradworks`. Processes may share it:
each writes a file of its own, which then takes the name.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

CACHE_BYTES = 512 << 20
_KINDS = ("*.so", "*.o", "*.plan")
_STALE_SECONDS = 3600  # after which nobody writes to an unfinished file any more


def find(name: str) -> bytes | None:
    """The content of a file that is there and whole; it counts as used now."""
    path = usable_folder() / name
    try:
        content = path.read_bytes()
    except OSError:
        return None
    size = len(_seal(b""))
    if content[-size:] != _seal(content[:-size]):
        return None
    with suppress(OSError):
        os.utime(path)
    return content[:-size]


def keep(name: str, write: Callable[[Path], None]) -> Path:
    """The file that `write` filled, sealed, under its name; a broken one is replaced.

    OSError where there is no room; then nothing is left behind.
    """
    folder = usable_folder()
    descriptor, made = tempfile.mkstemp(dir=folder, suffix=".part")
    os.close(descriptor)
    part = Path(made)
    try:
        write(part)
        with part.open("ab") as file:
            file.write(_seal(part.read_bytes()))
        path = folder / name
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _shrink(folder, keep=path)
    return path


def drop(name: str) -> None:
    with suppress(OSError):
        (usable_folder() / name).unlink(missing_ok=True)


def folder() -> Path:
    named = os.environ.get("GRADWORKS_CACHE")
    if named:
        return Path(named) / "c"
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "gradworks" / "c"


def usable_folder() -> Path:
    """The folder, or one for this process alone where it cannot be written to."""
    wanted = folder()
    with suppress(OSError):
        wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(wanted, os.W_OK | os.X_OK):
            return wanted
    return _private_folder()


@cache
def _private_folder() -> Path:
    made = Path(tempfile.mkdtemp(prefix="gradworks-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def _seal(content: bytes) -> bytes:
    """What stands behind a file's content: an object cut short would crash who loads it."""
    return b"gradworks" + hashlib.sha256(content).digest()


def _shrink(folder: Path, keep: Path) -> None:
    """Drop what was used longest ago until the folder is within its size, and what was left."""
    with suppress(OSError):
        for left in folder.glob("*.part"):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                _remove(left)
        paths = [path for kind in _KINDS for path in folder.glob(kind)]
        known = sorted((p.stat().st_mtime, p.stat().st_size, p) for p in paths)
        total = sum(size for _, size, _ in known)
        for _, size, path in known:
            if total <= CACHE_BYTES:
                return
            if path != keep:
                path.unlink(missing_ok=True)
                total -= size


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
