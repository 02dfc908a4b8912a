"""How long the queue has made its oldest job wait."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.states import JobState
from store.clock import now
from store.tables import Job


def oldest_wait_seconds(session: Session, project_id: str | None = None) -> float | None:
    """By the database's clock; None where no job waits. Jobs that wait for a retry do not count."""
    query = select(func.min(Job.run_at), now()).where(
        Job.state == JobState.QUEUED, Job.run_at <= now()
    )
    if project_id is not None:
        query = query.where(Job.project_id == project_id)
    oldest, moment = session.execute(query).one()
    return None if oldest is None else max(0.0, (moment - oldest).total_seconds())
