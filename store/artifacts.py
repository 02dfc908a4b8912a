"""Artifacts: the files that jobs produced."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.ids import new_id
from store.base import insert
from store.blobs import BlobRef
from store.clock import now
from store.leases import Claim, hold
from store.tables import Artifact, Job


def add(session: Session, claim: Claim, *, name: str, blob: BlobRef, media_type: str) -> Artifact:
    """Give the job a file, in the place of one of the same name. Raises LeaseLost."""
    hold(session, claim, {}, (Job.id,))
    values = {"media_type": media_type, "sha256": blob.sha256, "bytes": blob.bytes}
    statement = insert(session, Artifact).values(
        id=new_id("art"), job_id=claim.job_id, name=name, **values
    )
    return session.scalars(
        statement.on_conflict_do_update(
            index_elements=["job_id", "name"], set_=values | {"created_at": now()}
        ).returning(Artifact),
        execution_options={"populate_existing": True},
    ).one()


def list_(session: Session, job_id: str) -> list[Artifact]:
    query = select(Artifact).filter_by(job_id=job_id)
    return list(session.scalars(query.order_by(Artifact.name)))


def get(session: Session, job_id: str, name: str) -> Artifact:
    artifact = session.scalars(select(Artifact).filter_by(job_id=job_id, name=name)).one_or_none()
    if artifact is None:
        raise NotFound("file", name)
    return artifact
