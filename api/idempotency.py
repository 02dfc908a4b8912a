"""A POST that is sent twice is done once: the first answer is kept in the work's own commit."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from pydantic import BaseModel
from sqlalchemy.orm import Session, sessionmaker
from starlette.background import BackgroundTask
from starlette.responses import Response

from store import idempotency
from store.tables import IdempotencyKey

REPLAYED = "Idempotent-Replayed"

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=idempotency.MAX_KEY,
        pattern=r"^[\x20-\x7e]+$",
        description="The same key with the same request gets the same answer for a day.",
    ),
]


@dataclass(frozen=True)
class Once:
    """The work of one POST is done, or the answer that it had is repeated.

    `digest` stands for all that makes two requests the same; without a `key` nothing is kept.
    """

    project_id: str
    route: str
    key: str | None
    digest: str

    def with_content(self, digest: str) -> "Once":
        """The same for a request whose content is known only now."""
        both = hashlib.sha256(f"{self.digest} {digest}".encode()).hexdigest()
        return replace(self, digest=both)

    def replay(self, readers: sessionmaker[Session]) -> Response | None:
        """The answer kept under the key, if there is one: asked before work that takes long."""
        if self.key is None:
            return None
        with readers.begin() as session:
            row = session.get(IdempotencyKey, (self.project_id, self.route, self.key))
            if row is None or row.request_hash != self.digest or row.status is None:
                return None
            return _repeated(row.status, row.body or "", row.headers)

    def run(
        self,
        session: Session,
        work: Callable[[], BaseModel],
        *,
        status: int,
        location: Callable[[Any], str] | None = None,
        after: Callable[[], None] | None = None,
        conceal: Callable[[Any], BaseModel] | None = None,
    ) -> Response:
        """The answer of `work`, kept under the key; `after` is called once all is committed.

        What is kept goes through `conceal` first: secrets are shown once and kept nowhere.
        """
        kept = self._begin(session)
        if kept is not None:
            return _repeated(kept.status, kept.body, kept.headers)
        made = work()
        headers = {} if location is None else {"Location": location(made)}
        self._save(session, status, _json(conceal(made) if conceal else made), headers)
        background = None if after is None else BackgroundTask(after)
        return Response(
            _json(made), status, headers, media_type="application/json", background=background
        )

    def _begin(self, session: Session) -> idempotency.Response | None:
        if self.key is None:
            return None
        return idempotency.begin(
            session,
            project_id=self.project_id,
            route=self.route,
            key=self.key,
            request_hash=self.digest,
        )

    def _save(self, session: Session, status: int, body: str, headers: dict[str, str]) -> None:
        if self.key is not None:
            idempotency.save(
                session,
                project_id=self.project_id,
                route=self.route,
                key=self.key,
                response=idempotency.Response(status, body, headers),
            )


def _json(made: BaseModel) -> str:
    return made.model_dump_json(by_alias=True)


def _repeated(status: int, body: str, headers: Mapping[str, str]) -> Response:
    repeated = {**headers, REPLAYED: "true"}
    return Response(body, status, repeated, media_type="application/json")


def _once(request: Request, key: str | None, content: bytes) -> Once:
    service = request.app.state.service
    found = hashlib.sha256()
    for part in (request.method, request.url.path, request.url.query):
        found.update(part.encode("utf-8", "surrogatepass") + b"\0")
    found.update(content)
    return Once(
        project_id=request.scope["caller"].project_id,
        route=f"{request.method} {service.telemetry.route_of(request.scope['endpoint'])}",
        key=key,
        digest=found.hexdigest(),
    )


async def get_once(request: Request, key: KeyHeader = None) -> Once:
    return _once(request, key, await request.body())


async def get_streamed(request: Request, key: KeyHeader = None) -> Once:
    """For a body that is read as it comes: `with_content` adds its digest when it is there."""
    return _once(request, key, b"")


OnceDep = Annotated[Once, Depends(get_once)]
StreamedOnceDep = Annotated[Once, Depends(get_streamed)]
