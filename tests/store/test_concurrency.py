"""Workers that race: real connections, threads and processes."""

import subprocess
import sys
import threading
from collections import Counter
from itertools import chain
from pathlib import Path

import pytest
from sqlalchemy import func, select

from core.errors import BadTransition, LeaseLost
from core.states import JobState, Reason
from store import jobs, models, progress
from store.clock import later
from store.tables import Job, JobMove, Model
from tests import factories

ROOT = Path(__file__).parents[2]


def in_threads(number, work):
    """Run `work(index)` in so many threads at once; raises what any of them raised."""
    failures: list[BaseException] = []
    start = threading.Barrier(number)

    def run(index):
        try:
            start.wait(10)
            work(index)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if failures:
        raise failures[0]


@pytest.fixture
def queued(own_sessions):
    with own_sessions.begin() as session:
        owner = factories.project(session).id
        return [factories.job(session, project_id=owner).id for _ in range(40)]


def test_each_job_is_claimed_once_by_threads(own_sessions, queued):
    claimed = []

    def work(index):
        while True:
            with own_sessions.begin() as session:
                claim = jobs.claim(session, worker_id=f"wrk_{index}", lease_seconds=60)
            if claim is None:
                return
            claimed.append(claim.job_id)

    in_threads(4, work)

    assert Counter(claimed) == Counter(queued)


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_a_claim_that_is_being_made_holds_up_no_other(own_sessions, queued):
    with own_sessions() as first, own_sessions() as second:
        one = jobs.claim(first, worker_id="wrk_1", lease_seconds=60)
        two = jobs.claim(second, worker_id="wrk_2", lease_seconds=60)

        assert one.job_id != two.job_id


CLAIMER = """
import sys
from store import jobs
from store.session import connect, sessions
make = sessions(connect(sys.argv[1], worker=True))
while True:
    with make.begin() as session:
        claim = jobs.claim(session, worker_id=sys.argv[2], lease_seconds=60)
    if claim is None:
        break
    with make.begin() as session:
        jobs.finish(session, claim)
    print(claim.job_id)
"""


def test_each_job_is_claimed_once_by_processes(own_url, own_sessions, queued):
    running = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, own_url, f"wrk_{index}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in range(3)
    ]
    outputs = [process.communicate(timeout=60)[0].split() for process in running]

    assert [process.returncode for process in running] == [0, 0, 0]
    assert Counter(chain(*outputs)) == Counter(queued)
    with own_sessions() as session:
        assert jobs.counts(session)[JobState.SUCCEEDED] == len(queued)


def test_one_of_two_claims_of_a_job_wins(own_sessions):
    with own_sessions.begin() as session:
        first = factories.claim(session)
        jobs.load(session, first.job_id).lease_until = later(-1)
        session.flush()
        jobs.sweep(session)
        second = jobs.claim(session, worker_id="wrk_2", lease_seconds=60)
    won, lost = [], []

    def work(index):
        claim = (first, second)[index % 2]
        try:
            with own_sessions.begin() as session:
                models.create(session, claim, name="m", manifest={}, metrics={})
                jobs.finish(session, claim)
            won.append(claim.fence)
        except LeaseLost:
            lost.append(claim.fence)

    in_threads(4, work)

    assert won == [second.fence]
    assert sorted(lost) == [first.fence, first.fence, second.fence]
    with own_sessions() as session:
        assert session.scalar(select(func.count()).select_from(Model)) == 1


def test_sweeps_at_once_take_a_job_once(own_sessions, queued):
    with own_sessions.begin() as session:
        while jobs.claim(session, worker_id="wrk_1", lease_seconds=-1):
            pass
    swept = []

    def work(index):
        with own_sessions.begin() as session:
            swept.extend(jobs.sweep(session))

    in_threads(4, work)

    with own_sessions.begin() as session:
        swept.extend(jobs.sweep(session))
        assert session.scalar(select(func.max(Job.attempt))) == 1
        requeued = select(func.count()).where(JobMove.reason == Reason.WORKER_LOST)
        assert session.scalar(requeued) == len(queued)
    assert Counter(swept) == Counter(queued)


def test_a_cancel_and_a_finish_at_once_have_one_outcome(own_sessions):
    for _ in range(8):
        with own_sessions.begin() as session:
            claim = factories.claim(session)

        def work(index, claim=claim):
            with own_sessions.begin() as session:
                if index == 0:
                    jobs.finish(session, claim)
                else:
                    try_cancel(session, claim)

        in_threads(2, work)

        with own_sessions() as session:
            assert jobs.load(session, claim.job_id).state is JobState.SUCCEEDED
            states = [move.after for move in jobs.history(session, claim.job_id)]
            assert states[-1] is JobState.SUCCEEDED
            assert states.count(JobState.SUCCEEDED) == 1


def try_cancel(session, claim):
    try:
        jobs.request_cancel(session, claim.project_id, claim.job_id)
    except BadTransition:
        assert jobs.load(session, claim.job_id).state is JobState.SUCCEEDED


def test_progress_and_a_cancel_at_once_lose_nothing(own_sessions):
    with own_sessions.begin() as session:
        claim = factories.claim(session)

    def work(index):
        if index:
            with own_sessions.begin() as session:
                jobs.request_cancel(session, claim.project_id, claim.job_id)
            return
        for step in range(1, 11):
            with own_sessions.begin() as session:
                event = {"type": "epoch", "data": {"step": step}}
                progress.commit(session, claim, step=step, epoch=0, events=[event])

    in_threads(2, work)

    with own_sessions() as session:
        job = jobs.load(session, claim.job_id)
    assert (job.state, job.step, job.events) == (JobState.CANCELLING, 10, 14)
