"""Metrics of a job: one series a name, thinned without losing a spike."""

import math
from typing import Annotated, cast

from fastapi import APIRouter, Query

from api.deps import Reader, ReadSession
from api.numbers import Nonfinite
from api.openapi import GUARDED, problems
from api.schemas.base import JobId
from api.schemas.jobs import MetricPoint, Metrics, Series
from store import jobs, metrics
from store.base import nonfinite
from store.metrics import Point

router = APIRouter(prefix="/v1/jobs/{job_id}/metrics", tags=["jobs"])

Names = Annotated[
    str | None,
    Query(max_length=2000, description="names, separated by commas; all where left out"),
]
MaxPoints = Annotated[int, Query(ge=10, le=10_000, description="points a series, at most")]


@router.get(
    "", response_model=Metrics, responses=problems(*GUARDED, 404), operation_id="read_metrics"
)
def read_metrics(
    job_id: JobId,
    session: ReadSession,
    caller: Reader,
    names: Names = None,
    max_points: MaxPoints = 1000,
) -> Metrics:
    """The series. In each stretch of a long one the lowest, highest and last value stay."""
    jobs.get(session, caller.project_id, job_id)
    wanted = None if names is None else [name.strip() for name in names.split(",")]
    found = metrics.series(session, job_id, names=wanted, max_points=max_points)
    return Metrics(
        job_id=job_id,
        series=[
            Series(name=name, points=[_point(point) for point in points])
            for name, points in found.items()
        ],
    )


def _point(point: Point) -> MetricPoint:
    return MetricPoint(
        step=point.step,
        epoch=point.epoch,
        value=point.value if math.isfinite(point.value) else None,
        nonfinite=cast("Nonfinite | None", nonfinite(point.value)),
        at=point.at,
    )
