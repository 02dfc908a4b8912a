"""Uploads: files that were sent and wait, for a while, to become part of a dataset."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.ids import new_id
from store.blobs import BlobRef
from store.clock import later, now
from store.tables import Upload


def create(
    session: Session, *, project_id: str, filename: str, blob: BlobRef, ttl_seconds: float
) -> Upload:
    upload = Upload(
        id=new_id("upl"),
        project_id=project_id,
        filename=filename,
        sha256=blob.sha256,
        bytes=blob.bytes,
        expires_at=later(ttl_seconds),
    )
    session.add(upload)
    session.flush()
    session.refresh(upload)
    return upload


def get(session: Session, project_id: str, upload_id: str) -> Upload:
    """The project's upload; NotFound once it has expired."""
    query = select(Upload).where(
        Upload.project_id == project_id, Upload.id == upload_id, Upload.expires_at > now()
    )
    upload = session.scalars(query).one_or_none()
    if upload is None:
        raise NotFound("upload", upload_id)
    return upload


def expire(session: Session) -> int:
    """Forget uploads whose time is over; their bytes go with the next collection of blobs."""
    gone = delete(Upload).where(Upload.expires_at <= now()).returning(Upload.id)
    return len(session.execute(gone, execution_options={"synchronize_session": False}).all())
