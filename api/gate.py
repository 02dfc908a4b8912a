"""The gate before /v1: who is calling. Keys are looked up at most once every half second."""

import hashlib
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session, sessionmaker
from starlette.types import ASGIApp, Receive, Scope, Send

from api.cache import Cache
from api.limits import Bucket
from core.errors import AppError, BadRequest, NotFound, RateLimited, Unauthorized
from store import keys

BURST = 30
PER_SECOND = 1.0
MAX_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    key_id: str
    project_id: str
    scopes: frozenset[str]


class Callers:
    """Authenticates Authorization headers, and slows down addresses that guess.

    A key that was good before is always looked up, so that a guesser behind the same address
    does not lock its neighbours out.
    """

    def __init__(
        self,
        readers: sessionmaker[Session],
        writers: sessionmaker[Session],
        *,
        secret: str,
        seconds: float,
        failures: Bucket | None = None,
    ) -> None:
        self._readers = readers
        self._writers = writers
        self._secret = secret
        self._cache: Cache[bytes, Caller] = Cache(seconds=seconds, size=MAX_KEYS)
        self.failures = failures or Bucket(burst=BURST, per_second=PER_SECOND)
        self._good: OrderedDict[bytes, None] = OrderedDict()

    def fresh(self, header: bytes) -> Caller | None:
        """Who sent this header, if that was asked a moment ago."""
        return self._cache.fresh(_digest(header))

    async def authenticate(self, header: bytes | None, address: str) -> Caller:
        if header is None:
            raise Unauthorized("send the API key as `Authorization: Bearer gw_…`")
        digest = _digest(header)
        caller = self._cache.fresh(digest)
        return caller or await self._look_up(header, digest, address)

    def forget(self, key_id: str) -> None:
        """A revoked key is refused at once by this process, by the others when it is stale."""
        self._cache.forget_where(lambda caller: caller.key_id == key_id)

    async def _look_up(self, header: bytes, digest: bytes, address: str) -> Caller:
        if digest not in self._good and self.failures.empty(address):
            raise self._slow_down(address)
        try:
            caller = await self._cache.get(digest, lambda: self._ask(header))
        except Unauthorized:
            self._good.pop(digest, None)
            self.failures.take(address)
            raise
        self._remember(digest)
        return caller

    def _ask(self, header: bytes) -> Caller:
        token = _token(header)
        with self._readers.begin() as session:
            key = keys.authenticate(session, token, secret=self._secret, touch=False)
        if _is_stale(key.last_used_at):
            self._mark(key.id)
        scopes = frozenset().union(*(keys.IMPLIED[scope] for scope in key.scopes))
        return Caller(key.id, key.project_id, scopes)

    def _mark(self, key_id: str) -> None:
        # When a key was last used is worth knowing, and not worth failing a request for.
        with suppress(AppError), self._writers.begin() as session:
            keys.mark_used(session, key_id)

    def _remember(self, digest: bytes) -> None:
        self._good[digest] = None
        self._good.move_to_end(digest)
        while len(self._good) > MAX_KEYS:
            self._good.popitem(last=False)

    def _slow_down(self, address: str) -> RateLimited:
        seconds = self.failures.seconds_to_wait(address)
        return RateLimited(
            "too many wrong API keys came from this address",
            headers={"Retry-After": str(seconds)},
        )


class Gate:
    """Lets nobody into /v1 without a key; leaves the caller in the scope."""

    def __init__(self, app: ASGIApp, *, callers: Callers) -> None:
        self._app = app
        self._callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _guarded(scope["path"]):
            address = scope["client"][0] if scope.get("client") else "local"
            scope["caller"] = await self._callers.authenticate(authorization(scope), address)
            _refuse_nul(scope)
        await self._app(scope, receive, send)


def authorization(scope: Scope) -> bytes | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return bytes(value)
    return None


def _refuse_nul(scope: Scope) -> None:
    """No row holds the character NUL, and PostgreSQL will not even look for one."""
    if "\0" in scope["path"]:
        raise NotFound("path", scope["path"].replace("\0", "\\0"))
    if b"%00" in scope["query_string"]:
        raise BadRequest("the query holds the character NUL")


def _guarded(path: str) -> bool:
    return path == "/v1" or path.startswith("/v1/")


def _is_stale(used: datetime | None) -> bool:
    return used is None or datetime.now(UTC) - used > timedelta(seconds=keys.TOUCH_SECONDS)


def _digest(header: bytes) -> bytes:
    return hashlib.sha256(header).digest()


def _token(header: bytes) -> str:
    kind, _, token = header.decode("latin-1").strip().partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise Unauthorized("send the API key as `Authorization: Bearer gw_…`")
    return token.strip()
