"""Holding on to a claim: renewed from a thread of its own, given up in good time."""

import logging
import threading
import time

from core.errors import AppError, LeaseLost
from core.settings import Settings
from core.states import TERMINAL, JobState
from store import events, jobs
from store.jobs import Beat, Claim
from worker.database import Database
from worker.output import PENDING_LINES, log_event
from worker.processes import JobProcess

SELF_STOP = 0.75  # of the lease: whoever has not renewed for that long stops by himself
LOOK_SECONDS = 1.0  # how often a request to cancel or pause is looked for

log = logging.getLogger(__name__)


class Lease:
    """One claim while its process runs. Carries the process's output and step to the database.

    The thread may wait for the database as long as it likes: `lost` is told by the monotonic clock.
    """

    def __init__(
        self,
        database: Database,
        claim: Claim,
        process: JobProcess,
        settings: Settings,
        *,
        renewed: float,
    ) -> None:
        self.claim = claim
        self.wish: JobState | None = None  # CANCELLING or PAUSING, once a user has asked for it
        self._database, self._process, self._settings = database, process, settings
        self._renewed = renewed
        self.ended = False  # the row has come to its end; the process should follow
        self._taken = False
        self._unwritten: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Somebody else may have the job by now: kill the process, write nothing."""
        overdue = time.monotonic() - self._renewed > SELF_STOP * self._settings.lease_seconds
        return self._taken or overdue

    def release(self) -> None:
        """Stop renewing; the claim stays valid for as long as it was renewed."""
        self._over.set()
        self._thread.join(self._settings.lease_seconds)

    def lines(self) -> list[str]:
        """What was printed and is not written yet."""
        return self._unwritten + self._process.output.take()

    def _run(self) -> None:
        tick = min(LOOK_SECONDS, self._settings.heartbeat_seconds / 2)
        while not self._over.wait(tick):
            try:
                self._tick()
            except LeaseLost:
                if self._settle():
                    return
            except AppError as error:  # the database is away: the lease's clock goes on
                log.warning("job %s: no heartbeat: %s", self.claim.job_id, error)

    def _tick(self) -> None:
        self._unwritten = self.lines()[-PENDING_LINES:]
        age = time.monotonic() - self._renewed
        if self._unwritten or age >= self._settings.heartbeat_seconds - LOOK_SECONDS / 2:
            self._beat()
        elif self.wish is None:
            self._look()

    def _beat(self) -> None:
        asked = time.monotonic()
        with self._database.write.begin() as session:
            beat = jobs.beat(session, self.claim, lease_seconds=self._settings.lease_seconds)
            if self._unwritten:
                events.extend(session, self.claim.job_id, map(log_event, self._unwritten))
        self._renewed, self._unwritten = asked, []
        self._hear(beat)

    def _look(self) -> None:
        with self._database.read() as session:
            beat = jobs.look(session, self.claim)
        self._hear(beat)

    def _settle(self) -> bool:
        """Why the claim is stale: the process itself has ended the job, or it was taken from us."""
        try:
            with self._database.read() as session:
                job = jobs.load(session, self.claim.job_id)
        except AppError:
            return False
        self.ended = job.fence == self.claim.fence and job.state in TERMINAL
        self._taken = not self.ended
        return True

    def _hear(self, beat: Beat) -> None:
        if beat.cancel_requested:
            self.wish = JobState.CANCELLING
        elif beat.pause_requested:
            self.wish = JobState.PAUSING
