"""The log of a job: its events of the type `log`, as lines."""

from fastapi import APIRouter

from api.deps import Reader, ReadSession
from api.openapi import GUARDED, problems
from api.schemas.base import EventLimit, JobId, NumberCursor, Page
from api.schemas.jobs import LogLine
from store import events, jobs
from store.tables import Event

router = APIRouter(prefix="/v1/jobs/{job_id}/logs", tags=["jobs"])


@router.get(
    "",
    response_model=Page[LogLine],
    responses=problems(*GUARDED, 404),
    operation_id="list_logs",
)
def list_logs(
    job_id: JobId,
    session: ReadSession,
    caller: Reader,
    cursor: NumberCursor = None,
    limit: EventLimit = 200,
) -> Page[LogLine]:
    """What the job said, oldest first."""
    jobs.get(session, caller.project_id, job_id)
    rows = events.after(session, job_id, int(cursor or 0), limit + 1, types=["log"])
    data = [_line(row) for row in rows[:limit]]
    more = len(rows) > limit
    return Page(data=data, has_more=more, next_cursor=str(data[-1].seq) if more else None)


def _line(row: Event) -> LogLine:
    return LogLine(
        seq=row.seq,
        at=row.at,
        level=str(row.data.get("level", "info")),
        message=str(row.data.get("message", "")),
    )
