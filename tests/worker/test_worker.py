"""Workers as they really run: `python -m worker`, a Celery worker with its child and grandchild."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest
import redis

from core.queue import Waker
from core.settings import Settings
from store import jobs as rows
from tests.conftest import REDIS, need
from tests.worker import jobs
from tests.worker.conftest import children_of, job_process_of, wait_for

BROKERS = pytest.mark.filterwarnings("ignore:The ``noload``")  # in kombu's SQLAlchemy transport


class Worker:
    """A worker's main process; `child` holds the supervisor, `job` trains."""

    def __init__(self, settings: Settings, **changes: object) -> None:
        known = settings.model_dump(mode="json", exclude={"secret"}) | changes
        environment = {f"GRADWORKS_{key.upper()}": str(value) for key, value in known.items()}
        environment["GRADWORKS_SECRET"] = "a secret of the tests"
        self.log = settings.data_dir / f"worker-{time.monotonic_ns()}.log"
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker"],
                env=os.environ | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def child(self) -> int:
        mark = "spawn_main"
        return next(pid for pid, line in children_of(self.process.pid).items() if mark in line)

    @property
    def job(self) -> int:
        return job_process_of(self.child)

    def kill_all(self) -> None:
        """SIGKILL to everything at once, as when a machine goes down."""
        doomed = [self.process.pid]
        with suppress(StopIteration, ValueError):
            doomed += [self.child, self.job]
        for pid in doomed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise AssertionError(self.log.read_text()) from None


@pytest.fixture
def start(settings):
    """Starts workers that are stopped after the test."""
    started = []

    def begin(broker_url, **changes):
        known = settings.model_copy(update={"broker_url": broker_url, "spare_process": True})
        started.append(Worker(known, **changes))
        return started[-1]

    yield begin
    for worker in started:
        if worker.process.poll() is None:
            with suppress(ProcessLookupError, StopIteration):
                os.kill(worker.child, signal.SIGCONT)
            worker.stop()


@pytest.fixture
def wait(own_sessions):
    def until(job_id, check, seconds=60):
        def read():
            with own_sessions() as session:
                return rows.load(session, job_id)

        return wait_for(read, check, seconds)

    return until


def done(job):
    return job.state in ("succeeded", "failed", "cancelled")


SQLITE = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
POSTGRESQL = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


@SQLITE
@BROKERS
def test_a_wake_up_through_each_broker(any_broker_url, start, settings, own_sessions, wait):
    start(any_broker_url, poll_seconds=30, sweep_seconds=30)
    known = settings.model_copy(update={"broker_url": any_broker_url})
    first = jobs.submit(own_sessions, jobs.document(train={"epochs": 1}))
    wait(first, done)  # the worker's own first look at the queue, or its wake-up

    waker = Waker(known)
    second = jobs.submit(own_sessions, jobs.document(train={"epochs": 1}))
    for _ in range(3):
        waker.wake()
    job = wait(second, done, seconds=25)
    waker.close()

    assert (job.state, job.attempt) == ("succeeded", 1)
    with own_sessions() as session:
        moves = [move.after.value for move in rows.history(session, second)]
    assert moves == ["validating", "queued", "running", "succeeded"]


@POSTGRESQL
def test_kill_the_job_process_then_the_supervisor_then_the_worker(
    broker_url, start, own_sessions, wait, reference
):
    job_id = jobs.submit(own_sessions, reference["document"])
    worker = start(broker_url)
    step = wait(job_id, lambda job: job.step > 0).step
    os.kill(worker.job, signal.SIGKILL)
    step = wait(job_id, lambda job: job.attempt == 2 and job.step > step).step
    os.kill(worker.child, signal.SIGKILL)
    step = wait(job_id, lambda job: job.attempt == 3 and job.step > step).step
    worker.kill_all()
    start(broker_url)

    job = wait(job_id, done)

    assert (job.state, job.attempt) == ("succeeded", 4)
    jobs.assert_like(own_sessions, job_id, reference)


@SQLITE
def test_a_drained_worker_leaves_at_once_and_another_goes_on(
    broker_url, start, own_sessions, wait, reference
):
    job_id = jobs.submit(own_sessions, reference["document"])
    first = start(broker_url)
    wait(job_id, lambda job: job.step > 0)

    began = time.monotonic()
    code = first.stop()
    seconds = time.monotonic() - began
    queued = wait(job_id, lambda job: True)
    start(broker_url)
    job = wait(job_id, done)

    assert code == 0
    assert seconds < 15
    assert (queued.state, queued.reason, queued.attempt) == ("queued", "preempted", 0)
    assert (job.state, job.attempt) == ("succeeded", 1)
    jobs.assert_like(own_sessions, job_id, reference)


@SQLITE
def test_the_child_of_a_killed_main_process_gives_its_job_back(
    broker_url, start, own_sessions, wait, reference
):
    job_id = jobs.submit(own_sessions, reference["document"])
    worker = start(broker_url, lease_seconds=600)
    wait(job_id, lambda job: job.step > 0)
    child = worker.child

    worker.process.kill()
    worker.process.wait()

    job = wait(job_id, lambda job: job.state != "running", seconds=30)
    assert (job.state, job.reason, job.attempt) == ("queued", "preempted", 0)
    wait_for(lambda: _Alive(child), lambda one: not one.alive, 30)


class _Alive:
    def __init__(self, pid: int) -> None:
        self.alive = True
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            self.alive = False


@POSTGRESQL
def test_a_frozen_worker_writes_nothing_when_it_wakes_up(
    broker_url, start, own_sessions, wait, reference
):
    job_id = jobs.submit(own_sessions, reference["document"])
    frozen = start(broker_url)
    wait(job_id, lambda job: job.step > 0)
    pids = [frozen.child, frozen.job]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    start(broker_url)
    wait(job_id, lambda job: job.attempt == 2 and job.step > 0)

    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    job = wait(job_id, done)

    assert (job.state, job.attempt) == ("succeeded", 2)
    jobs.assert_like(own_sessions, job_id, reference)
    wait_for(lambda: _Alive(pids[1]), lambda one: not one.alive, 20)
    assert "lease lost" in frozen.log.read_text()


@POSTGRESQL
@pytest.mark.timeout(300)  # twenty processes, one after the other
def test_a_broker_that_forgets_everything_costs_nothing(start, settings, own_sessions, wait):
    need(REDIS)
    waker = Waker(settings.model_copy(update={"broker_url": REDIS}))
    wanted = []
    for _ in range(20):
        wanted.append(jobs.submit(own_sessions, jobs.document(train={"epochs": 1})))
        waker.wake()
    waker.close()

    start(REDIS)
    wait(wanted[2], done)
    with redis.Redis.from_url(REDIS) as broker:
        broker.flushdb()
    found = [wait(job_id, done, seconds=280) for job_id in wanted]

    assert [(job.state, job.attempt) for job in found] == [("succeeded", 1)] * 20


@SQLITE
def test_a_broker_that_never_answers_costs_nothing(start, settings, own_sessions, wait):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        start(url)
        job_id = jobs.submit(own_sessions, jobs.document(train={"epochs": 1}))

        assert wait(job_id, done).state == "succeeded"
