"""Rows as they go over the wire."""

import math
from collections.abc import Iterable
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from api.polling import Rendered, rendered
from api.schemas.access import KeyCreated, KeyRead
from api.schemas.datasets import ColumnRead, DatasetFileRead, DatasetRead, VersionRead
from api.schemas.jobs import DatasetReference, JobRead, JobSummary, Move, Progress
from core.states import TERMINAL
from store import datasets, jobs
from store.tables import ApiKey, Dataset, DatasetVersion, Job, JobMove

Sources = dict[str, tuple[Dataset, DatasetVersion]]


def render_job(readers: sessionmaker[Session], project_id: str, job_id: str) -> Rendered:
    """One job as bytes, for all who poll it."""
    with readers.begin() as session:
        job = jobs.get(session, project_id, job_id)
        body = job_read(session, job).model_dump_json(by_alias=True).encode()
    return rendered(job.id, job.version, body, is_terminal=job.state in TERMINAL)


def job_read(session: Session, job: Job) -> JobRead:
    moves = [_move(move) for move in jobs.history(session, job.id)]
    common = _common(job, _sources(session, [job]))
    return JobRead(**common, spec=job.spec, plan=job.plan, history=moves)


def job_summaries(session: Session, found: list[Job]) -> list[JobSummary]:
    known = _sources(session, found)
    return [JobSummary(**_common(job, known)) for job in found]


def _common(job: Job, known: Sources) -> dict[str, Any]:
    return {
        "id": job.id,
        "name": job.name,
        "state": job.state,
        "is_terminal": job.state in TERMINAL,
        "reason": job.reason,
        "error": job.error,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "priority": job.priority,
        "dataset": _reference(known.get(job.dataset_version_id or "")),
        "model_id": job.model_id,
        "progress": _progress(job),
        "metrics": job.summary,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }


def _sources(session: Session, found: Iterable[Job]) -> Sources:
    wanted = {job.dataset_version_id for job in found if job.dataset_version_id}
    return datasets.sources(session, wanted) if wanted else {}


def _reference(found: tuple[Dataset, DatasetVersion] | None) -> DatasetReference | None:
    if found is None:
        return None
    dataset, version = found
    return DatasetReference(id=dataset.id, name=dataset.name, version=version.number)


def _progress(job: Job) -> Progress:
    return Progress(
        step=job.step,
        total_steps=job.total_steps,
        epoch=job.epoch,
        total_epochs=job.plan.get("epochs"),
        examples_per_second=_rate(job.progress.get("examples_per_second")),
        eta_seconds=_rate(job.progress.get("eta_seconds")),
        phase=job.progress.get("phase"),
    )


def _rate(value: Any) -> float | None:
    """An estimate that is not finite is no estimate."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _move(move: JobMove) -> Move:
    return Move(
        before=move.before, to=move.after, reason=move.reason, at=move.at, attempt=move.attempt
    )


def dataset_read(session: Session, dataset: Dataset, version: DatasetVersion) -> DatasetRead:
    """A dataset with all that is known of its columns."""
    full = version_read(session, version).model_copy(update={"columns": _columns(version)})
    return _dataset(dataset, full)


def dataset_summaries(session: Session, found: list[Dataset]) -> list[DatasetRead]:
    newest = datasets.newest(session, found)
    return [_dataset(one, version_read(session, newest[one.id])) for one in found]


def version_read(session: Session, version: DatasetVersion) -> VersionRead:
    """A version; its columns with name and type alone."""
    files = datasets.files(session, version.id)
    return VersionRead(
        id=version.id,
        number=version.number,
        format=version.format,
        options=version.options,
        files=[DatasetFileRead.model_validate(file) for file in files],
        rows=version.rows,
        columns=[ColumnRead.model_validate(column) for column in version.schema],
        created_at=version.created_at,
    )


def _dataset(dataset: Dataset, version: VersionRead) -> DatasetRead:
    return DatasetRead(
        id=dataset.id,
        name=dataset.name,
        description=dataset.description,
        created_at=dataset.created_at,
        version=version,
    )


def _columns(version: DatasetVersion) -> list[ColumnRead]:
    described = version.profile.get("columns", version.schema)
    return [ColumnRead.model_validate(column) for column in described]


def key_created(key: ApiKey, token: str) -> KeyCreated:
    return KeyCreated(**KeyRead.model_validate(key).model_dump(), token=token)
