"""Jobs in the hands of workers: claimed, kept, given back; and taken from those who died.

A claim is a lease with a fence. Every write carries the fence, and one that is stale changes
nothing and raises LeaseLost. Time is the database's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, case, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.errors import LeaseLost
from core.states import HELD, JobState, Reason
from store.clock import later, now
from store.moves import move, record
from store.tables import Job

MAX_BARREN_ATTEMPTS = 3
QUIET: dict[str, Any] = {"synchronize_session": False, "populate_existing": True}


@dataclass(frozen=True)
class Claim:
    """A worker's right to a job; plain data, so that it can be handed to another process."""

    job_id: str
    project_id: str
    fence: int
    worker_id: str
    name: str
    attempt: int
    max_attempts: int
    priority: int
    spec: dict[str, Any]
    plan: dict[str, Any]
    dataset_version_id: str | None
    checkpoint_step: int | None


@dataclass(frozen=True)
class Beat:
    state: JobState
    cancel_requested: bool
    pause_requested: bool


def claim(session: Session, *, worker_id: str, lease_seconds: float) -> Claim | None:
    """The next job of the queue, now running under a lease of the worker's; None where none waits.

    Jobs that another worker is just claiming are passed over, not waited for.
    """
    following = (
        select(Job.id)
        .where(Job.state == JobState.QUEUED, Job.run_at <= now())
        .order_by(Job.rank, Job.created_at, Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    job = session.scalars(
        update(Job)
        .where(Job.id == following, Job.state == JobState.QUEUED)
        .values(
            state=JobState.RUNNING,
            reason=None,
            error=None,
            fence=Job.fence + 1,
            attempt=Job.attempt + 1,
            lease_owner=worker_id,
            lease_until=later(lease_seconds),
            commits=0,
            started_at=case((Job.started_at.is_(None), now()), else_=Job.started_at),
            events=Job.events + 1,
            version=Job.version + 1,
        )
        .returning(Job),
        execution_options=QUIET,
    ).one_or_none()
    if job is None:
        return None
    record(session, job, attempt=job.attempt)
    return _claim_of(job, worker_id)


def beat(session: Session, claim: Claim, *, lease_seconds: float, step: int | None = None) -> Beat:
    """Renew the lease, and hear what users want. Raises LeaseLost."""
    values: dict[str, Any] = {"lease_until": later(lease_seconds)}
    if step is not None:
        values["step"] = step
    row = hold(session, claim, values, (Job.state, Job.cancel_requested, Job.pause_requested))
    return Beat(row.state, row.cancel_requested, row.pause_requested)


def look(session: Session, claim: Claim) -> Beat:
    """Hear what users want, and write nothing. Raises LeaseLost."""
    row = session.execute(
        select(Job.state, Job.cancel_requested, Job.pause_requested).where(
            Job.id == claim.job_id, Job.fence == claim.fence
        )
    ).one_or_none()
    if row is None or row.state not in HELD:
        raise LeaseLost(claim.job_id, claim.fence)
    return Beat(row.state, row.cancel_requested, row.pause_requested)


def finish(
    session: Session,
    claim: Claim,
    *,
    reason: Reason = Reason.COMPLETED,
    summary: dict[str, Any] | None = None,
    step: int | None = None,
    epoch: int | None = None,
) -> Job:
    """The job has succeeded; `summary` (final metrics) joins what it had. Raises LeaseLost."""
    job = _held(session, claim)
    values: dict[str, Any] = {"summary": {**job.summary, **(summary or {})}}
    if step is not None:
        values["step"] = step
    if epoch is not None:
        values["epoch"] = epoch
    return _end(session, claim, JobState.SUCCEEDED, reason=reason, values=values)


def fail(session: Session, claim: Claim, *, reason: Reason, error: dict[str, Any]) -> Job:
    """The job has failed for good: another attempt would fail likewise. Raises LeaseLost."""
    _held(session, claim)
    return _end(session, claim, JobState.FAILED, reason=reason, error=error)


def cancelled(session: Session, claim: Claim) -> Job:
    """The worker has stopped the job as it was asked to. Raises LeaseLost, BadTransition."""
    _held(session, claim)
    return _end(session, claim, JobState.CANCELLED, reason=Reason.USER)


def paused(
    session: Session,
    claim: Claim,
    *,
    reason: Reason = Reason.USER,
    error: dict[str, Any] | None = None,
) -> Job:
    """The worker has stopped the job until somebody resumes it; the attempt does not count.

    Raises LeaseLost, BadTransition.
    """
    _held(session, claim)
    return _end(session, claim, JobState.PAUSED, reason=reason, error=error, counted=False)


def requeue(
    session: Session,
    claim: Claim,
    *,
    reason: Reason,
    count_attempt: bool = True,
    error: dict[str, Any] | None = None,
    max_barren_attempts: int = MAX_BARREN_ATTEMPTS,
    delay_seconds: float = 0,
) -> Job:
    """Give the job back, to be gone on with from its last checkpoint; returns what became of it.

    An attempt that counts brings the job nearer to its limits, and at a limit it fails. One that
    does not (the worker was told to stop) leaves no trace in the counts. A job that users asked to
    cancel or pause is cancelled or paused instead. Raises LeaseLost.
    """
    job = _held(session, claim)
    if not count_attempt and job.state is JobState.RUNNING:
        return _end(
            session, claim, JobState.QUEUED, reason=reason, delay=delay_seconds, counted=False
        )
    return _give_back(session, job, reason, error, max_barren_attempts, delay_seconds)


def sweep(
    session: Session, *, max_barren_attempts: int = MAX_BARREN_ATTEMPTS, limit: int = 100
) -> list[str]:
    """Take jobs whose lease has run out from their workers; returns their names.

    They are queued again or, at their limits, failed; those being cancelled or paused are then
    cancelled or paused. Rows that another transaction holds are left for the next sweep.
    """
    expired = session.scalars(
        select(Job)
        .where(Job.state.in_(HELD), Job.lease_until < now())
        .order_by(Job.lease_until)
        .limit(limit)
        .with_for_update(skip_locked=True),
        execution_options=QUIET,
    ).all()
    for job in expired:
        _give_back(session, job, Reason.WORKER_LOST, None, max_barren_attempts, 0)
    return [job.id for job in expired]


def wakeable(session: Session, *, waiting_seconds: float = 2, again_seconds: float = 30) -> int:
    """How many jobs have waited for so long that workers should be woken; notes that they are."""
    unheard = or_(Job.woken_at.is_(None), Job.woken_at < later(-again_seconds))
    due = select(Job.id).where(
        Job.state == JobState.QUEUED, Job.run_at < later(-waiting_seconds), unheard
    )
    found = session.scalars(due.limit(1000).with_for_update(skip_locked=True)).all()
    if found:
        session.execute(
            update(Job).where(Job.id.in_(found)).values(woken_at=now()), execution_options=QUIET
        )
    return len(found)


def hold(
    session: Session,
    claim: Claim,
    values: dict[str, Any],
    columns: Sequence[InstrumentedAttribute[Any]],
) -> Any:
    """Write under the fence, which locks the row until the transaction ends; LeaseLost if stale."""
    row = session.execute(
        update(Job)
        .where(*_fenced(claim))
        .values(version=Job.version + 1, **values)
        .returning(*columns),
        execution_options=QUIET,
    ).one_or_none()
    if row is None:
        raise LeaseLost(claim.job_id, claim.fence)
    return row


def _held(session: Session, claim: Claim) -> Job:
    """The job, locked; LeaseLost where the claim is stale."""
    query = select(Job).where(*_fenced(claim)).with_for_update()
    job = session.scalars(query, execution_options=QUIET).one_or_none()
    if job is None:
        raise LeaseLost(claim.job_id, claim.fence)
    return job


def _end(
    session: Session,
    claim: Claim,
    to: JobState,
    *,
    reason: Reason,
    error: dict[str, Any] | None = None,
    values: dict[str, Any] | None = None,
    delay: float = 0,
    counted: bool = True,
) -> Job:
    return move(
        session,
        claim.job_id,
        to,
        reason=reason,
        error=error,
        where=_fenced(claim),
        values=values,
        delay_seconds=delay,
        counted=counted,
    )


def _give_back(
    session: Session,
    job: Job,
    reason: Reason,
    error: dict[str, Any] | None,
    max_barren_attempts: int,
    delay_seconds: float,
) -> Job:
    """Where a held and locked job goes when its attempt has ended without an end."""
    fence = [Job.fence == job.fence]
    if job.state is JobState.CANCELLING:
        return move(session, job.id, JobState.CANCELLED, reason=Reason.USER, where=fence)
    if job.state is JobState.PAUSING:
        return move(
            session, job.id, JobState.PAUSED, reason=Reason.USER, where=fence, counted=False
        )
    barren = 0 if job.checkpoint_fence == job.fence else job.barren_attempts + 1
    values = {"barren_attempts": barren}
    if job.attempt < job.max_attempts and barren < max_barren_attempts:
        return move(
            session,
            job.id,
            JobState.QUEUED,
            reason=reason,
            error=error,
            where=fence,
            values=values,
            delay_seconds=delay_seconds,
        )
    error = error or _hopeless(job, barren)
    return move(
        session, job.id, JobState.FAILED, reason=reason, error=error, where=fence, values=values
    )


def _hopeless(job: Job, barren: int) -> dict[str, Any]:
    if job.attempt >= job.max_attempts:
        why = f"attempt {job.attempt} of {job.max_attempts} ended before the job did"
    else:
        why = f"{barren} attempts in a row ended without a new checkpoint"
    return {"code": "attempts_exhausted", "detail": why}


def _fenced(claim: Claim) -> list[ColumnElement[bool]]:
    return [Job.id == claim.job_id, Job.fence == claim.fence, Job.state.in_(HELD)]


def _claim_of(job: Job, worker_id: str) -> Claim:
    return Claim(
        job_id=job.id,
        project_id=job.project_id,
        fence=job.fence,
        worker_id=worker_id,
        name=job.name,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        priority=job.priority,
        spec=job.spec,
        plan=job.plan,
        dataset_version_id=job.dataset_version_id,
        checkpoint_step=job.checkpoint_step,
    )
