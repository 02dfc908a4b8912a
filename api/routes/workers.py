"""Workers that were heard of lately."""

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.deps import Reader, ReadSession, ServiceDep
from api.openapi import GUARDED, problems
from api.schemas.access import WorkerRead
from api.schemas.base import Page
from store import workers
from store.tables import Job, Worker

router = APIRouter(prefix="/v1/workers", tags=["service"])


@router.get(
    "", response_model=Page[WorkerRead], responses=problems(*GUARDED), operation_id="list_workers"
)
def list_workers(session: ReadSession, service: ServiceDep, caller: Reader) -> Page[WorkerRead]:
    """Where jobs run. Jobs of other projects are not named."""
    found = workers.list_(session, seen_within_seconds=service.silence_seconds)
    own = _own_jobs(session, caller.project_id, found)
    data = [WorkerRead.model_validate(worker) for worker in found]
    for worker in data:
        worker.job_id = worker.job_id if worker.job_id in own else None
    return Page(data=data, has_more=False, next_cursor=None)


def _own_jobs(session: Session, project_id: str, found: list[Worker]) -> set[str]:
    named = [worker.job_id for worker in found if worker.job_id]
    query = select(Job.id).where(Job.project_id == project_id, Job.id.in_(named))
    return set(session.scalars(query))
