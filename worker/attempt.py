"""One attempt at one job, as its supervisor sees it: from the claim to what becomes of the row."""

import logging
import threading
import time
from dataclasses import asdict

from sqlalchemy.orm import Session

from core.errors import AppError, LeaseLost
from core.settings import Settings
from core.states import HELD, JobState
from store import events, jobs
from store.jobs import Claim
from store.tables import JobMove
from worker.database import Database
from worker.lease import Lease
from worker.output import log_event
from worker.processes import JobProcess
from worker.verdict import Action, Ending, Stop, Verdict, judge, oom_kills

WATCH_SECONDS = 0.2  # how soon a wish is acted on; the end of the process is seen at once
SLOW_STEPS = 20  # a job is stalled when nothing moves for this many usual steps (and a minimum)

log = logging.getLogger(__name__)


class Attempt:
    """Runs in the supervisor's thread; `run` returns when process and row are done with."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        claim: Claim,
        process: JobProcess,
        *,
        claimed_at: float,
        draining: threading.Event,
    ) -> None:
        self.claim, self._process, self._settings = claim, process, settings
        self._database, self._draining = database, draining
        self._lease = Lease(database, claim, process, settings, renewed=claimed_at)
        self._started = claimed_at
        self._spent: float | None = None  # seconds of former attempts, once they could be read
        self._stop: Stop | None = None
        self._kill_at = float("inf")
        self._moved_at, self._beats = claimed_at, 0
        self._first_step: int | None = None
        self._oom_kills = oom_kills()

    def run(self) -> None:
        whole = asdict(self.claim)
        self._process.give({key: whole[key] for key in whole.keys() - {"spec", "plan"}})
        code = self._watch()
        self._lease.release()
        self._process.kill()  # what else was in its group
        if code is None or self._lease.lost:
            log.warning("job %s: lease lost, process stopped", self.claim.job_id)
            return
        self._process.output.finish(timeout=1)
        self._write(judge(self._ending(code)))

    def _watch(self) -> int | None:
        """The exit code; None where the process had to die because the lease was lost."""
        looked = 0.0
        while (code := self._process.wait(WATCH_SECONDS)) is None:
            now = time.monotonic()
            if self._lease.lost:
                self._process.kill()
                return None
            if now - looked >= 1:
                looked, self._oom_kills = now, oom_kills()
            self._control(now)
        return code

    def _control(self, now: float) -> None:
        if self._stop is None:
            self._stop = self._why_stop(now)
            if self._stop is None:
                return
            log.info("job %s: stopping: %s", self.claim.job_id, self._stop)
            self._process.terminate()
            patience = 0 if self._stop is Stop.STALLED else self._settings.grace_seconds
            self._kill_at = now + patience
        if now >= self._kill_at:
            self._process.kill()

    def _why_stop(self, now: float) -> Stop | None:
        if self._lease.ended:
            return Stop.ENDED
        if self._lease.wish is not None:
            return Stop.WISH
        if self._draining.is_set():
            return Stop.DRAIN
        if self._overtime(now):
            return Stop.MAX_RUNTIME
        return Stop.STALLED if self._stalled(now) else None

    def _overtime(self, now: float) -> bool:
        limit = self.claim.spec.get("resources", {}).get("max_runtime_seconds")
        if not isinstance(limit, int | float):
            return False
        if self._spent is None:
            self._spent = self._former_runtime()
        return now - self._started + (self._spent or 0) > limit

    def _former_runtime(self) -> float | None:
        if self.claim.attempt == 1:
            return 0
        try:
            with self._database.read() as session:
                return runtime(jobs.history(session, self.claim.job_id))
        except AppError:
            return None

    def _stalled(self, now: float) -> bool:
        step, beats, step_seconds = self._process.pulse.read()
        if beats != self._beats:
            self._moved_at, self._beats = now, beats
            if self._first_step is None:
                self._first_step = step
        patience = max(self._settings.stall_seconds, SLOW_STEPS * step_seconds)
        return now - self._moved_at > patience

    def _ending(self, code: int) -> Ending:
        step = self._process.pulse.read()[0]
        return Ending(
            code=code,
            stop=self._stop,
            steps=step - (step if self._first_step is None else self._first_step),
            oom_killed=code < 0 and oom_kills() > self._oom_kills,
            tail=self._process.output.tail(),
        )

    def _write(self, verdict: Verdict) -> None:
        """Carry out the verdict while the claim is ours, however long the database is away."""
        if verdict.action is Action.NOTHING:
            return
        while not self._lease.lost:
            try:
                with self._database.write.begin() as session:
                    self._carry_out(session, verdict)
                return
            except LeaseLost:
                return  # the process wrote the end itself, or the job is somebody else's
            except AppError as error:
                log.warning("job %s: cannot write its end yet: %s", self.claim.job_id, error)
                time.sleep(0.2)

    def _carry_out(self, session: Session, verdict: Verdict) -> None:
        assert verdict.reason is not None
        lines = self._lease.lines()
        if lines:
            jobs.beat(session, self.claim, lease_seconds=self._settings.lease_seconds)
            events.extend(session, self.claim.job_id, map(log_event, lines))
        if verdict.action is Action.FAIL:
            error = verdict.error or {}
            jobs.fail(session, self.claim, reason=verdict.reason, error=error)
            return
        job = jobs.requeue(
            session,
            self.claim,
            reason=verdict.reason,
            count_attempt=verdict.counted,
            error=verdict.error,
            max_barren_attempts=self._settings.max_barren_attempts,
        )
        log.info("job %s: %s (%s)", job.id, job.state, verdict.reason)


def runtime(moves: list[JobMove]) -> float:
    """Seconds that a job was in the hands of workers, the attempt that runs now left out."""
    total, since = 0.0, None
    for move in moves:
        if move.after is JobState.RUNNING:
            since = move.at
        elif move.after not in HELD and since is not None:
            total += (move.at - since).total_seconds()
            since = None
    return total
