"""Errors as application/problem+json (RFC 9457): every failure leaves through `respond`."""

import errno
import json
import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy import exc as database
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.methods import Methods
from core.errors import (
    AppError,
    BadRequest,
    Conflict,
    Invalid,
    Problem,
    StorageFull,
    TooLarge,
    Unavailable,
)
from spec.problems import pointer, show
from store.base import finite

MEDIA_TYPE = "application/problem+json"
_FULL = ("disk is full", "disk full", "no space left", "could not extend file")
_LONGEST_ECHO = 200

log = logging.getLogger("gradworks.api")


def respond(error: Exception, request_id: str) -> Response:
    """The response for `error`; what is not an error of the caller says nothing of our inside."""
    known = translate(error)
    if known is None:
        log.error("request failed", exc_info=error, extra={"request_id": request_id})
        return _response(500, "internal", "Internal error", _APOLOGY, (), request_id, {})
    if known.status >= 500 or isinstance(error, database.SQLAlchemyError):
        log.warning("%s: %s", known.code, _reason(error), extra={"request_id": request_id})
    return _response(
        known.status,
        known.code,
        known.title,
        known.detail,
        known.problems,
        request_id,
        known.headers,
    )


_APOLOGY = "Something went wrong on our side. The request id finds it in the logs."


def translate(error: Exception) -> AppError | None:
    """The error as one of ours; None when it is a fault of the service."""
    if isinstance(error, AppError):
        return error
    if isinstance(error.__cause__, AppError) and isinstance(error, HTTPException):
        return error.__cause__
    if isinstance(error, RequestValidationError):
        return invalid(error.errors())
    if isinstance(error, HTTPException):
        return _from_http(error)
    if isinstance(error, database.SQLAlchemyError):
        return _from_database(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull("the storage is full: nothing was kept of this request")
    return None


def invalid(errors: Sequence[Any]) -> Invalid:
    """Pydantic's errors, each with a JSON pointer."""
    return Invalid([_problem(error) for error in errors])


def install(app: FastAPI) -> None:
    methods = Methods(app)

    def refuse_method(request: Request, error: Exception) -> Response:
        answer = _handle(request, error)
        answer.headers["Allow"] = methods.allowed(request.url.path)
        return answer

    for kind in (
        AppError,
        RequestValidationError,
        HTTPException,
        database.SQLAlchemyError,
        OSError,
    ):
        app.add_exception_handler(kind, _handle)
    app.add_exception_handler(405, refuse_method)


def _handle(request: Request, error: Exception) -> Response:
    return respond(error, request.scope.get("request_id", ""))


def _response(
    status: int,
    code: str,
    title: str,
    detail: str,
    problems: Sequence[Problem],
    request_id: str,
    headers: dict[str, str],
) -> Response:
    body = {
        "type": f"urn:gradworks:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        "errors": [_render(problem) for problem in problems],
        "request_id": request_id,
    }
    return Response(_dump(body), status_code=status, headers=headers, media_type=MEDIA_TYPE)


def _render(problem: Problem) -> dict[str, Any]:
    return {
        "pointer": problem.pointer,
        "code": problem.code,
        "detail": problem.detail,
        "expected": finite(problem.expected),
        "got": finite(problem.got),
        "hint": problem.hint,
    }


def _dump(body: dict[str, Any]) -> bytes:
    # Echoed input may hold lone surrogates, which UTF-8 cannot carry.
    return json.dumps(body, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace")


def _problem(error: dict[str, Any]) -> Problem:
    where = error["loc"]
    steps = where[1:] if where and where[0] == "body" else where
    got = error.get("input")
    return Problem(
        pointer=pointer(steps),
        code=str(error["type"]),
        detail=str(error["msg"]),
        expected=_expected(error.get("ctx")),
        got=None if error["type"] == "missing" else show(got, _LONGEST_ECHO),
        hint=_hint(error),
    )


def _expected(context: dict[str, Any] | None) -> str | None:
    if not context:
        return None
    return (
        ", ".join(f"{name} {value}" for name, value in context.items() if name != "error")[
            :_LONGEST_ECHO
        ]
        or None
    )


def _hint(error: dict[str, Any]) -> str | None:
    if error["type"] == "missing":
        return "add the field"
    if error["type"] == "extra_forbidden":
        return "remove the field, or look for a typing error in its name"
    return None


def _from_http(error: HTTPException) -> AppError:
    kinds: dict[int, type[AppError]] = {400: BadRequest, 409: Conflict, 413: TooLarge}
    kind = kinds.get(error.status_code)
    if kind is not None:
        return kind(str(error.detail), headers=error.headers)
    return Refused(error)


class Refused(AppError):
    """What the framework answers by itself: no such path, no such method."""

    def __init__(self, error: HTTPException) -> None:
        phrase = HTTPStatus(error.status_code).phrase
        super().__init__(str(error.detail), headers=error.headers)
        self.status = error.status_code  # type: ignore[misc]
        self.code = phrase.lower().replace(" ", "_").replace("-", "_")  # type: ignore[misc]
        self.title = phrase  # type: ignore[misc]


def _from_database(error: database.SQLAlchemyError) -> AppError | None:
    text = _reason(error).lower()
    if any(words in text for words in _FULL):
        return StorageFull("the storage is full: nothing was kept of this request")
    if isinstance(error, database.IntegrityError):
        return Conflict("something this request relies on was changed at the same time; try again")
    if isinstance(error, database.DataError):
        return Invalid([Problem(pointer="", code="value", detail="a value cannot be stored")])
    lost = isinstance(error, database.DBAPIError) and error.connection_invalidated
    if isinstance(error, database.TimeoutError) or lost:
        return Unavailable("the database does not answer; try again shortly", retry_after=2)
    return None


def _reason(error: Exception) -> str:
    """What the driver said, without the statement and its parameters."""
    return str(getattr(error, "orig", None) or error).partition("\n")[0][:_LONGEST_ECHO]
