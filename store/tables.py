"""The tables. Rows are read and written by the functions of `store`, one file a noun."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Enum,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.states import JobState, Reason
from store.base import Base as Base, Record
from store.clock import now

ID = String(32)
SHA256 = String(64)
NAME = String(255)
# On SQLite the rows lie in the order of their key: what is read together lies together.
IN_KEY_ORDER = {"sqlite_with_rowid": False}


def _words(kind: type[JobState] | type[Reason], name: str) -> Enum:
    """A column of plain text that holds the values of a StrEnum."""
    return Enum(
        kind,
        name=name,
        native_enum=False,
        length=20,
        values_callable=lambda members: [member.value for member in members],
    )


STATE = _words(JobState, "job_state")
REASON = _words(Reason, "reason")


class Project(Record):
    __tablename__ = "projects"

    name: Mapped[str] = mapped_column(NAME, unique=True)


class ApiKey(Record):
    """A key is kept as an HMAC of its secret; `public` is the part of the token that names it."""

    __tablename__ = "keys"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    name: Mapped[str] = mapped_column(NAME)
    public: Mapped[str] = mapped_column(String(12), unique=True)
    digest: Mapped[str] = mapped_column(SHA256)
    scopes: Mapped[list[str]]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class Blob(Record):
    """Bytes, named by their sha256 once all are there; before that nobody can see them."""

    __tablename__ = "blobs"

    sha256: Mapped[str | None] = mapped_column(SHA256, unique=True)
    bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    touched_at: Mapped[datetime] = mapped_column(default=now(), index=True)


class Chunk(Base):
    """At most a mebibyte, named by its sha256, shared by all blobs that hold the same bytes."""

    __tablename__ = "chunks"

    sha256: Mapped[str] = mapped_column(SHA256, primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class BlobChunk(Base):
    __tablename__ = "blob_chunks"
    __table_args__ = IN_KEY_ORDER

    blob_id: Mapped[str] = mapped_column(ForeignKey("blobs.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    chunk_sha256: Mapped[str] = mapped_column(ForeignKey("chunks.sha256"), index=True)


class Upload(Record):
    __tablename__ = "uploads"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    filename: Mapped[str] = mapped_column(NAME)
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Dataset(Record):
    """A name in a project; `latest` is the number of its newest version."""

    __tablename__ = "datasets"
    __table_args__ = (
        Index(
            "uq_datasets_project_id_name",
            "project_id",
            "name",
            unique=True,
            sqlite_where=text("deleted_at IS NULL"),
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index("ix_datasets_project_id_created_at_id", "project_id", "created_at", "id"),
    )

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(NAME)
    description: Mapped[str] = mapped_column(Text, default="")
    latest: Mapped[int] = mapped_column(default=0)
    deleted_at: Mapped[datetime | None]


class DatasetVersion(Record):
    """Files that never change, with what was learnt from reading them."""

    __tablename__ = "dataset_versions"
    __table_args__ = (UniqueConstraint("dataset_id", "number"),)

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"))
    number: Mapped[int]
    format: Mapped[str] = mapped_column(String(20))
    options: Mapped[dict[str, Any]]
    rows: Mapped[int] = mapped_column(BigInteger)
    schema: Mapped[list[dict[str, Any]]]
    profile: Mapped[dict[str, Any]]


class DatasetFile(Base):
    __tablename__ = "dataset_files"

    version_id: Mapped[str] = mapped_column(ForeignKey("dataset_versions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(NAME)
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    bytes: Mapped[int] = mapped_column(BigInteger)


class Job(Record):
    """The row is the job: whoever holds its fence may write it, and nobody else.

    `version` grows with every write. `events` and `commits` count the job's events and the commits
    of the present attempt; `checkpoint_step` and `checkpoint_fence` belong to its last checkpoint.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_project_id_created_at_id", "project_id", "created_at", "id"),
        Index(
            "ix_jobs_queued",
            "rank",
            "created_at",
            "id",
            sqlite_where=text("state = 'queued'"),
            postgresql_where=text("state = 'queued'"),
        ),
        Index(
            "ix_jobs_held",
            "lease_until",
            sqlite_where=text("state IN ('running', 'pausing', 'cancelling')"),
            postgresql_where=text("state IN ('running', 'pausing', 'cancelling')"),
        ),
    )

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(NAME)
    spec: Mapped[dict[str, Any]]
    plan: Mapped[dict[str, Any]]
    dataset_version_id: Mapped[str | None] = mapped_column(
        ForeignKey("dataset_versions.id"), index=True
    )
    model_id: Mapped[str | None] = mapped_column(ID)

    state: Mapped[JobState] = mapped_column(STATE, default=JobState.VALIDATING)
    reason: Mapped[Reason | None] = mapped_column(REASON)
    error: Mapped[dict[str, Any] | None]
    rank: Mapped[int] = mapped_column(default=0)
    run_at: Mapped[datetime] = mapped_column(default=now())
    woken_at: Mapped[datetime | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    pause_requested: Mapped[bool] = mapped_column(default=False)

    fence: Mapped[int] = mapped_column(BigInteger, default=0)
    lease_owner: Mapped[str | None] = mapped_column(ID)
    lease_until: Mapped[datetime | None]
    attempt: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int] = mapped_column(default=5)
    barren_attempts: Mapped[int] = mapped_column(default=0)

    step: Mapped[int] = mapped_column(BigInteger, default=0)
    total_steps: Mapped[int | None] = mapped_column(BigInteger)
    epoch: Mapped[int] = mapped_column(default=0)
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    summary: Mapped[dict[str, Any]] = mapped_column(default=dict)
    checkpoint_step: Mapped[int | None] = mapped_column(BigInteger)
    checkpoint_fence: Mapped[int | None] = mapped_column(BigInteger)
    commits: Mapped[int] = mapped_column(BigInteger, default=0)
    events: Mapped[int] = mapped_column(BigInteger, default=0)

    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(BigInteger, default=1)

    @property
    def priority(self) -> int:
        """Higher is sooner; `rank` is its negative, so that one index serves the queue's order."""
        return -self.rank


class JobMove(Base):
    """The history of a job: every move from state to state."""

    __tablename__ = "job_moves"
    __table_args__ = IN_KEY_ORDER

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    before: Mapped[JobState | None] = mapped_column(STATE)
    after: Mapped[JobState] = mapped_column(STATE)
    reason: Mapped[Reason | None] = mapped_column(REASON)
    attempt: Mapped[int]
    at: Mapped[datetime] = mapped_column(default=now())


class Event(Base):
    """What happened, numbered 1, 2, 3 … in each job.

    `superseded` marks what a later attempt does again from an earlier checkpoint.
    """

    __tablename__ = "events"
    __table_args__ = IN_KEY_ORDER

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    type: Mapped[str] = mapped_column(String(40))
    data: Mapped[dict[str, Any]]
    step: Mapped[int | None] = mapped_column(BigInteger)
    superseded: Mapped[bool] = mapped_column(default=False)
    at: Mapped[datetime] = mapped_column(default=now())


class Metric(Base):
    """One value of one series; a value that is not finite is null and named in `nonfinite`."""

    __tablename__ = "metrics"
    __table_args__ = IN_KEY_ORDER

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    epoch: Mapped[int]
    value: Mapped[float | None]
    nonfinite: Mapped[str | None] = mapped_column(String(4))
    at: Mapped[datetime] = mapped_column(default=now())


class Checkpoint(Record):
    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("job_id", "step"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    step: Mapped[int] = mapped_column(BigInteger)
    epoch: Mapped[int]
    attempt: Mapped[int]
    fence: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    manifest: Mapped[dict[str, Any]]


class Artifact(Record):
    """A file that a job produced."""

    __tablename__ = "artifacts"
    __table_args__ = (UniqueConstraint("job_id", "name"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    name: Mapped[str] = mapped_column(NAME)
    media_type: Mapped[str] = mapped_column(NAME)
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    bytes: Mapped[int] = mapped_column(BigInteger)


class Model(Record):
    """What a finished job leaves: how to read its weights, and how good they are."""

    __tablename__ = "models"
    __table_args__ = (
        Index("ix_models_project_id_created_at_id", "project_id", "created_at", "id"),
    )

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), unique=True)
    name: Mapped[str] = mapped_column(NAME)
    manifest: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]]


class IdempotencyKey(Base):
    """The first answer to a POST; `status` is null while the first request is still at work."""

    __tablename__ = "idempotency_keys"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    route: Mapped[str] = mapped_column(NAME, primary_key=True)
    key: Mapped[str] = mapped_column(NAME, primary_key=True)
    request_hash: Mapped[str] = mapped_column(SHA256)
    status: Mapped[int | None]
    headers: Mapped[dict[str, Any]] = mapped_column(default=dict)
    body: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now(), index=True)


class Worker(Record):
    __tablename__ = "workers"

    host: Mapped[str] = mapped_column(NAME)
    pid: Mapped[int]
    device: Mapped[str] = mapped_column(NAME)
    job_id: Mapped[str | None] = mapped_column(ID)
    info: Mapped[dict[str, Any]] = mapped_column(default=dict)
    seen_at: Mapped[datetime] = mapped_column(default=now(), index=True)
