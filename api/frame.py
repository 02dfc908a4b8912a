"""What every response has: a request id, safe headers, a count, a line in the log."""

import logging
import random
import re
import time
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors
from api.telemetry import Telemetry

log = logging.getLogger("gradworks.api.requests")

Headers = list[tuple[bytes, bytes]]

ALWAYS: Final[Headers] = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Frame:
    def __init__(self, app: ASGIApp, *, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["request_id"] = request_id_of(scope["headers"])
        started = time.perf_counter()
        status = 0

        async def framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = dressed(message.get("headers", ()), request_id)
            await send(message)

        try:
            await self._app(scope, receive, framed)
        except ClientDisconnect:
            status = status or 499
        except Exception as error:
            if status:
                raise
            await errors.respond(error, request_id)(scope, receive, framed)
        finally:
            self._note(scope, request_id, status, time.perf_counter() - started)

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        self._telemetry.observe(
            scope["method"], self._telemetry.route_of(scope.get("endpoint")), status, seconds
        )
        log.info(
            "%s %s %d %.1f ms %s",
            scope["method"],
            _path(scope),
            status,
            seconds * 1000,
            request_id,
            extra={"request_id": request_id},
        )


def _path(scope: Scope) -> str:
    """The path as it was sent: decoded, it could hold ends of lines."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    return raw.decode("ascii", "backslashreplace")


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The id the client chose, if it is a plain word; else one of ours."""
    for name, value in headers:
        if name == b"x-request-id" and _ID.fullmatch(value):
            return value.decode("ascii")
    return new_request_id()


def new_request_id() -> str:
    """A name, not a secret: no question to the kernel for it."""
    return f"{random.getrandbits(96):024x}"


def dressed(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> Headers:
    return named(framed(headers), request_id)


def framed(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """With all that is the same for every request; what is there already stays as it is."""
    given = list(headers)
    present = {name for name, _ in given}
    return given + [one for one in ALWAYS if one[0] not in present]


def named(headers: Headers, request_id: str) -> Headers:
    return [*headers, (b"x-request-id", request_id.encode("ascii"))]
