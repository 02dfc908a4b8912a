"""Between the training loop and the store: what the loop says is buffered here, and committed
about once a second by a thread, under the fence. The loop never waits for the database."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from core.errors import AppError, LeaseLost, Unavailable
from core.logging import redact
from store import progress
from store.blobs import BlobRef, Writer
from store.jobs import Claim
from store.metrics import Point
from store.progress import CheckpointRef
from worker.database import Database

COMMIT_SECONDS = 1.0
RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0)

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass
class Batch:
    """What is committed together. A checkpoint closes its batch: nothing later may join it."""

    step: int = 0
    epoch: int = 0
    progress: dict[str, Any] = field(default_factory=dict)
    metrics: list[Point] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    checkpoint: Callable[[], Iterable[bytes]] | None = None
    manifest: dict[str, Any] = field(default_factory=dict)
    keep: int | None = None


class Progress:
    """`on_lost` is called, from the thread, when the claim is stale: the process must end."""

    def __init__(self, database: Database, claim: Claim, *, on_lost: Callable[[], None]) -> None:
        self._database, self._claim, self._on_lost = database, claim, on_lost
        self._open = Batch(step=claim.checkpoint_step or 0)
        self._closed: list[Batch] = []
        self._number = 0
        self._changed = threading.Condition()
        self._dirty = self._hurry = self._writing = self._ending = False
        pool = ThreadPoolExecutor(1, thread_name_prefix="progress")
        self._thread = pool.submit(self._run)
        self._thread.add_done_callback(lambda _: self._notify())
        pool.shutdown(wait=False)

    def metrics(self, values: Mapping[str, float], *, step: int, epoch: int) -> None:
        points = [Point(name, step, epoch, value) for name, value in values.items()]
        with self._changed:
            self._open.metrics += points
            self._dirty = True

    def event(self, type: str, **data: Any) -> None:
        with self._changed:
            self._open.events.append({"type": type, "data": data})
            self._dirty = True

    def at(self, step: int, epoch: int, **figures: Any) -> None:
        """Where the loop is; only the last word before a commit is written."""
        with self._changed:
            self._open.step, self._open.epoch, self._open.progress = step, epoch, figures
            self._dirty = True

    def checkpoint(
        self, content: Callable[[], Iterable[bytes]], manifest: dict[str, Any], *, keep: int
    ) -> None:
        """Publish a checkpoint of the step given to `at`, with all that was said up to now.

        `content` is called in the thread; what it reads must not change any more. Of the job's
        checkpoints the newest `keep` stay.
        """
        with self._changed:
            self._open.checkpoint, self._open.manifest = content, manifest
            self._open.keep = keep
            self._closed.append(self._open)
            self._open = self._next()
            self._dirty = self._hurry = True
            self._changed.notify_all()

    @property
    def busy(self) -> bool:
        """Something waits to be written, or is being written, that is more than a tick's worth."""
        return self._hurry or self._writing

    @property
    def ended(self) -> bool:
        """Nothing more can be said: it was closed, or could not get over something."""
        return self._thread.done()

    def raise_failure(self) -> None:
        """Raise what the thread could not get over: StorageFull, LeaseLost, or a defect."""
        if self._thread.done():
            self._thread.result()

    def hurry(self) -> None:
        """Commit now, and do not wait for it."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()

    def flush(self) -> None:
        """Return when all that was said is committed."""
        self.hurry()
        with self._changed:
            self._changed.wait_for(
                lambda: self._thread.done() or not (self._hurry or self._writing)
            )
        self.raise_failure()

    def close(self) -> None:
        """Commit what is left, and end the thread."""
        with self._changed:
            self._ending = True
        self.flush()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _next(self) -> Batch:
        return Batch(self._open.step, self._open.epoch, self._open.progress)

    def _run(self) -> None:
        try:
            while not self._ended():
                self._turn()
        except LeaseLost:
            self._on_lost()
            raise

    def _ended(self) -> bool:
        with self._changed:
            return self._ending and not (self._hurry or self._dirty)

    def _turn(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._hurry, COMMIT_SECONDS)
            batches = [*self._closed, self._open] if self._dirty else []
            self._closed, self._open = [], self._next()
            self._dirty = self._hurry = False
            self._writing = True
        for batch in batches:
            self._commit(batch)
        with self._changed:
            self._writing = False
            self._changed.notify_all()

    def _commit(self, batch: Batch) -> None:
        self._number += 1
        reference = None
        if batch.checkpoint is not None:
            reference = CheckpointRef(self._store(batch.checkpoint), batch.manifest)
        persist(lambda: self._commit_once(batch, reference))

    def _commit_once(self, batch: Batch, reference: CheckpointRef | None) -> None:
        with self._database.write.begin() as session:
            progress.commit(
                session,
                self._claim,
                step=batch.step,
                epoch=batch.epoch,
                metrics=batch.metrics,
                events=batch.events,
                checkpoint=reference,
                progress=batch.progress,
                number=self._number,
                keep=batch.keep,
            )

    def _store(self, content: Callable[[], Iterable[bytes]]) -> BlobRef:
        def write() -> BlobRef:
            with Writer(self._database.write) as writer:
                for piece in content():
                    writer.write(piece)
                return writer.finish()

        return persist(write)


class ProgressHandler(logging.Handler):
    """Makes what is logged in a job's process events of the job."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.INFO)
        self._progress = progress
        self._otherwise = logging.StreamHandler(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        if self._progress.ended:
            self._otherwise.emit(record)
            return
        message = redact(self.format(record))
        self._progress.event("log", level=record.levelname.lower(), message=message)


def persist(
    write: Callable[[], T], *, patient_with: tuple[type[AppError], ...] = (Unavailable,)
) -> T:
    """Do it until the database takes it. The supervisor ends this process when that is too late."""
    tries = 0
    while True:
        try:
            return write()
        except patient_with as error:
            log.warning("the database does not take it yet: %s", error)
            time.sleep(RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)])
            tries += 1
