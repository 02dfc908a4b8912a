"""What one client may ask of the service: failed keys a minute, bytes in a body."""

import time
from collections import OrderedDict

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import BadRequest, TooLarge

MAX_CLIENTS = 10_000


class Bucket:
    """A token bucket a client: `burst` at once, then `per_second`."""

    def __init__(self, *, burst: float, per_second: float) -> None:
        self._burst = burst
        self._rate = per_second
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def empty(self, client: str) -> bool:
        return self._level(client) < 1

    def take(self, client: str) -> None:
        self._levels[client] = (max(0.0, self._level(client) - 1), time.monotonic())
        self._levels.move_to_end(client)
        while len(self._levels) > MAX_CLIENTS:
            self._levels.popitem(last=False)

    def seconds_to_wait(self, client: str) -> int:
        return max(1, round((1 - self._level(client)) / self._rate))

    def _level(self, client: str) -> float:
        level, at = self._levels.get(client, (self._burst, 0.0))
        return min(self._burst, level + (time.monotonic() - at) * self._rate)


class BodyCap:
    """Refuse a body over its cap, by its declared length or as soon as too much has come."""

    def __init__(self, app: ASGIApp, *, bytes: int, exceptions: dict[str, int]) -> None:
        self._app = app
        self._bytes = bytes
        self._exceptions = exceptions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        cap = self._exceptions.get(scope["path"], self._bytes)
        if _declared_length(scope) > cap:
            raise _too_large(cap)
        await self._app(scope, _counted(receive, cap), send)


def _counted(receive: Receive, cap: int) -> Receive:
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > cap:
            raise _too_large(cap)
        return message

    return counted


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            if not value.isdigit():
                raise BadRequest("the Content-Length header is not a number")
            return int(value[:20])
    return 0


def _too_large(cap: int) -> TooLarge:
    return TooLarge(f"the body is too large: at most {cap} bytes are taken here")
