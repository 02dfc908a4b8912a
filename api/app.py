"""The application: routes behind a gate, behind a frame that every response goes through."""

import asyncio
import contextlib
import gc
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import FrameType
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.types import Receive, Scope, Send

from api import errors, openapi, staging
from api.frame import Frame
from api.gate import Gate
from api.limits import BodyCap
from api.polling import Shortcut
from api.routes import ROUTERS
from api.service import Service
from core import logging
from core.settings import Settings, settings as environment

THREADS = 20  # as many as the pool of connections has, so that none waits for one
VERSION = "1"


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application for these settings; without any, the whole process is made for it."""
    if settings is not None:
        return _assemble(Service.of(settings))
    logging.configure(environment())
    app = _assemble(Service.of(environment()))
    # What is loaded by now stays: without it a full collection is over at once, and does not make
    # requests wait for a tenth of a second.
    gc.collect()
    gc.freeze()
    return app


class Api(FastAPI):
    """The framework's application behind the shortcut: what is asked most does not go through it.

    What it does for each request takes longer than an answer from memory.
    """

    def __init__(self, service: Service, **options: Any) -> None:
        super().__init__(**options)
        self.state.service = service
        self._shortcut = Shortcut(
            super().__call__,
            polls=service.polls,
            callers=service.callers,
            telemetry=service.telemetry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._shortcut(scope, receive, send)


def _assemble(service: Service) -> FastAPI:
    app = Api(
        service,
        title="Gradworks",
        version=VERSION,
        description="Training as a service.",
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    errors.install(app)
    openapi.install(app)
    service.telemetry.learn((c.endpoint, c.path or "") for c in iter_route_contexts(app.routes))
    _surround(app, service)
    return app


def _surround(app: FastAPI, service: Service) -> None:
    """The layers before the routes; the last one added is the first one asked."""
    limits = service.settings
    app.add_middleware(
        BodyCap,
        bytes=limits.max_body_bytes,
        exceptions={"/v1/uploads": limits.max_upload_bytes},
    )
    app.add_middleware(Gate, callers=service.callers)
    app.add_middleware(Frame, telemetry=service.telemetry)


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    staging.sweep(service.settings.data_dir)
    to_thread.current_default_thread_limiter().total_tokens = THREADS
    with _told_to_stop(service.feed.close):
        yield
    service.close()


@contextlib.contextmanager
def _told_to_stop(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` on the loop when the process is told to stop: servers wait for streams to end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(act)
        handler: Any = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
