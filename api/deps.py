"""What endpoints may depend on."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from api.gate import Caller
from api.service import Service
from core.errors import Forbidden


def get_service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]


def get_session(service: ServiceDep) -> Iterator[Session]:
    with service.sessions.begin() as session:
        yield session


def get_reader(service: ServiceDep) -> Iterator[Session]:
    with service.readers.begin() as session:
        yield session


# scope="function": commit before the response is sent, so that a failed commit is no success.
WriteSession = Annotated[Session, Depends(get_session, scope="function")]
ReadSession = Annotated[Session, Depends(get_reader, scope="function")]


def _needs(scope: str) -> Any:
    def caller(request: Request) -> Caller:
        found: Caller = request.scope["caller"]
        if scope not in found.scopes:
            raise Forbidden(f"this needs an API key with the scope {scope!r}")
        return found

    return Depends(caller)


Reader = Annotated[Caller, _needs("read")]
Writer = Annotated[Caller, _needs("write")]
Admin = Annotated[Caller, _needs("admin")]
