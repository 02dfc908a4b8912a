"""The files of a job's dataset, from the store to local disk."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from spec.data.sources import DataFile
from store import blobs, datasets
from store.tables import DatasetVersion
from worker.cache import Cache
from worker.database import Database
from worker.progress import persist


@dataclass(frozen=True)
class LocalDataset:
    """A version of a dataset whose files are here."""

    version: DatasetVersion
    files: list[DataFile]
    sha256: dict[str, str]  # by the file's name

    def document(self) -> dict[str, Any]:
        """What a model remembers of its data."""
        return {"version_id": self.version.id, "files": self.sha256}


def fetch(
    database: Database, cache: Cache, version_id: str, *, moved: Callable[[], None]
) -> LocalDataset:
    """The files of a version, each verified by its SHA-256. `moved` is called as bytes come."""
    version, rows = persist(partial(_read, database, version_id))
    files = []
    for row in rows:
        source = partial(blobs.stream, database.read, row.sha256)
        path = persist(partial(cache.fetch, row.sha256, source, moved=moved))
        files.append(DataFile(row.name, path))
    return LocalDataset(version, files, {row.name: row.sha256 for row in rows})


def _read(database: Database, version_id: str) -> tuple[DatasetVersion, list[Any]]:
    with database.read() as session:
        version = datasets.load_version(session, version_id)
        return version, list(datasets.files(session, version_id))
