"""Jobs: planned, submitted, watched, cancelled."""

import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api import bodies
from api.deps import Reader, ReadSession, ServiceDep, Writer, WriteSession
from api.gate import Caller
from api.idempotency import Once, OnceDep
from api.openapi import GUARDED, created, problems
from api.polling import RawResponse
from api.render import job_read, job_summaries
from api.schemas.base import Cursor, JobId, Limit, Page
from api.schemas.jobs import JobRead, JobSummary, PlanRead
from api.service import Service
from api.submission import prepare
from core.states import JobState
from store import jobs
from store.tables import Job

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

LEADS_TO = (
    "read_job",
    "cancel_job",
    "pause_job",
    "resume_job",
    "list_events",
    "list_logs",
    "read_metrics",
    "list_checkpoints",
    "list_job_files",
)
SPEC = {"schema": {"$ref": "#/components/schemas/JobSpec"}}
BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": SPEC, "application/yaml": SPEC},
    }
}
PLAN = {"description": "The plan, where `dry_run` was asked for", "model": PlanRead}
States = Annotated[list[JobState] | None, Query(description="only jobs in these states")]
DryRun = Annotated[bool, Query(description="answer with the plan and queue nothing")]
Explain = Annotated[bool, Query(description="with `dry_run`: lay the compiled step open, too")]


async def read_document(request: Request) -> Any:
    """The body as JSON or YAML, whichever it says it is."""
    format = bodies.format_of(request)
    content = await request.body()
    return await run_in_threadpool(bodies.load, content, format=format)


Document = Annotated[Any, Depends(read_document)]


@router.post(
    "",
    status_code=201,
    response_model=JobRead,
    responses={
        **problems(*GUARDED, 404, 409, 413, 415, 507),
        200: PLAN,
        201: created("The job, queued", LEADS_TO, job_id="$response.body#/id"),
    },
    operation_id="create_job",
    openapi_extra=BODY,
)
def create_job(
    document: Document,
    service: ServiceDep,
    caller: Writer,
    once: OnceDep,
    dry_run: DryRun = False,
    explain: Explain = False,
) -> Response:
    """Check a spec against its data, plan it, and queue it."""
    kept = None if dry_run else once.replay(service.readers)
    if kept is not None:
        return kept
    with service.readers.begin() as session:
        found = prepare(session, caller.project_id, document, settings=service.settings)
    if dry_run and explain:
        return Response(json.dumps(found.explained()), media_type="application/json")
    if dry_run:
        return Response(found.plan.model_dump_json(), media_type="application/json")
    with service.sessions.begin() as session:
        answer = once.run(
            session,
            lambda: job_read(session, found.queue(session, caller.project_id)),
            status=201,
            location=lambda job: f"/v1/jobs/{job.id}",
        )
    service.waker.wake()
    return answer


@router.get(
    "", response_model=Page[JobSummary], responses=problems(*GUARDED), operation_id="list_jobs"
)
def list_jobs(
    session: ReadSession,
    caller: Reader,
    state: States = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[JobSummary]:
    """The project's jobs, newest first, without their specs and plans."""
    found = jobs.page(session, caller.project_id, states=state or (), cursor=cursor, limit=limit)
    return Page(
        data=job_summaries(session, found.data),
        has_more=found.has_more,
        next_cursor=found.next_cursor,
    )


@router.get(
    "/{job_id}",
    response_model=JobRead,
    responses={**problems(*GUARDED, 404), 304: {"description": "Nothing changed since"}},
    operation_id="read_job",
)
async def read_job(
    job_id: JobId, request: Request, service: ServiceDep, caller: Reader
) -> Response:
    """A job, made for polling: with `If-None-Match` an unchanged one is a 304 without a body.

    The answer may be half a second old.
    """
    # Not `def`: however many ask at once, one thread renders the job for all.
    job = await service.polls.get(caller.project_id, job_id)
    known = request.headers.get("if-none-match")
    return RawResponse(*job.answer(None if known is None else known.encode("latin-1")))


@router.post(
    "/{job_id}/cancel",
    response_model=JobRead,
    responses=problems(*GUARDED, 404, 409),
    operation_id="cancel_job",
)
def cancel_job(
    job_id: JobId, session: WriteSession, service: ServiceDep, caller: Writer, once: OnceDep
) -> Response:
    """End a job: at once while it waits, else as soon as its worker hears of it."""
    return _steer(jobs.request_cancel, job_id, session, service, caller, once)


@router.post(
    "/{job_id}/pause",
    response_model=JobRead,
    responses=problems(*GUARDED, 404, 409),
    operation_id="pause_job",
)
def pause_job(
    job_id: JobId, session: WriteSession, service: ServiceDep, caller: Writer, once: OnceDep
) -> Response:
    """Stop a job to go on with it later: at once while it waits, else at a checkpoint."""
    return _steer(jobs.request_pause, job_id, session, service, caller, once)


@router.post(
    "/{job_id}/resume",
    response_model=JobRead,
    responses=problems(*GUARDED, 404, 409),
    operation_id="resume_job",
)
def resume_job(
    job_id: JobId, session: WriteSession, service: ServiceDep, caller: Writer, once: OnceDep
) -> Response:
    """Queue a paused job again; it goes on from its last checkpoint."""
    return _steer(jobs.resume, job_id, session, service, caller, once)


def _steer(
    move: Callable[[Session, str, str], Job],
    job_id: str,
    session: Session,
    service: Service,
    caller: Caller,
    once: Once,
) -> Response:
    """Move the job, and once that is committed forget what pollers were told."""

    def after() -> None:
        service.polls.forget(caller.project_id, job_id)
        service.waker.wake()

    return once.run(
        session,
        lambda: job_read(session, move(session, caller.project_id, job_id)),
        status=200,
        after=after,
    )
