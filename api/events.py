"""Live events: one poller a process asks the database, and everybody who follows is told.

A `Channel` stands for one followed job: its latest events, already encoded, and a bell. A follower
walks along with a number of its own; one that falls behind reads from the database again.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker
from starlette.concurrency import run_in_threadpool

from api.schemas.jobs import EventRead
from core.errors import AppError
from core.states import TERMINAL
from store import events, jobs
from store.tables import Event

POLL_SECONDS = 0.2
KEPT = 500
BATCH = 500

log = logging.getLogger("gradworks.api")


@dataclass(frozen=True, slots=True)
class Sent:
    """One event as it goes over the wire; after one that is `last` nothing comes.

    `superseded` ones are not sent: a later attempt has done again what they tell.
    """

    seq: int
    wire: bytes
    last: bool
    superseded: bool


@dataclass
class Channel:
    seq: int
    version: int = -1
    followers: int = 0
    recent: deque[Sent] = field(default_factory=lambda: deque(maxlen=KEPT))
    bell: asyncio.Event = field(default_factory=asyncio.Event)

    def since(self, seq: int) -> list[Sent] | None:
        """What came after `seq`; None where that has been dropped already."""
        if seq >= self.seq:
            return []
        if not self.recent or self.recent[0].seq > seq + 1:
            return None
        return [sent for sent in self.recent if sent.seq > seq]

    def add(self, found: list[Sent]) -> None:
        self.recent.extend(found)
        self.seq = found[-1].seq
        bell, self.bell = self.bell, asyncio.Event()
        bell.set()


class Feed:
    """The events of jobs as they are written. Used from one event loop."""

    def __init__(self, readers: sessionmaker[Session], *, seconds: float = POLL_SECONDS) -> None:
        self._readers = readers
        self._seconds = seconds
        self._channels: dict[str, Channel] = {}
        self._poller: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    @property
    def followers(self) -> int:
        return sum(channel.followers for channel in self._channels.values())

    async def follow(
        self, job_id: str, *, after: int, quiet_seconds: float
    ) -> AsyncGenerator[Sent | None]:
        """Events after number `after`, to the job's last; None whenever nothing came for long."""
        while stored := await run_in_threadpool(self._read, job_id, after):
            for sent in stored:
                after = sent.seq
                if not sent.superseded:
                    yield sent
                if sent.last:
                    return
        async with self._join(job_id, after) as channel:
            while not self._closed.is_set():
                self._keep_polling()
                found = channel.since(after)
                if found is None:
                    found = await run_in_threadpool(self._read, job_id, after)
                for sent in found:
                    after = sent.seq
                    if not sent.superseded:
                        yield sent
                    if sent.last:
                        return
                if not found and not await self._rings(channel, after, quiet_seconds):
                    yield None

    def close(self) -> None:
        """End every stream: the process is about to stop."""
        self._closed.set()
        for channel in self._channels.values():
            channel.bell.set()
        if self._poller is not None:
            self._poller.cancel()

    async def _rings(self, channel: Channel, after: int, seconds: float) -> bool:
        bell = channel.bell
        if channel.seq > after:
            return True
        try:
            async with asyncio.timeout(seconds):
                await bell.wait()
        except TimeoutError:
            return False
        return True

    @contextlib.asynccontextmanager
    async def _join(self, job_id: str, after: int) -> AsyncIterator[Channel]:
        channel = self._channels.setdefault(job_id, Channel(after))
        channel.followers += 1
        try:
            yield channel
        finally:
            channel.followers -= 1
            if channel.followers == 0:
                self._channels.pop(job_id, None)

    def _keep_polling(self) -> None:
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        while self._channels and not self._closed.is_set():
            await asyncio.sleep(self._seconds)
            known = {job_id: (c.version, c.seq) for job_id, c in self._channels.items()}
            try:
                news = await run_in_threadpool(self._ask, known)
            except (AppError, SQLAlchemyError) as error:
                log.warning("events cannot be read, trying again: %s", error)
                continue
            for job_id, (version, found) in news.items():
                self._deliver(job_id, version, found)

    def _deliver(self, job_id: str, version: int, found: list[Sent]) -> None:
        channel = self._channels.get(job_id)
        if channel is None:
            return
        fresh = [sent for sent in found if sent.seq > channel.seq]
        if fresh:
            channel.add(fresh)
        if len(found) < BATCH:
            channel.version = version

    def _ask(self, known: dict[str, tuple[int, int]]) -> dict[str, tuple[int, list[Sent]]]:
        """The new events of the jobs that changed: one statement, and one more for each of them."""
        with self._readers.begin() as session:
            versions = jobs.versions(session, known)
            return {
                job_id: (version, _after(session, job_id, known[job_id][1]))
                for job_id, version in versions.items()
                if version != known[job_id][0]
            }

    def _read(self, job_id: str, after: int) -> list[Sent]:
        with self._readers.begin() as session:
            return _after(session, job_id, after)


def _after(session: Session, job_id: str, seq: int) -> list[Sent]:
    # Superseded ones too: a follower counts on numbers without gaps.
    return [_encode(row) for row in events.after(session, job_id, seq, BATCH, superseded=True)]


def _encode(row: Event) -> Sent:
    data = EventRead.model_validate(row).model_dump_json()
    wire = f"id: {row.seq}\nevent: {row.type}\ndata: {data}\n\n"
    return Sent(row.seq, wire.encode(), is_last(row), row.superseded)


def is_last(row: Event) -> bool:
    """Whether the event says that the job has come to a state it never leaves."""
    return row.type == "state" and row.data.get("to") in TERMINAL
