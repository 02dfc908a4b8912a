"""A little room on the disk, given up when it is full, so that it can be written down that it is.

Only where the database is a SQLite file beside it: its log must grow for the smallest write, unless
what it holds finds room in the database. That may be four mebibytes, at which SQLite begins to move
them there, and one more transaction of a blob; the rest is to spare.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

RESERVE_BYTES = 16 * 2**20


def hold(folder: Path) -> bool:
    """Take the room, if it is not held already; False where there is none to take.

    As much again must stay free: what was given up is not taken from those it was meant for.
    """
    path = folder / "reserve"
    if path.exists():
        return True
    own = folder / f"reserve.{os.getpid()}"
    try:
        if shutil.disk_usage(folder).free < 2 * RESERVE_BYTES:
            return False
        with own.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
        own.replace(path)
    except OSError:
        own.unlink(missing_ok=True)
        return False
    return True


def release(folder: Path) -> None:
    """Give the room to whoever writes next."""
    with suppress(OSError):
        (folder / "reserve").unlink(missing_ok=True)
