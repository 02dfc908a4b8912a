"""A little room on the disk, given up when it is full, so that it can be written down that it is.

Only where the database is a SQLite file beside it: its log must grow for the smallest write.
"""

import os
from contextlib import suppress
from pathlib import Path

RESERVE_BYTES = 4 * 2**20


def hold(folder: Path) -> bool:
    """Take the room, if it is not held already; False where there is none to take."""
    path = folder / "reserve"
    if path.exists():
        return True
    own = folder / f"reserve.{os.getpid()}"
    try:
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
