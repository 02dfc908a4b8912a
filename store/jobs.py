"""Jobs: made, read, listed, cancelled, paused by users; workers' half comes from `leases`."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from core.errors import BadTransition, NotFound
from core.ids import new_id
from core.states import HELD, JobState, Reason
from store import datasets
from store.leases import (
    Beat as Beat,
    Claim as Claim,
    beat as beat,
    cancelled as cancelled,
    claim as claim,
    fail as fail,
    finish as finish,
    look as look,
    paused as paused,
    requeue as requeue,
    sweep as sweep,
    wakeable as wakeable,
)
from store.moves import move as move, record
from store.pages import Page, page as pages
from store.tables import Job, JobMove


def create(
    session: Session,
    *,
    project_id: str,
    spec: dict[str, Any],
    plan: dict[str, Any],
    name: str,
    dataset_version_id: str | None,
    priority: int = 0,
    max_attempts: int = 5,
    total_steps: int | None = None,
) -> Job:
    """A job that has been validated, and waits for a worker. A higher priority goes first.

    Raises NotFound where the dataset has been deleted meanwhile.
    """
    if dataset_version_id is not None:
        datasets.keep(session, dataset_version_id)
    job = Job(
        id=new_id("job"),
        project_id=project_id,
        spec=spec,
        plan=plan,
        name=name,
        dataset_version_id=dataset_version_id,
        rank=-priority,
        max_attempts=max_attempts,
        total_steps=total_steps,
        events=1,
    )
    session.add(job)
    session.flush()
    record(session, job, attempt=0)
    return move(session, job.id, JobState.QUEUED)


def get(session: Session, project_id: str, job_id: str) -> Job:
    """The project's job as the database has it now; NotFound for anybody else's."""
    return _one(session, job_id, _own(project_id, job_id))


def load(session: Session, job_id: str) -> Job:
    """The job of whatever project, for those who serve all."""
    return _one(session, job_id, select(Job).where(Job.id == job_id))


def page(
    session: Session,
    project_id: str,
    *,
    states: Iterable[JobState] = (),
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Job]:
    """The project's jobs, newest first, in any of `states` (all, where none is given)."""
    query = select(Job).where(Job.project_id == project_id)
    wanted = sorted(set(states))
    if wanted:
        query = query.where(Job.state.in_(wanted))
    return pages(
        session,
        query,
        keys=(Job.created_at, Job.id),
        cursor=cursor,
        limit=limit,
        scope=f"jobs {project_id} {' '.join(wanted)}",
    )


def history(session: Session, job_id: str) -> list[JobMove]:
    return list(session.scalars(select(JobMove).filter_by(job_id=job_id).order_by(JobMove.seq)))


def waiting(session: Session) -> int:
    """How many jobs are queued, of all projects."""
    queued = select(func.count()).select_from(Job).where(Job.state == JobState.QUEUED)
    return session.scalar(queued) or 0


def counts(session: Session, project_id: str | None = None) -> dict[JobState, int]:
    """How many jobs there are in each state."""
    query = select(Job.state, func.count()).group_by(Job.state)
    if project_id is not None:
        query = query.where(Job.project_id == project_id)
    found = dict(session.execute(query).all())
    return {state: found.get(state, 0) for state in JobState}


def versions(session: Session, job_ids: Iterable[str]) -> dict[str, int]:
    """The versions of jobs: a version that did not grow means that nothing changed."""
    query = select(Job.id, Job.version).where(Job.id.in_(list(job_ids)))
    return dict(session.execute(query).all())


def request_cancel(session: Session, project_id: str, job_id: str) -> Job:
    """End a job: at once where no worker holds it, else as soon as its worker hears of it.

    A second request changes nothing; Conflict where the job is over.
    """
    job = get_for_update(session, project_id, job_id)
    if job.state is JobState.CANCELLING:
        return job
    if job.state in HELD:
        wish = {"cancel_requested": True}
        return move(session, job_id, JobState.CANCELLING, reason=Reason.USER, values=wish)
    return move(session, job_id, JobState.CANCELLED, reason=Reason.USER)


def request_pause(session: Session, project_id: str, job_id: str) -> Job:
    """Stop a job at its next checkpoint, to be resumed later; Conflict where it cannot be."""
    job = get_for_update(session, project_id, job_id)
    if job.state in (JobState.PAUSING, JobState.PAUSED):
        return job
    if job.state is JobState.RUNNING:
        wish = {"pause_requested": True}
        return move(session, job_id, JobState.PAUSING, reason=Reason.USER, values=wish)
    return move(session, job_id, JobState.PAUSED, reason=Reason.USER)


def resume(session: Session, project_id: str, job_id: str) -> Job:
    """Queue a paused job again, with a fresh count of attempts without a checkpoint."""
    job = get_for_update(session, project_id, job_id)
    if job.state is not JobState.PAUSED:
        raise BadTransition(f"job {job_id} is {job.state}: only a paused job can be resumed")
    fresh = {"barren_attempts": 0}
    return move(session, job_id, JobState.QUEUED, reason=Reason.USER, values=fresh)


def get_for_update(session: Session, project_id: str, job_id: str) -> Job:
    """The project's job, which nobody else can write until the transaction ends."""
    return _one(session, job_id, _own(project_id, job_id).with_for_update())


def _own(project_id: str, job_id: str) -> Select[Job]:
    return select(Job).where(Job.project_id == project_id, Job.id == job_id)


def _one(session: Session, job_id: str, query: Select[Job]) -> Job:
    job = session.scalars(query, execution_options={"populate_existing": True}).one_or_none()
    if job is None:
        raise NotFound("job", job_id)
    return job
