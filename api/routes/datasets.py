"""Datasets: named, versioned tables made of uploads."""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.bodies import StrictRoute
from api.deps import Reader, ReadSession, ServiceDep, Writer, WriteSession
from api.idempotency import Once, OnceDep
from api.ingestion import ingest
from api.openapi import GUARDED, created, problems
from api.previews import preview
from api.render import dataset_read, dataset_summaries, version_read
from api.schemas.base import Cursor, DatasetId, Limit, Page
from api.schemas.datasets import DatasetCreate, DatasetRead, Preview, VersionCreate, VersionRead
from api.service import Service
from core.errors import Conflict, NotFound
from store import datasets

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=StrictRoute)

LEADS_TO = ("read_dataset", "list_versions", "preview_dataset", "create_version", "delete_dataset")
WRITES = (*GUARDED, 404, 409, 413, 415, 507)
PreviewLimit = Annotated[int, Query(ge=1, le=100, description="rows")]


@router.post(
    "",
    status_code=201,
    response_model=DatasetRead,
    responses={
        **problems(*WRITES),
        201: created("The dataset and its version", LEADS_TO, dataset_id="$response.body#/id"),
    },
    operation_id="create_dataset",
)
async def create_dataset(
    body: DatasetCreate, service: ServiceDep, caller: Writer, once: OnceDep
) -> Response:
    """Make a dataset of uploads. They are read through; whatever is wrong with them is said."""
    return await service.heavily(_create, service, caller.project_id, once, body)


@router.get(
    "", response_model=Page[DatasetRead], responses=problems(*GUARDED), operation_id="list_datasets"
)
def list_datasets(
    session: ReadSession, caller: Reader, cursor: Cursor = None, limit: Limit = 50
) -> Page[DatasetRead]:
    """The project's datasets, newest first; columns with name and type alone."""
    found = datasets.page(session, caller.project_id, cursor=cursor, limit=limit)
    return Page(
        data=dataset_summaries(session, found.data),
        has_more=found.has_more,
        next_cursor=found.next_cursor,
    )


@router.get(
    "/{dataset_id}",
    response_model=DatasetRead,
    responses=problems(*GUARDED, 404),
    operation_id="read_dataset",
)
def read_dataset(dataset_id: DatasetId, session: ReadSession, caller: Reader) -> DatasetRead:
    """A dataset by id or name, its newest version and what its columns hold."""
    found = datasets.get(session, caller.project_id, dataset_id)
    return dataset_read(session, found, datasets.newest(session, [found])[found.id])


@router.delete(
    "/{dataset_id}",
    status_code=204,
    responses=problems(*GUARDED, 404, 409),
    operation_id="delete_dataset",
)
def delete_dataset(dataset_id: DatasetId, session: WriteSession, caller: Writer) -> None:
    """Delete a dataset with all its versions, unless a job that is not over uses it."""
    datasets.delete_(session, caller.project_id, dataset_id)


@router.post(
    "/{dataset_id}/versions",
    status_code=201,
    response_model=DatasetRead,
    responses=problems(*WRITES),
    operation_id="create_version",
)
async def create_version(
    dataset_id: DatasetId, body: VersionCreate, service: ServiceDep, caller: Writer, once: OnceDep
) -> Response:
    """Add a version made of uploads; jobs that name the dataset use it from now on."""
    return await service.heavily(_add, service, caller.project_id, once, dataset_id, body)


@router.get(
    "/{dataset_id}/versions",
    response_model=Page[VersionRead],
    responses=problems(*GUARDED, 404),
    operation_id="list_versions",
)
def list_versions(dataset_id: DatasetId, session: ReadSession, caller: Reader) -> Page[VersionRead]:
    """All versions, newest first; columns with name and type alone."""
    found = datasets.get(session, caller.project_id, dataset_id)
    data = [version_read(session, one) for one in datasets.versions(session, found.id)]
    return Page(data=data, has_more=False, next_cursor=None)


@router.get(
    "/{dataset_id}/preview",
    response_model=Preview,
    responses=problems(*GUARDED, 404, 507),
    operation_id="preview_dataset",
)
async def preview_dataset(
    dataset_id: DatasetId, service: ServiceDep, caller: Reader, limit: PreviewLimit = 10
) -> Preview:
    """The first rows of the newest version, as they are read."""
    return await service.heavily(preview, service, caller.project_id, dataset_id, limit)


def _create(service: Service, project_id: str, once: Once, body: DatasetCreate) -> Response:
    kept = once.replay(service.readers)
    if kept is not None:
        return kept
    _refuse_taken(service, project_id, body.name)
    read = ingest(service, project_id, body)

    def work() -> DatasetRead:
        made = datasets.create(
            session, project_id=project_id, name=body.name, description=body.description
        )
        return dataset_read(session, made, read.add_to(session, made))

    with service.sessions.begin() as session:
        return once.run(session, work, status=201, location=lambda d: f"/v1/datasets/{d.id}")


def _add(
    service: Service, project_id: str, once: Once, dataset_id: str, body: VersionCreate
) -> Response:
    kept = once.replay(service.readers)
    if kept is not None:
        return kept
    with service.readers.begin() as session:
        datasets.get(session, project_id, dataset_id)
    read = ingest(service, project_id, body)

    def work() -> DatasetRead:
        found = datasets.get(session, project_id, dataset_id)
        return dataset_read(session, found, read.add_to(session, found))

    with service.sessions.begin() as session:
        return once.run(session, work, status=201)


def _refuse_taken(service: Service, project_id: str, name: str) -> None:
    """Before much is read; the database refuses it again afterwards."""
    with service.readers.begin() as session, suppress(NotFound):
        datasets.get(session, project_id, name)
        raise Conflict(f"there is a dataset named {name} already: add a version to it")
