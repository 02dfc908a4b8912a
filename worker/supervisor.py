"""The worker's one loop: claim a job, watch its process, claim the next.

It lives in the Celery child. A wake-up only shortens its wait; without a broker it polls.
"""

import logging
import random
import threading
import time
from collections.abc import Sequence
from typing import Any

from core.errors import AppError
from core.ids import new_id
from core.queue import Waker
from core.settings import Settings
from store import jobs
from store.jobs import Claim
from worker.attempt import Attempt
from worker.database import Database
from worker.forks import ZYGOTE, Forks, NoZygote
from worker.processes import RUNNER, JobProcess, Spawn, execute

JITTER = 0.25

log = logging.getLogger(__name__)


class Supervisor:
    """Runs one job at a time, each in a process of its own.

    It is a fork of `zygote`, if there is to be one, and else made with `command`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        waker: Waker,
        command: Sequence[str] = RUNNER,
        zygote: Sequence[str] | None = ZYGOTE,
    ) -> None:
        self.worker_id = new_id("wrk")
        self.job_id: str | None = None
        self._settings, self._waker, self._command = settings, waker, command
        self._zygote = zygote if settings.spare_process else None
        self._forks: Forks | None = None
        self._database = Database(settings.database_url)
        self._spare: JobProcess | None = None
        self._draining = threading.Event()
        self._changed = threading.Condition()
        self._wanted = self._busy = True
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="supervisor")

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Look at the queue now; nothing, once the supervisor has ended."""
        with self._changed:
            self._wanted = not self._ended
            self._changed.notify_all()

    def wait_until_idle(self) -> None:
        """Return when the queue was seen empty after the last `wake`, or the supervisor ended."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._wanted or self._busy))

    def drain(self) -> None:
        """Claim nothing more; the running job writes a checkpoint and is queued again."""
        self._draining.set()
        self.wake()

    def join(self, timeout: float) -> bool:
        """Whether the supervisor has ended within `timeout` seconds after `drain`."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._draining.is_set():
                self._turn()
        finally:
            with self._changed:
                self._wanted, self._busy, self._ended = False, False, True
                self._changed.notify_all()
            if self._spare is not None:
                self._spare.close()
            if self._forks is not None:
                self._forks.close()
            self._database.close()

    def _turn(self) -> None:
        with self._changed:
            self._wanted, self._busy = False, True
        self._ready_spare()
        asked = time.monotonic()
        claim = self._claim()
        if claim is None:
            self._idle()
            return
        self.job_id = claim.job_id
        log.info("job %s: claimed, attempt %s", claim.job_id, claim.attempt)
        process = self._take_process(threads_of(claim))
        try:
            Attempt(
                self._database,
                self._settings,
                claim,
                process,
                claimed_at=asked,
                draining=self._draining,
            ).run()
        finally:
            self.job_id = None
            process.close()
        if self._draining.is_set():
            self._waker.wake()  # the job is queued again: somebody else may go on with it

    def _claim(self) -> Claim | None:
        try:
            with self._database.write.begin() as session:
                return jobs.claim(
                    session,
                    worker_id=self.worker_id,
                    lease_seconds=self._settings.lease_seconds,
                )
        except AppError as error:
            log.warning("the queue cannot be read: %s", error)
            return None

    def _idle(self) -> None:
        pause = self._settings.poll_seconds * random.uniform(1 - JITTER, 1 + JITTER)
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._wanted, pause)

    def _ready_spare(self) -> None:
        if self._spare is not None and self._spare.poll() is not None:
            log.warning("the spare process died: %s", self._spare.output.tail())
            self._spare.close()
            self._spare = None
        if self._spare is None and self._settings.spare_process:
            self._spare = self._start_process(None)

    def _take_process(self, threads: int | None) -> JobProcess:
        """The spare where it fits: how many threads it has was settled when it started."""
        spare = self._spare
        if spare is not None and spare.threads == threads and spare.poll() is None:
            self._spare = None
            return spare
        return self._start_process(threads)

    def _start_process(self, threads: int | None) -> JobProcess:
        known = runner_settings(self._settings)
        if self._zygote is not None and threads is None:  # a fork's threads are settled already
            try:
                return JobProcess(self._fork(self._zygote), settings=known)
            except NoZygote as error:
                log.warning("a job process is started without a zygote: %s", error)
        return JobProcess(execute(self._command, threads), settings=known, threads=threads)

    def _fork(self, zygote: Sequence[str]) -> Spawn:
        if self._forks is not None and self._forks.gone:
            self._forks.close()
            self._forks = None
        if self._forks is None:
            self._forks = Forks(zygote)
        return self._forks.spawn


def threads_of(claim: Claim) -> int | None:
    threads = claim.spec.get("resources", {}).get("threads")
    return threads if isinstance(threads, int) else None


def runner_settings(settings: Settings) -> dict[str, Any]:
    """What a job process has to know; it signs nothing, so it gets no secret."""
    return settings.model_dump(mode="json", exclude={"secret", "broker_url"})
