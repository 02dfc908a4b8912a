"""Jobs, and what can be watched of them."""

from datetime import datetime
from typing import Any

from pydantic import Field

from api.numbers import Nonfinite, Number
from api.schemas.base import Output
from core.states import JobState, Reason
from spec.explain import Explanation
from spec.plan import Plan


class PlanRead(Plan):
    explanation: Explanation | None = Field(
        default=None, description="The compiled step, where `explain` was asked for."
    )


class DatasetReference(Output):
    id: str
    name: str
    version: int


class Progress(Output):
    step: int
    total_steps: int | None
    epoch: int
    total_epochs: int | None
    examples_per_second: float | None
    eta_seconds: float | None
    phase: str | None


class Move(Output):
    """One step in a job's history."""

    before: JobState | None = Field(serialization_alias="from")
    to: JobState
    reason: Reason | None
    at: datetime
    attempt: int


class JobSummary(Output):
    """A job as it stands in a list."""

    id: str
    name: str
    state: JobState
    is_terminal: bool
    reason: Reason | None
    error: dict[str, Any] | None
    attempt: int
    max_attempts: int
    priority: int
    dataset: DatasetReference | None
    model_id: str | None
    progress: Progress
    metrics: dict[str, Number | None]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobRead(JobSummary):
    """A job with its spec, its plan and every move it made."""

    spec: dict[str, Any]
    plan: dict[str, Any]
    history: list[Move]


class EventRead(Output):
    """What happened, numbered 1, 2, 3 … in each job."""

    seq: int
    type: str
    at: datetime
    step: int | None
    superseded: bool = Field(description="a later attempt did this again from a checkpoint")
    data: dict[str, Any]


class LogLine(Output):
    seq: int
    at: datetime
    level: str
    message: str


class MetricPoint(Output):
    step: int
    epoch: int
    value: float | None
    nonfinite: Nonfinite | None = Field(
        default=None, description="what the value was where it is null"
    )
    at: datetime | None


class Series(Output):
    name: str
    points: list[MetricPoint]


class Metrics(Output):
    job_id: str
    series: list[Series]


class CheckpointRead(Output):
    id: str
    step: int
    epoch: int
    attempt: int
    bytes: int
    sha256: str
    created_at: datetime


class FileRead(Output):
    name: str
    media_type: str
    bytes: int
    sha256: str
    created_at: datetime
