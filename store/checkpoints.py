"""Checkpoints: what a job can be resumed from. Added by `progress.commit` only."""

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from store.tables import Checkpoint


def latest(session: Session, job_id: str) -> Checkpoint | None:
    return session.scalars(_newest_first(job_id).limit(1)).one_or_none()


def list_(session: Session, job_id: str) -> list[Checkpoint]:
    """The job's checkpoints, newest first: where one is damaged, the next may do."""
    return list(session.scalars(_newest_first(job_id)))


def prune(session: Session, job_id: str, *, keep: int) -> int:
    """Forget all but the newest `keep` (at least one); returns how many went."""
    old = _newest_first(job_id).with_only_columns(Checkpoint.id).offset(max(1, keep))
    names = session.scalars(old).all()
    if names:
        session.execute(delete(Checkpoint).where(Checkpoint.id.in_(names)))
    return len(names)


def drop_after(session: Session, job_id: str, step: int) -> int:
    """Forget the checkpoints of steps after `step`; returns how many went."""
    gone = delete(Checkpoint).where(Checkpoint.job_id == job_id, Checkpoint.step > step)
    return len(session.execute(gone.returning(Checkpoint.id)).all())


def _newest_first(job_id: str) -> Select[Checkpoint]:
    return select(Checkpoint).filter_by(job_id=job_id).order_by(Checkpoint.step.desc())
