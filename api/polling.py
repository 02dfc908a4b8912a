"""Many clients ask for the same job many times a second: the answer is made twice a second.

`Polls` renders a job once for everybody who asks within half a second. `Shortcut` stands before the
framework and answers what is already rendered, for callers whose key was seen as recently.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.cache import Cache
from api.frame import Headers, framed, named, request_id_of
from api.gate import Callers
from api.telemetry import Telemetry

PREFIX = "/v1/jobs/"
ROUTE = "/v1/jobs/{job_id}"
MAX_JOBS = 2_000
RETRY_AFTER = b"1"

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A job as bytes. `full` and `unchanged` are the headers of a 200 and of a 304, framed."""

    body: bytes
    etag: bytes
    full: Headers
    unchanged: Headers

    def answer(self, if_none_match: bytes | None) -> tuple[int, Headers, bytes]:
        if if_none_match is not None and matches(if_none_match, self.etag):
            return 304, self.unchanged, b""
        return 200, self.full, self.body


def rendered(job_id: str, version: int, body: bytes, *, is_terminal: bool) -> Rendered:
    etag = f'W/"{job_id}-{version}"'.encode("ascii")
    polled: Headers = [(b"etag", etag), (b"cache-control", b"private, no-cache")]
    if not is_terminal:
        polled.append((b"retry-after", RETRY_AFTER))
    full = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode("ascii")),
        *polled,
    ]
    return Rendered(body, etag, framed(full), framed(polled))


def matches(if_none_match: bytes, etag: bytes) -> bool:
    """Weak comparison (RFC 9110, 13.1.2): the mark of weakness does not count."""
    if if_none_match.strip() == b"*":
        return True
    wanted = etag.removeprefix(b"W/")
    return any(one.strip().removeprefix(b"W/") == wanted for one in if_none_match.split(b","))


class Polls:
    """The jobs rendered a moment ago, by project and id: nobody sees another project's."""

    def __init__(self, render: Callable[[str, str], Rendered], *, seconds: float) -> None:
        self._render = render
        self._cache: Cache[Key, Rendered] = Cache(seconds=seconds, size=MAX_JOBS)

    def fresh(self, project_id: str, job_id: str) -> Rendered | None:
        return self._cache.fresh((project_id, job_id))

    async def get(self, project_id: str, job_id: str) -> Rendered:
        return await self._cache.get((project_id, job_id), lambda: self._render(project_id, job_id))

    def forget(self, project_id: str, job_id: str) -> None:
        self._cache.forget((project_id, job_id))


class RawResponse(Response):
    """A response whose headers are already bytes."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = list(headers)


class Shortcut:
    """Answers `GET /v1/jobs/{job_id}` from memory when it can; all else goes on to `app`."""

    def __init__(
        self, app: ASGIApp, *, polls: Polls, callers: Callers, telemetry: Telemetry
    ) -> None:
        self._app = app
        self._polls = polls
        self._callers = callers
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        found = self._find(scope)
        if found is None:
            await self._app(scope, receive, send)
            return
        status, headers, body = found
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self._telemetry.observe("GET", ROUTE, status, time.perf_counter() - started)

    def _find(self, scope: Scope) -> tuple[int, Headers, bytes] | None:
        if scope["type"] != "http" or scope["method"] != "GET":
            return None
        path: str = scope["path"]
        if not path.startswith(PREFIX):
            return None
        given = dict(scope["headers"])
        caller = self._callers.fresh(given.get(b"authorization", b""))
        if caller is None or "read" not in caller.scopes:
            return None
        job = self._polls.fresh(caller.project_id, path[len(PREFIX) :])
        if job is None:
            return None
        status, headers, body = job.answer(given.get(b"if-none-match"))
        return status, named(headers, request_id_of(scope["headers"])), body
