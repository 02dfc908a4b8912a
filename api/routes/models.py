"""Models: what jobs that succeeded leave, to be downloaded or asked."""

from fastapi import APIRouter, Request, Response

from api.bodies import StrictRoute
from api.deps import Reader, ReadSession, ServiceDep
from api.downloads import DOWNLOAD, respond
from api.openapi import GUARDED, leads, problems
from api.schemas.base import Cursor, FileName, Limit, ModelId, Page
from api.schemas.jobs import FileRead
from api.schemas.models import ModelRead, ModelSummary, Predictions, PredictRequest
from store import artifacts, models

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=StrictRoute)


LEADS_TO = ("read_model", "list_model_files", "predict")
FILE = {"model_id": "$request.path.model_id", "name": "$response.body#/data/0/name"}


@router.get(
    "",
    response_model=Page[ModelSummary],
    responses={**problems(*GUARDED), **leads(LEADS_TO, model_id="$response.body#/data/0/id")},
    operation_id="list_models",
)
def list_models(
    session: ReadSession, caller: Reader, cursor: Cursor = None, limit: Limit = 50
) -> Page[ModelSummary]:
    """The project's models, newest first, without their manifests."""
    found = models.page(session, caller.project_id, cursor=cursor, limit=limit)
    return Page(
        data=[ModelSummary.model_validate(row) for row in found.data],
        has_more=found.has_more,
        next_cursor=found.next_cursor,
    )


@router.get(
    "/{model_id}",
    response_model=ModelRead,
    responses=problems(*GUARDED, 404),
    operation_id="read_model",
)
def read_model(model_id: ModelId, session: ReadSession, caller: Reader) -> ModelRead:
    """A model: how to read its weights, and how good it is."""
    return ModelRead.model_validate(models.get(session, caller.project_id, model_id))


@router.get(
    "/{model_id}/files",
    response_model=Page[FileRead],
    responses={**problems(*GUARDED, 404), **leads(("read_model_file",), **FILE)},
    operation_id="list_model_files",
)
def list_model_files(model_id: ModelId, session: ReadSession, caller: Reader) -> Page[FileRead]:
    """The files of the model: those of its job."""
    model = models.get(session, caller.project_id, model_id)
    data = [FileRead.model_validate(row) for row in artifacts.list_(session, model.job_id)]
    return Page(data=data, has_more=False, next_cursor=None)


@router.get(
    "/{model_id}/files/{name}",
    response_class=Response,
    responses={**problems(*GUARDED, 404, 416), **DOWNLOAD},
    operation_id="read_model_file",
)
def read_model_file(
    model_id: ModelId, name: FileName, request: Request, service: ServiceDep, caller: Reader
) -> Response:
    """One file; `Range` gets a part of it, and the ETag is its sha256."""
    with service.readers.begin() as session:
        model = models.get(session, caller.project_id, model_id)
        file = artifacts.get(session, model.job_id, name)
    return respond(request, service.readers, file)


@router.post(
    "/{model_id}/predict",
    response_model=Predictions,
    response_model_exclude_unset=True,
    responses=problems(*GUARDED, 404, 413, 415),
    operation_id="predict",
)
async def predict(
    model_id: ModelId, body: PredictRequest, service: ServiceDep, caller: Reader
) -> Predictions:
    """One prediction for each raw row. Rows that do not fit are named, with what is wrong."""

    def work() -> Predictions:
        with service.readers.begin() as session:
            model = models.get(session, caller.project_id, model_id)
        found = service.predictors.predict(model, body.rows)
        return Predictions.model_validate({"predictions": found})

    return await service.heavily(work)
