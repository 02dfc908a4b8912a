"""Uploads become the files of a dataset: read through once, and refused where they are bad."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from api.schemas.datasets import VersionCreate
from api.service import Service
from api.staging import staged
from core.errors import NotFound, Problem
from spec.data.limits import Limits
from spec.data.profile import DataProfile, profile
from store import datasets, uploads
from store.datasets import FileRef
from store.tables import Dataset, DatasetVersion


@dataclass(frozen=True)
class Ingested:
    """Files that have been read, and what they hold."""

    files: list[FileRef]
    options: dict[str, Any]
    profile: DataProfile

    def add_to(self, session: Session, dataset: Dataset) -> DatasetVersion:
        columns = self.profile.columns
        return datasets.add_version(
            session,
            dataset,
            files=self.files,
            format=self.profile.format,
            options=self.options,
            rows=self.profile.rows,
            schema=[{"name": column.name, "type": column.type} for column in columns],
            profile=self.profile.to_json(),
        )


def ingest(service: Service, project_id: str, body: VersionCreate) -> Ingested:
    """Read the uploads. Raises NotFound for a missing one, Invalid for whatever is wrong inside."""
    with service.readers.begin() as session:
        files = [
            _upload(session, project_id, index, name) for index, name in enumerate(body.uploads)
        ]
    named = [(file.name, file.sha256) for file in files]
    with staged(service.readers, service.settings.data_dir, named) as paths:
        found = profile(
            paths,
            format=body.format,
            options=body.options,
            limits=Limits.of(service.settings),
        )
    return Ingested(files, body.options, found)


def _upload(session: Session, project_id: str, index: int, upload_id: str) -> FileRef:
    try:
        upload = uploads.get(session, project_id, upload_id)
    except NotFound as error:
        error.problems = (
            Problem(
                pointer=f"/uploads/{index}",
                code="not_found",
                detail=error.detail,
                got=upload_id,
                hint="upload the file again: uploads are kept for a limited time",
            ),
        )
        raise
    return FileRef(upload.filename, upload.sha256, upload.bytes)
