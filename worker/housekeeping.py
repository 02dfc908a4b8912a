"""What every worker does beside its job: says that it lives, sweeps lost jobs, clears away."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable

from core.errors import AppError
from core.queue import Waker
from core.settings import Settings
from store import blobs, idempotency, jobs, uploads, workers
from worker import reserve
from worker.database import Database
from worker.supervisor import Supervisor

CLEAR_SECONDS = 60.0

log = logging.getLogger(__name__)


class Housekeeping:
    """A thread with a few duties, each in its own rhythm; one that fails is tried again."""

    def __init__(self, settings: Settings, supervisor: Supervisor, waker: Waker) -> None:
        self._settings, self._supervisor, self._waker = settings, supervisor, waker
        self._database = Database(settings.database_url)
        self._host, self._over = socket.gethostname(), threading.Event()
        self._duties = [
            _Duty(self._report, settings.heartbeat_seconds),
            _Duty(self._sweep, settings.sweep_seconds),
            _Duty(self._clear, CLEAR_SECONDS),
        ]
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 5) -> None:
        self._over.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        pause = 0.0
        while not self._over.wait(pause):
            for duty in self._duties:
                try:
                    duty.do_if_due()
                except AppError as error:
                    log.warning("housekeeping: %s", error)
            pause = max(0.05, min(duty.due for duty in self._duties) - time.monotonic())
        try:
            with self._database.write.begin() as session:
                workers.leave(session, self._supervisor.worker_id)
        except AppError as error:
            log.warning("housekeeping: %s", error)
        self._database.close()

    def _report(self) -> None:
        with self._database.write.begin() as session:
            workers.beat(
                session,
                self._supervisor.worker_id,
                host=self._host,
                pid=os.getpid(),
                device=self._settings.device,
                job_id=self._supervisor.job_id,
            )

    def _sweep(self) -> None:
        """Queue what dead workers held; wake workers for what has waited too long."""
        with self._database.write.begin() as session:
            limit = self._settings.max_barren_attempts
            swept = jobs.sweep(session, max_barren_attempts=limit)
            waiting = jobs.wakeable(session)
        for job_id in swept:
            log.warning("job %s: its worker was lost", job_id)
        if swept or waiting:
            self._supervisor.wake()
            self._waker.wake()

    def _clear(self) -> None:
        if self._settings.database_url.startswith("sqlite"):
            reserve.hold(self._settings.data_dir)
        with self._database.write.begin() as session:
            idempotency.prune(session)
            workers.prune(session)
            uploads.expire(session)
        blobs.delete_unreferenced(self._database.write)


class _Duty:
    def __init__(self, do: Callable[[], None], every: float) -> None:
        self._do, self._every = do, every
        self.due = time.monotonic()

    def do_if_due(self) -> None:
        if time.monotonic() >= self.due:
            self.due = time.monotonic() + self._every
            self._do()
