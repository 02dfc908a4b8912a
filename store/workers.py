"""Workers: who works, where, on what, and when they were last heard of."""

from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from store.base import insert
from store.clock import later, now
from store.tables import Worker


def beat(
    session: Session,
    worker_id: str,
    *,
    host: str,
    pid: int,
    device: str,
    job_id: str | None = None,
    **info: Any,
) -> None:
    """Say that the worker lives; the first time makes its row."""
    state = {"host": host, "pid": pid, "device": device, "job_id": job_id, "info": info}
    session.execute(
        insert(session, Worker)
        .values(id=worker_id, **state)
        .on_conflict_do_update(index_elements=["id"], set_=state | {"seen_at": now()})
    )


def list_(session: Session, *, seen_within_seconds: float = 60) -> list[Worker]:
    """The workers heard of lately, oldest first."""
    query = select(Worker).where(Worker.seen_at > later(-seen_within_seconds))
    return list(
        session.scalars(
            query.order_by(Worker.created_at, Worker.id),
            execution_options={"populate_existing": True},
        )
    )


def leave(session: Session, worker_id: str) -> None:
    """The worker stops, and says so."""
    session.execute(delete(Worker).where(Worker.id == worker_id))


def prune(session: Session, *, older_than_seconds: float = 86_400) -> int:
    """Forget workers that have not been heard of for long; returns how many."""
    gone = delete(Worker).where(Worker.seen_at < later(-older_than_seconds)).returning(Worker.id)
    return len(session.execute(gone, execution_options={"synchronize_session": False}).all())
