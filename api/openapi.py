"""The description of the API: the spec's own schema, problem documents, links between routes."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.schemas.base import ProblemDocument
from spec import jobs as spec_jobs

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
DESCRIPTIONS = {
    400: "The request cannot be read",
    401: "A valid API key is needed",
    403: "The API key may not do this",
    404: "There is no such thing",
    405: "The path has no such method",
    409: "The request does not fit the present state",
    413: "The body is too large",
    415: "The media type is not supported",
    416: "The range lies outside the file",
    422: "The input is not valid",
    429: "Too many wrong API keys from this address",
    500: "Something went wrong here",
    503: "Try again in a moment",
    507: "There is no room left",
}
GUARDED = (400, 401, 403, 422, 429, 500, 503)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these errors."""
    return {
        status: {"description": DESCRIPTIONS[status], "content": PROBLEM} for status in statuses
    }


def links(**targets: dict[str, str]) -> dict[str, Any]:
    """OpenAPI links of a created thing: operation → {parameter: expression}."""
    return {
        name: {"operationId": name, "parameters": parameters}
        for name, parameters in targets.items()
    }


def created(description: str, names: Iterable[str], **parameters: str) -> dict[str, Any]:
    """A 201 whose body leads on to the operations named."""
    return {
        "description": description,
        "headers": {"Location": {"schema": {"type": "string"}}},
        "links": links(**dict.fromkeys(names, parameters)),
    }


def leads(names: Iterable[str], **parameters: str) -> dict[int | str, dict[str, Any]]:
    """A 200 whose body leads on to the operations named."""
    return {
        200: {
            "description": "Successful Response",
            "links": links(**dict.fromkeys(names, parameters)),
        }
    }


def install(app: FastAPI) -> None:
    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]


def _describe(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        openapi_version="3.1.0",
    )
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs", {}) | {"ProblemDocument": problem}
    schemas |= _job_schemas(schemas)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key: `gw_…`"}
    }
    for path, operations in found["paths"].items():
        for operation in operations.values():
            if path.startswith("/v1/"):
                operation["security"] = [{"key": []}]
    return found


def _job_schemas(taken: dict[str, Any]) -> dict[str, Any]:
    """The job spec's schema as components; its definitions get a prefix of their own."""
    whole = spec_jobs.schema()
    definitions = whole.pop("$defs", {})
    whole.pop("$schema", None)
    named = {"JobSpec": whole} | {f"Spec.{name}": one for name, one in definitions.items()}
    overlap = named.keys() & taken.keys()
    if overlap:
        raise RuntimeError(f"two schemas have one name: {sorted(overlap)}")
    return {name: _moved(one) for name, one in named.items()}


def _moved(value: Any) -> Any:
    if isinstance(value, list):
        return [_moved(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: item.replace("#/$defs/", "#/components/schemas/Spec.")
        if key == "$ref" and isinstance(item, str)
        else _moved(item)
        for key, item in value.items()
    }
