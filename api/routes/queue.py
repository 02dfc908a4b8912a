"""The queue: what waits and runs."""

from fastapi import APIRouter

from api.deps import Reader, ReadSession, ServiceDep
from api.openapi import GUARDED, problems
from api.schemas.access import QueueRead
from api.waiting import oldest_wait_seconds
from store import jobs, workers

router = APIRouter(prefix="/v1/queue", tags=["service"])


@router.get("", response_model=QueueRead, responses=problems(*GUARDED), operation_id="read_queue")
def read_queue(session: ReadSession, service: ServiceDep, caller: Reader) -> QueueRead:
    """The project's jobs by state, and how long its oldest queued job has waited."""
    return QueueRead(
        states=jobs.counts(session, caller.project_id),
        oldest_wait_seconds=oldest_wait_seconds(session, caller.project_id),
        waiting=jobs.waiting(session),
        workers=len(workers.list_(session, seen_within_seconds=service.silence_seconds)),
    )
