"""Rows for tests: functions that fill in whatever the test does not care about."""

from typing import Any
from uuid import uuid4

from sqlalchemy.orm import Session

from store import blobs, datasets, jobs, keys, projects, uploads
from store.leases import Claim
from store.tables import ApiKey, Dataset, DatasetVersion, Job, Project, Upload

SECRET = "a secret of the tests"
SPEC = {"name": "digits", "data": {"dataset": "digits"}, "model": {"layers": ["flatten"]}}


def project(session: Session, *, name: str | None = None) -> Project:
    return projects.create(session, name=name or f"project-{uuid4().hex[:8]}")


def key(session: Session, **given: Any) -> tuple[ApiKey, str]:
    if "project_id" not in given:
        given["project_id"] = project(session).id
    values = {"name": "tests", "scopes": ["read", "write"], "secret": SECRET} | given
    return keys.create(session, **values)


def upload(session: Session, data: bytes = b"a,b\n1,2\n", **given: Any) -> Upload:
    if "project_id" not in given:
        given["project_id"] = project(session).id
    if "blob" not in given:
        given["blob"] = blobs.write(session, data)
    values = {"filename": "table.csv", "ttl_seconds": 3600}
    return uploads.create(session, **values | given)


def dataset(session: Session, **given: Any) -> Dataset:
    if "project_id" not in given:
        given["project_id"] = project(session).id
    return datasets.create(session, **{"name": f"data-{uuid4().hex[:8]}"} | given)


def dataset_version(
    session: Session, data: bytes = b"a,b\n1,2\n", *, of: Dataset | None = None, **given: Any
) -> DatasetVersion:
    if "files" not in given:
        ref = blobs.write(session, data)
        given["files"] = [datasets.FileRef("table.csv", ref.sha256, ref.bytes)]
    values = {
        "format": "csv",
        "options": {},
        "rows": 1,
        "schema": [{"name": "a", "type": "number"}, {"name": "b", "type": "number"}],
        "profile": {},
    }
    return datasets.add_version(session, of or dataset(session), **values | given)


def job(session: Session, **given: Any) -> Job:
    """A queued job."""
    if "project_id" not in given:
        given["project_id"] = project(session).id
    values = {"spec": SPEC, "plan": {}, "name": "digits", "dataset_version_id": None}
    return jobs.create(session, **values | given)


def claim(
    session: Session, of: Job | None = None, *, lease_seconds: float = 60, **given: Any
) -> Claim:
    """A running job, held; `of` must be next in the queue."""
    wanted = of or job(session, priority=1_000_000, **given)
    got = jobs.claim(session, worker_id="wrk_tests", lease_seconds=lease_seconds)
    if got is None or got.job_id != wanted.id:
        raise AssertionError(f"{wanted.id} is not the next in the queue, but {got}")
    return got
