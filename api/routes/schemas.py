"""Schemas: the language of specs, for editors and forms."""

from typing import Any

from fastapi import APIRouter

from api.deps import Reader
from api.openapi import GUARDED, problems
from spec import jobs as spec_jobs

router = APIRouter(prefix="/v1/schemas", tags=["schemas"])


@router.get("/job", responses=problems(*GUARDED), operation_id="read_job_schema")
def read_job_schema(caller: Reader) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a job spec."""
    return spec_jobs.schema()
