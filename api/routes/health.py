"""Is the process alive, can it work, and how does it do."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from api.deps import ServiceDep
from api.health import broker_state, database_state
from api.openapi import problems
from api.schemas.access import Alive, Ready

router = APIRouter(tags=["service"])


@router.get("/healthz", response_model=Alive, responses=problems(500), operation_id="read_health")
def read_health() -> Alive:
    """The process is up; it asks nothing else."""
    return Alive(alive=True)


@router.get(
    "/readyz",
    response_model=Ready,
    responses={**problems(500), 503: {"description": "Not ready", "model": Ready}},
    operation_id="read_readiness",
)
def read_readiness(service: ServiceDep, response: Response) -> Ready:
    """Whether the database answers and has the newest schema. The broker is told, not needed."""
    database = database_state(service.database)
    ready = Ready(ready=database == "ok", database=database, broker=broker_state(service.settings))
    if not ready.ready:
        response.status_code = 503
        response.headers["Retry-After"] = "2"
    return ready


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        **problems(500),
        200: {
            "description": "Prometheus text",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
    },
    operation_id="read_telemetry",
)
def read_telemetry(service: ServiceDep) -> Response:
    """Requests of this process, jobs and queue of the service, in Prometheus' text format."""
    return Response(service.telemetry.render(), media_type=CONTENT_TYPE_LATEST)
