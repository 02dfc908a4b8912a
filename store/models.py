"""Models: what finished jobs leave. Their files are the artifacts of their jobs."""

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.ids import new_id
from store.base import finite
from store.leases import QUIET, Claim, hold
from store.pages import Page, page as pages
from store.tables import Job, Model


def create(
    session: Session,
    claim: Claim,
    *,
    name: str,
    manifest: dict[str, Any],
    metrics: dict[str, Any],
) -> Model:
    """The model of the job; a job has at most one. Raises LeaseLost."""
    hold(session, claim, {}, (Job.id,))
    model = Model(
        id=new_id("mod"),
        project_id=claim.project_id,
        job_id=claim.job_id,
        name=name,
        manifest=manifest,
        metrics=finite(metrics),
    )
    session.add(model)
    session.flush()
    session.execute(
        update(Job).where(Job.id == claim.job_id).values(model_id=model.id), execution_options=QUIET
    )
    return model


def get(session: Session, project_id: str, model_id: str) -> Model:
    model = session.scalars(
        select(Model).where(Model.project_id == project_id, Model.id == model_id)
    ).one_or_none()
    if model is None:
        raise NotFound("model", model_id)
    return model


def for_job(session: Session, job_id: str) -> Model | None:
    """The model of a job, once it has one."""
    return session.scalars(select(Model).filter_by(job_id=job_id)).one_or_none()


def page(
    session: Session, project_id: str, *, cursor: str | None = None, limit: int = 50
) -> Page[Model]:
    return pages(
        session,
        select(Model).where(Model.project_id == project_id),
        keys=(Model.created_at, Model.id),
        cursor=cursor,
        limit=limit,
        scope=f"models {project_id}",
    )
