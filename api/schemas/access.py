"""Keys, projects, and what is running."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, Field

from api.schemas.base import Input, Name, Output
from core.states import JobState


def _text(value: Any) -> Any:
    """Numbers could be read as times too, and nobody would know in which unit."""
    if value is not None and not isinstance(value, str):
        raise ValueError("expected text such as 2030-01-31T12:00:00Z")
    return value


Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_text)]
Scope = Literal["read", "write", "admin"]


class KeyCreate(Input):
    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3)] = Field(
        default=["read", "write"], validate_default=True
    )
    expires_at: Moment | None = None


class KeyRead(Output):
    id: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class KeyCreated(KeyRead):
    """The only place where the token is ever shown."""

    token: str | None = Field(description="null when an answer is repeated: it is kept nowhere")

    def without_token(self) -> "KeyCreated":
        return self.model_copy(update={"token": None})


class ProjectCreate(Input):
    name: Name


class ProjectRead(Output):
    id: str
    name: str
    created_at: datetime


class ProjectCreated(ProjectRead):
    key: KeyCreated = Field(description="the first key of the project")


class WorkerRead(Output):
    id: str
    host: str
    pid: int
    device: str
    job_id: str | None = Field(description="null also where another project's job runs")
    info: dict[str, Any]
    created_at: datetime
    seen_at: datetime


class QueueRead(Output):
    """The project's jobs by state; `waiting` counts the queue of the whole service."""

    states: dict[JobState, int]
    oldest_wait_seconds: float | None
    waiting: int
    workers: int


class Ready(Output):
    ready: bool
    database: str
    broker: str


class Alive(Output):
    alive: bool
