"""Files that a job produced."""

from fastapi import APIRouter, Request, Response

from api.deps import Reader, ReadSession, ServiceDep
from api.downloads import DOWNLOAD, respond
from api.openapi import GUARDED, leads, problems
from api.schemas.base import FileName, JobId, Page
from api.schemas.jobs import FileRead
from store import artifacts, jobs

router = APIRouter(prefix="/v1/jobs/{job_id}/files", tags=["jobs"])

FILE = {"job_id": "$request.path.job_id", "name": "$response.body#/data/0/name"}


@router.get(
    "",
    response_model=Page[FileRead],
    responses={**problems(*GUARDED, 404), **leads(("read_job_file",), **FILE)},
    operation_id="list_job_files",
)
def list_job_files(job_id: JobId, session: ReadSession, caller: Reader) -> Page[FileRead]:
    """The files by name, with size and sha256."""
    jobs.get(session, caller.project_id, job_id)
    data = [FileRead.model_validate(row) for row in artifacts.list_(session, job_id)]
    return Page(data=data, has_more=False, next_cursor=None)


@router.get(
    "/{name}",
    response_class=Response,
    responses={**problems(*GUARDED, 404, 416), **DOWNLOAD},
    operation_id="read_job_file",
)
def read_job_file(
    job_id: JobId, name: FileName, request: Request, service: ServiceDep, caller: Reader
) -> Response:
    """One file; `Range` gets a part of it, and the ETag is its sha256."""
    with service.readers.begin() as session:
        jobs.get(session, caller.project_id, job_id)
        file = artifacts.get(session, job_id, name)
    return respond(request, service.readers, file)
