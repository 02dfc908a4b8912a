"""Chaos for minutes: everything that can be killed, frozen or wiped is, at random moments.

`GRADWORKS_SOAK_SECONDS` sets how long (default 180); the seed is printed with a failure.
"""

import os
import random
import signal
import time
from contextlib import suppress

import pytest
import redis

from store import jobs as rows
from tests.conftest import REDIS, need
from tests.worker import jobs
from tests.worker.test_worker import Worker, done

SECONDS = float(os.environ.get("GRADWORKS_SOAK_SECONDS", "180"))
pytestmark = [pytest.mark.soak, pytest.mark.timeout(SECONDS * 4 + 600)]
WORKERS = 2


class Chaos:
    """Workers to be hurt; one that died is started again."""

    def __init__(self, settings, seed):
        self.settings, self.random = settings, random.Random(seed)
        self.workers = [self.begin() for _ in range(WORKERS)]
        self.done = {}

    def begin(self):
        return Worker(self.settings)

    def strike(self):
        """Do one bad thing to one worker, or to the broker."""
        act = self.random.choice(["job", "job", "child", "main", "all", "freeze", "drain", "wipe"])
        index = self.random.randrange(WORKERS)
        with suppress(StopIteration, ValueError, ProcessLookupError):
            self.hurt(act, index)
            self.done[act] = self.done.get(act, 0) + 1

    def hurt(self, act, index):
        worker = self.workers[index]
        if act in ("job", "child"):
            os.kill(getattr(worker, act), signal.SIGKILL)
        elif act == "freeze":
            pids = [worker.child, worker.job]
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(self.settings.lease_seconds * 1.5)
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        elif act == "wipe":
            with redis.Redis.from_url(REDIS) as broker:
                broker.flushdb()
        else:
            self.end(worker, act)
            self.workers[index] = self.begin()

    def end(self, worker, act):
        if act == "drain":
            worker.stop()
        elif act == "main":
            worker.process.kill()
            worker.process.wait()
        else:
            worker.kill_all()

    def close(self):
        for worker in self.workers:
            worker.stop()


@pytest.mark.parametrize("seed", range(2))
def test_chaos_loses_nothing(settings, own_sessions, reference, seed):
    need(REDIS)
    known = settings.model_copy(update={"broker_url": REDIS, "spare_process": True})
    patient = reference["document"] | {"resources": {"max_attempts": 100}}
    chaos = Chaos(known, seed)
    wanted = []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if len(wanted) < SECONDS / 10 and len(wanted) < count_done(own_sessions, wanted) + 6:
            wanted.append(jobs.submit(own_sessions, patient))
        time.sleep(chaos.random.uniform(0.5, 3))
        chaos.strike()
    calm = time.monotonic() + SECONDS + 300
    while count_done(own_sessions, wanted) < len(wanted) and time.monotonic() < calm:
        time.sleep(0.5)
    chaos.close()

    assert wanted
    for job_id in wanted:
        with own_sessions() as session:
            job = rows.load(session, job_id)
        # A job that was hit three times before its first checkpoint has failed as it should.
        if job.state == "failed":
            assert (job.reason, job.barren_attempts) == ("worker_lost", 3), (seed, job.error)
        else:
            assert job.state == "succeeded", (seed, chaos.done)
            jobs.assert_like(own_sessions, job_id, reference)


def count_done(sessions, wanted):
    with sessions() as session:
        return sum(done(rows.load(session, job_id)) for job_id in wanted)
