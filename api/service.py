"""What one process of the API holds: connections, caches, the live feed, the waker."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from anyio import CapacityLimiter, to_thread
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from api.events import Feed
from api.gate import Callers
from api.polling import Polls
from api.predictors import Predictors
from api.render import render_job
from api.telemetry import Telemetry
from core.queue import Waker
from core.settings import Settings
from store.session import connect, sessions

HEAVY = 2  # reading a dataset and predicting take a core each

Result = TypeVar("Result")


@dataclass
class Service:
    settings: Settings
    database: Engine
    sessions: sessionmaker[Session]
    readers: sessionmaker[Session]
    callers: Callers
    polls: Polls
    feed: Feed
    predictors: Predictors
    telemetry: Telemetry
    waker: Waker
    heavy: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(HEAVY))

    @classmethod
    def of(cls, settings: Settings) -> Self:
        database = connect(settings.database_url)
        writers, readers = sessions(database), sessions(database, write=False)
        secret = settings.secret.get_secret_value()
        seconds = settings.cache_seconds
        return cls(
            settings=settings,
            database=database,
            sessions=writers,
            readers=readers,
            callers=Callers(readers, writers, secret=secret, seconds=seconds),
            polls=Polls(lambda *key: render_job(readers, *key), seconds=seconds),
            feed=Feed(readers),
            predictors=Predictors(readers),
            telemetry=Telemetry(readers),
            waker=Waker(settings),
        )

    @property
    def silence_seconds(self) -> float:
        """A worker that has not been heard of for so long is not counted."""
        return max(60.0, 4 * self.settings.heartbeat_seconds)

    async def heavily(self, work: Callable[..., Result], *given: Any) -> Result:
        """Run what takes a core in a thread; those who wait for their turn hold none."""
        return await to_thread.run_sync(lambda: work(*given), limiter=self.heavy)

    def close(self) -> None:
        self.feed.close()
        self.waker.close()
        self.database.dispose()
