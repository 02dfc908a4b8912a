"""Events: what happened in a job, numbered without gaps."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from core.errors import NotFound
from store.base import rows_of
from store.tables import Event, Job


def append(session: Session, job_id: str, type: str, data: dict[str, Any]) -> int:
    """Add one event; returns its number."""
    return extend(session, job_id, [{"type": type, "data": data}])


def extend(session: Session, job_id: str, events: Iterable[dict[str, Any]]) -> int:
    """Add events `{"type": …, "data": {…}}` in order; returns the number of the last.

    `data["step"]`, where there is one, says which events a resumed attempt will do again.
    """
    added = list(events)
    last = session.scalar(
        update(Job)
        .where(Job.id == job_id)
        .values(events=Job.events + len(added), version=Job.version + 1)
        .returning(Job.events)
        .execution_options(synchronize_session=False)
    )
    if last is None:
        raise NotFound("job", job_id)
    write(session, job_id, last - len(added) + 1, added)
    return last


def write(session: Session, job_id: str, first: int, events: list[dict[str, Any]]) -> None:
    """Add events under numbers that the caller has reserved in `jobs.events`."""
    rows = [
        {
            "job_id": job_id,
            "seq": first + index,
            "type": event["type"],
            "data": event["data"],
            "step": _step(event),
        }
        for index, event in enumerate(events)
    ]
    if rows:
        session.execute(insert(rows_of(Event)), rows)


def after(
    session: Session,
    job_id: str,
    seq: int = 0,
    limit: int = 1000,
    *,
    types: Iterable[str] | None = None,
    superseded: bool = False,
) -> list[Event]:
    """The job's events numbered higher than `seq`, in order.

    Leaves out those that a later attempt has done again, unless `superseded`.
    """
    query = select(Event).where(Event.job_id == job_id, Event.seq > seq)
    if types is not None:
        query = query.where(Event.type.in_(list(types)))
    if not superseded:
        query = query.where(Event.superseded.is_(False))
    return list(session.scalars(query.order_by(Event.seq).limit(limit)))


def _step(event: dict[str, Any]) -> int | None:
    """The step that an event belongs to; logs and states belong to none: they happened."""
    step = event["data"].get("step")
    return step if isinstance(step, int) and event["type"] not in ("log", "state") else None
