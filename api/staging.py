"""Stored files as paths, for readers that need them: under the data folder, for a while."""

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from spec.data.sources import DataFile
from store import blobs

FORGOTTEN_SECONDS = 3600


def folder(data_dir: Path) -> Path:
    made = data_dir / "staging"
    made.mkdir(mode=0o700, parents=True, exist_ok=True)
    return made


@contextmanager
def staged(
    readers: sessionmaker[Session], data_dir: Path, files: Iterable[tuple[str, str]]
) -> Iterator[list[DataFile]]:
    """Files given as (name, sha256), in a folder that is gone afterwards whatever happens."""
    with tempfile.TemporaryDirectory(prefix="read-", dir=folder(data_dir)) as place:
        found = []
        for index, (name, sha256) in enumerate(files):
            path = Path(place) / str(index)
            blobs.get_file(readers, sha256, path)
            found.append(DataFile(name, path))
        yield found


def sweep(data_dir: Path) -> None:
    """Remove what a process that was killed left behind."""
    for path in folder(data_dir).iterdir():
        if path.stat().st_mtime < time.time() - FORGOTTEN_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
