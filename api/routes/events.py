"""Events of a job: as pages, or as a stream that goes on while the job does."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from api.deps import Reader, ServiceDep
from api.events import Feed
from api.openapi import GUARDED, problems
from api.schemas.base import LARGEST, EventLimit, JobId, Page
from api.schemas.jobs import EventRead
from api.service import Service
from core.errors import Unavailable
from core.states import TERMINAL
from store import events, jobs

router = APIRouter(prefix="/v1/jobs/{job_id}/events", tags=["jobs"])

QUIET_SECONDS = 15.0
RETRY_MILLISECONDS = 1000

After = Annotated[int | None, Query(ge=0, le=LARGEST, description="only events after this one")]
LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        max_length=18,
        pattern=r"^[0-9]*$",
        description="the number after which a stream goes on",
    ),
]
STREAM = {
    "text/event-stream": {
        "schema": {"type": "string", "description": "`id` is `seq`, `data` an event as in pages"}
    }
}


@router.get(
    "",
    response_model=Page[EventRead],
    responses={
        **problems(*GUARDED, 404),
        200: {
            "description": "A page, or with `Accept: text/event-stream` a stream",
            "content": STREAM,
        },
        204: {"description": "The job is over and the stream has nothing more"},
    },
    operation_id="list_events",
)
async def list_events(
    job_id: JobId,
    request: Request,
    service: ServiceDep,
    caller: Reader,
    after: After = None,
    limit: EventLimit = 200,
    last_event_id: LastEventId = None,
) -> Response:
    """What happened, in order. `next_cursor` is the number to go on `after`.

    As a stream it follows the job and ends with its last state.
    """
    wants_stream = "text/event-stream" in request.headers.get("accept", "")
    start = int(last_event_id) if last_event_id else after or 0
    answer = _stream if wants_stream else _page
    return await run_in_threadpool(answer, service, caller.project_id, job_id, start, limit)


def _page(service: Service, project_id: str, job_id: str, after: int, limit: int) -> Response:
    with service.readers.begin() as session:
        jobs.get(session, project_id, job_id)
        rows = events.after(session, job_id, after, limit + 1)
    data = [EventRead.model_validate(row) for row in rows[:limit]]
    more = len(rows) > limit
    page = Page(data=data, has_more=more, next_cursor=str(data[-1].seq) if more else None)
    return Response(page.model_dump_json(), media_type="application/json")


def _stream(service: Service, project_id: str, job_id: str, after: int, limit: int) -> Response:
    with service.readers.begin() as session:
        job = jobs.get(session, project_id, job_id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if job.state in TERMINAL and after >= job.events:
        # By the standard, 204 tells a browser not to come back.
        return Response(status_code=204, media_type="text/event-stream", headers=headers)
    start = min(after, job.events)
    lines = _lines(service.feed, job_id, start, service.settings.sse_max_seconds)
    return EventStream(lines, headers)


class EventStream(StreamingResponse):
    def __init__(self, lines: AsyncGenerator[bytes], headers: dict[str, str]) -> None:
        super().__init__(lines, media_type="text/event-stream", headers=headers)
        self._lines = lines

    async def stream_response(self, send: Send) -> None:
        # Closed here: one who hangs up must not be served until garbage is collected.
        async with aclosing(self._lines):
            await super().stream_response(send)


async def _lines(feed: Feed, job_id: str, after: int, seconds: float) -> AsyncGenerator[bytes]:
    """The stream, for at most `seconds`: whoever wants more comes back with Last-Event-ID."""
    until = asyncio.get_running_loop().time() + seconds
    yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
    followed = feed.follow(job_id, after=after, quiet_seconds=min(QUIET_SECONDS, seconds))
    async with aclosing(followed):
        with suppress(Unavailable):  # the reader comes back, and by then the database may answer
            async for sent in followed:
                yield b": still here\n\n" if sent is None else sent.wire
                if asyncio.get_running_loop().time() >= until:
                    return
