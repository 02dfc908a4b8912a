"""The job table under any order of events, compared with a small model of what it should hold."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select
from sqlalchemy.orm import sessionmaker

from core.errors import BadTransition, Conflict, LeaseLost
from core.states import HELD, MOVES, TERMINAL, JobState, Reason
from store import blobs, checkpoints, events, jobs, models, progress
from store.clock import later
from store.progress import CheckpointRef
from store.tables import Job, Model
from tests import factories

MAX_BARREN = 2


@dataclass
class Expected:
    """What a job should be."""

    max_attempts: int
    priority: int
    state: JobState = JobState.QUEUED
    attempt: int = 0
    fence: int = 0
    barren: int = 0
    steps: list[int] = field(default_factory=list)
    fresh: bool = False  # whether this attempt has made a checkpoint
    expired: bool = False


class JobTable(RuleBasedStateMachine):
    engine = None

    def __init__(self):
        super().__init__()
        self.connection = self.engine.connect()
        self.outer = self.connection.begin()
        self.sessions = sessionmaker(
            self.connection, join_transaction_mode="create_savepoint", expire_on_commit=False
        )
        self.jobs: dict[str, Expected] = {}
        self.claims = []
        self.versions: dict[str, int] = {}
        self.ended: dict[str, tuple] = {}

    def teardown(self):
        self.outer.rollback()
        self.connection.close()

    @initialize()
    def start(self):
        with self.sessions.begin() as session:
            self.owner = factories.project(session).id
            self.blob = blobs.write(session, b"weights")

    def pick(self, index, states):
        names = [name for name, one in self.jobs.items() if one.state in states]
        return names[index % len(names)] if names else None

    def claim_number(self, index):
        """A claim, the newest being number 0: old ones are mostly stale."""
        return self.claims[-1 - index % len(self.claims)]

    def holder(self, claim):
        """The job that the claim still holds; None where the claim is stale."""
        expected = self.jobs[claim.job_id]
        live = expected.fence == claim.fence and expected.state in HELD
        return expected if live else None

    def attempt_ends(self, expected):
        if expected.state is JobState.CANCELLING:
            expected.state = JobState.CANCELLED
            return
        if expected.state is JobState.PAUSING:
            expected.state = JobState.PAUSED
            expected.attempt -= 1
            return
        expected.barren = 0 if expected.fresh else expected.barren + 1
        if expected.attempt >= expected.max_attempts or expected.barren >= MAX_BARREN:
            expected.state = JobState.FAILED
        else:
            expected.state = JobState.QUEUED

    def write(self, claim, work):
        """Do it under the claim; a stale claim must be refused and change nothing."""
        if self.holder(claim) is None:
            with pytest.raises(LeaseLost), self.sessions.begin() as session:
                work(session, claim)
            return None
        with self.sessions.begin() as session:
            work(session, claim)
        return self.jobs[claim.job_id]

    @rule(priority=st.integers(-1, 1), max_attempts=st.integers(1, 4))
    def submit(self, priority, max_attempts):
        with self.sessions.begin() as session:
            job = factories.job(
                session, project_id=self.owner, priority=priority, max_attempts=max_attempts
            )
        self.jobs[job.id] = Expected(max_attempts, priority)

    @rule()
    def claim(self):
        with self.sessions.begin() as session:
            claim = jobs.claim(session, worker_id="wrk_1", lease_seconds=60)
        waiting = [one for one in self.jobs.values() if one.state is JobState.QUEUED]
        assert (claim is None) == (not waiting)
        if claim is None:
            return
        expected = self.jobs[claim.job_id]
        assert expected.priority == max(one.priority for one in waiting)
        assert expected.state is JobState.QUEUED
        expected.state, expected.fresh, expected.expired = JobState.RUNNING, False, False
        expected.attempt += 1
        expected.fence += 1
        assert (claim.fence, claim.attempt) == (expected.fence, expected.attempt)
        self.claims.append(claim)

    @precondition(lambda self: self.claims)
    @rule(index=st.integers(0, 9))
    def beat(self, index):
        claim = self.claim_number(index)
        held = self.write(claim, lambda session, own: jobs.beat(session, own, lease_seconds=60))
        if held:
            held.expired = False

    @precondition(lambda self: self.claims)
    @rule(index=st.integers(0, 9), step=st.integers(1, 6))
    def checkpoint(self, index, step):
        claim = self.claim_number(index)
        ref = CheckpointRef(self.blob, {"fence": claim.fence})

        def commit(session, own):
            progress.commit(session, own, step=step, epoch=0, checkpoint=ref)

        held = self.holder(claim)
        if held and held.steps and step <= held.steps[-1]:
            with pytest.raises(Conflict), self.sessions.begin() as session:
                commit(session, claim)
            return
        held = self.write(claim, commit)
        if held:
            held.steps.append(step)
            held.fresh, held.barren = True, 0

    @precondition(lambda self: self.claims)
    @rule(index=st.integers(0, 9))
    def resume_from_an_older_checkpoint(self, index):
        claim = self.claim_number(index)
        held = self.holder(claim)
        step = held.steps[-2] if held and len(held.steps) > 1 else None

        def rewind(session, own):
            progress.rewind(session, own, step=step)

        if self.write(claim, rewind):
            held.steps = held.steps[:-1] if step else []
            with self.sessions() as session:
                kept = checkpoints.latest(session, claim.job_id)
            held.fresh = bool(kept) and kept.fence == claim.fence

    @precondition(lambda self: self.claims)
    @rule(index=st.integers(0, 9))
    def finish(self, index):
        claim = self.claim_number(index)

        def finish(session, own):
            models.create(session, own, name="model", manifest={}, metrics={})
            jobs.finish(session, own)

        held = self.write(claim, finish)
        if held:
            held.state = JobState.SUCCEEDED

    @precondition(lambda self: self.claims)
    @rule(index=st.integers(0, 9))
    def fail(self, index):
        claim = self.claim_number(index)
        held = self.write(
            claim, lambda session, own: jobs.fail(session, own, reason=Reason.ERROR, error={})
        )
        if held:
            held.state = JobState.FAILED

    @precondition(lambda self: self.claims)
    @rule(index=st.integers(0, 9))
    def crash(self, index):
        """The job's process dies, and its worker gives the job back."""
        claim = self.claim_number(index)
        held = self.write(
            claim,
            lambda session, own: jobs.requeue(
                session, own, reason=Reason.OOM, max_barren_attempts=MAX_BARREN
            ),
        )
        if held:
            self.attempt_ends(held)

    @precondition(lambda self: self.claims)
    @rule(index=st.integers(0, 9))
    def drain(self, index):
        """The worker is told to stop, and gives the job back."""
        claim = self.claim_number(index)
        held = self.write(
            claim,
            lambda session, own: jobs.requeue(
                session,
                own,
                reason=Reason.PREEMPTED,
                count_attempt=False,
                max_barren_attempts=MAX_BARREN,
            ),
        )
        if held and held.state is JobState.RUNNING:
            held.state = JobState.QUEUED
            held.attempt -= 1
        elif held:
            self.attempt_ends(held)

    @precondition(lambda self: self.claims)
    @rule(index=st.integers(0, 9))
    def stop_as_asked(self, index):
        claim = self.claim_number(index)
        held = self.holder(claim)
        if held and held.state is JobState.RUNNING:
            with pytest.raises(BadTransition), self.sessions.begin() as session:
                jobs.cancelled(session, claim)
        elif held and held.state is JobState.PAUSING:
            self.write(claim, lambda session, own: jobs.paused(session, own))
            held.state = JobState.PAUSED
            held.attempt -= 1
        elif self.write(claim, lambda session, own: jobs.cancelled(session, own)):
            held.state = JobState.CANCELLED

    @rule(index=st.integers(0, 9))
    def cancel(self, index):
        name = self.pick(index, JobState)
        if name is None:
            return
        expected = self.jobs[name]
        if expected.state in TERMINAL:
            with pytest.raises(BadTransition), self.sessions.begin() as session:
                jobs.request_cancel(session, self.owner, name)
            return
        with self.sessions.begin() as session:
            jobs.request_cancel(session, self.owner, name)
        held = expected.state in HELD
        expected.state = JobState.CANCELLING if held else JobState.CANCELLED

    @rule(index=st.integers(0, 9))
    def pause(self, index):
        name = self.pick(index, [JobState.QUEUED, JobState.RUNNING])
        if name:
            with self.sessions.begin() as session:
                jobs.request_pause(session, self.owner, name)
            running = self.jobs[name].state is JobState.RUNNING
            self.jobs[name].state = JobState.PAUSING if running else JobState.PAUSED

    @rule(index=st.integers(0, 9))
    def resume(self, index):
        name = self.pick(index, [JobState.PAUSED])
        if name:
            with self.sessions.begin() as session:
                jobs.resume(session, self.owner, name)
            self.jobs[name].state, self.jobs[name].barren = JobState.QUEUED, 0

    @rule(index=st.integers(0, 9))
    def freeze(self, index):
        """A worker does nothing until its lease has run out; it may wake up and write later."""
        name = self.pick(index, HELD)
        if name:
            with self.sessions.begin() as session:
                jobs.load(session, name).lease_until = later(-0.001)
            self.jobs[name].expired = True

    @rule()
    def sweep(self):
        lost = {n for n, one in self.jobs.items() if one.state in HELD and one.expired}
        with self.sessions.begin() as session:
            assert set(jobs.sweep(session, max_barren_attempts=MAX_BARREN)) == lost
        for name in lost:
            self.attempt_ends(self.jobs[name])
            self.jobs[name].expired = False

    @invariant()
    def rows_are_as_expected(self):
        with self.sessions() as session:
            for job in session.scalars(select(Job)):
                expected = self.jobs[job.id]
                assert job.state is expected.state
                assert (job.attempt, job.fence) == (expected.attempt, expected.fence)
                assert job.attempt <= job.max_attempts
                assert job.barren_attempts == expected.barren
                assert (job.lease_owner is None) == (job.state not in HELD)
                if job.state in TERMINAL:
                    row = tuple(getattr(job, column.name) for column in Job.__table__.columns)
                    assert self.ended.setdefault(job.id, row) == row
                if job.version != self.versions.get(job.id):
                    assert job.version > self.versions.get(job.id, 0)
                    self.what_belongs_to_the_job(session, job, expected)
                    self.versions[job.id] = job.version

    def what_belongs_to_the_job(self, session, job, expected):
        """Checked whenever the row has changed: without that, none of it can."""
        steps = [kept.step for kept in checkpoints.list_(session, job.id)]
        assert steps == expected.steps[::-1] == sorted(set(steps), reverse=True)
        made = select(func.count()).select_from(Model).where(Model.job_id == job.id)
        assert session.scalar(made) == (expected.state is JobState.SUCCEEDED)
        moves = jobs.history(session, job.id)
        states = [move.after for move in moves]
        assert [move.before for move in moves] == [None, *states[:-1]]
        assert all(b in MOVES[a] for a, b in pairwise(states))
        assert states[-1] is expected.state
        found = events.after(session, job.id, superseded=True)
        assert [event.seq for event in found] == [*range(1, len(found) + 1)]
        assert [event.data["to"] for event in found if event.type == "state"] == states


def test_the_job_table_in_any_order(engine):
    machine = type("JobTable", (JobTable,), {"engine": engine})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=35,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
