"""The moves of a job from state to state: one conditional UPDATE, and its line in the history."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.orm import Session

from core.errors import BadTransition, NotFound
from core.states import HELD, TERMINAL, JobState, Reason, sources
from store import events
from store.clock import later, now
from store.tables import Job, JobMove


def move(
    session: Session,
    job_id: str,
    to: JobState,
    *,
    reason: Reason | None = None,
    error: dict[str, Any] | None = None,
    where: Iterable[ColumnElement[bool]] = (),
    values: dict[str, Any] | None = None,
    delay_seconds: float = 0,
    counted: bool = True,
) -> Job:
    """Move the job, in one statement, so that two movers cannot both win; and write it down.

    Unless it is `counted`, the attempt that ends is taken back from the count of attempts.
    Raises BadTransition where the job is in no state from which `to` can be reached.
    """
    moved = session.scalars(
        update(Job)
        .where(Job.id == job_id, Job.state.in_(sources(to)), *where)
        .values(
            state=to,
            reason=reason,
            error=error,
            events=Job.events + 1,
            version=Job.version + 1,
            attempt=Job.attempt if counted else Job.attempt - 1,
            **_consequences(to, delay_seconds),
            **(values or {}),
        )
        .returning(Job),
        execution_options={"synchronize_session": False, "populate_existing": True},
    ).one_or_none()
    if moved is None:
        raise refusal(session, job_id, to)
    record(session, moved, attempt=moved.attempt if counted else moved.attempt + 1)
    return moved


def refusal(session: Session, job_id: str, to: JobState) -> BadTransition | NotFound:
    """Why a job could not be moved."""
    state = session.scalar(select(Job.state).where(Job.id == job_id))
    if state is None:
        return NotFound("job", job_id)
    return BadTransition(f"job {job_id} is {state}, cannot become {to}")


def record(session: Session, job: Job, *, attempt: int) -> None:
    """Add the job's present state to its history and its events, under the number reserved."""
    last = select(JobMove.after).filter_by(job_id=job.id).order_by(JobMove.seq.desc()).limit(1)
    before = session.scalar(last)
    why = {"reason": job.reason, "attempt": attempt}
    line = {"job_id": job.id, "seq": job.events, "before": before, "after": job.state}
    session.execute(insert(JobMove).values(**line, **why))
    data: dict[str, Any] = {"from": before, "to": job.state, **why}
    if job.error is not None:
        data["error"] = job.error
    events.write(session, job.id, job.events, [{"type": "state", "data": data}])


def _consequences(to: JobState, delay_seconds: float) -> dict[str, Any]:
    """What else is true of a job that has come to a state."""
    values: dict[str, Any] = {}
    if to not in HELD:
        values |= {"lease_owner": None, "lease_until": None}
        values |= {"cancel_requested": False, "pause_requested": False}
    if to in TERMINAL:
        values["finished_at"] = now()
    if to is JobState.QUEUED:
        values |= {"run_at": later(delay_seconds), "woken_at": None}
    return values
