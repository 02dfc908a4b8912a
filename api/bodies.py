"""Request bodies, read strictly: what JSON leaves open (NaN, repeated keys, depth) is refused."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from core.errors import BadRequest, Invalid, Unsupported
from spec import documents

YAML_TYPES = {
    "application/yaml",
    "application/x-yaml",
    "text/yaml",
    "text/x-yaml",
    "application/vnd.yaml",
}


def load(raw: bytes, *, format: documents.Format) -> Any:
    """The value of a document; BadRequest says where it cannot be read."""
    try:
        value = documents.load(raw, format=format)
    except Invalid as error:
        raise BadRequest(error.detail, problems=error.problems) from error
    problems = [one for one in documents.faults(value) if one.code not in documents.LOCAL]
    if problems:
        raise BadRequest(problems[0].detail, problems=problems)
    return value


def decode(raw: bytes) -> Any:
    """The value of a JSON document; Invalid where it holds what cannot be stored."""
    value = load(raw, format="json")
    problems = list(documents.faults(value))
    if problems:
        raise Invalid(problems)
    return value


def format_of(request: Request) -> documents.Format:
    """Which of the two notations the body says it is in."""
    declared = media_type(request)
    if is_json(declared):
        return "json"
    if declared in YAML_TYPES or declared.endswith("+yaml"):
        return "yaml"
    raise Unsupported(
        f"the body is {declared or 'of no declared type'}: "
        "send it as application/json or application/yaml"
    )


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(declared: str) -> bool:
    return declared == "application/json" or (
        declared.startswith("application/") and declared.endswith("+json")
    )


class StrictRequest(Request):
    async def json(self) -> Any:
        return decode(await self.body())


class StrictRoute(APIRoute):
    """A route whose JSON body goes through `decode`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            declared = media_type(request)
            if self.body_field is not None and not is_json(declared):
                raise Unsupported(
                    f"the body is {declared or 'of no declared type'}: send it as application/json"
                )
            return await handle(StrictRequest(request.scope, request.receive))

        return strict
