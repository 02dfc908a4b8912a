"""Checkpoints of a job: what it can be resumed from."""

from fastapi import APIRouter

from api.deps import Reader, ReadSession
from api.openapi import GUARDED, problems
from api.schemas.base import JobId, Page
from api.schemas.jobs import CheckpointRead
from store import checkpoints, jobs

router = APIRouter(prefix="/v1/jobs/{job_id}/checkpoints", tags=["jobs"])


@router.get(
    "",
    response_model=Page[CheckpointRead],
    responses=problems(*GUARDED, 404),
    operation_id="list_checkpoints",
)
def list_checkpoints(job_id: JobId, session: ReadSession, caller: Reader) -> Page[CheckpointRead]:
    """Newest first; the oldest ones are dropped as new ones come."""
    jobs.get(session, caller.project_id, job_id)
    data = [CheckpointRead.model_validate(row) for row in checkpoints.list_(session, job_id)]
    return Page(data=data, has_more=False, next_cursor=None)
