import pytest

from core.errors import BadTransition, NotFound
from core.states import HELD, MOVES, TERMINAL, JobState, Reason
from store import events, jobs
from store.clock import later
from tests import factories

LEGAL = [(a, b) for a, moves in MOVES.items() for b in moves]
ILLEGAL = [(a, b) for a in JobState for b in JobState if b not in MOVES[a]]


@pytest.fixture
def job(session):
    return factories.job(session)


def put(session, job, state):
    job.state = state
    if state in HELD:
        job.fence, job.lease_owner, job.lease_until = 1, "wrk_1", later(60)
    session.flush()


def test_create(session):
    job = factories.job(session, name="mnist", spec={"b": 1, "a": 2}, priority=7, total_steps=90)

    assert job.state is JobState.QUEUED
    assert (job.name, job.priority, job.total_steps, job.attempt) == ("mnist", 7, 90, 0)
    assert list(job.spec) == ["b", "a"]
    moves = [(move.before, move.after) for move in jobs.history(session, job.id)]
    assert moves == [
        (None, JobState.VALIDATING),
        (JobState.VALIDATING, JobState.QUEUED),
    ]
    assert [event.data["to"] for event in events.after(session, job.id)] == ["validating", "queued"]


def test_a_spec_is_read_back_as_it_was_written(session):
    spec = {"naïve ☃": ["\x00", 1e300, -0.0, 2**63, None, True], "z": {"y": 1, "a": {}}}
    job = factories.job(session, spec=spec)

    session.expire_all()

    assert jobs.load(session, job.id).spec == spec


def test_get(session, job):
    assert jobs.get(session, job.project_id, job.id) is job


def test_get_a_job_that_does_not_exist(session):
    with pytest.raises(NotFound, match=r"job job_none does not exist"):
        jobs.get(session, factories.project(session).id, "job_none")


def test_get_the_job_of_another_project(session, job):
    with pytest.raises(NotFound):
        jobs.get(session, factories.project(session).id, job.id)


def test_page(session):
    owner = factories.project(session).id
    made = [factories.job(session, project_id=owner).id for _ in range(5)]
    factories.job(session)

    first = jobs.page(session, owner, limit=3)
    second = jobs.page(session, owner, limit=3, cursor=first.next_cursor)

    assert first.has_more
    assert not second.has_more
    assert {job.id for job in first.data + second.data} == set(made)
    assert len(first.data + second.data) == 5


def test_page_of_some_states(session):
    owner = factories.project(session).id
    kept = factories.job(session, project_id=owner)
    gone = factories.job(session, project_id=owner)
    jobs.request_cancel(session, owner, gone.id)

    assert [job.id for job in jobs.page(session, owner, states=[JobState.QUEUED]).data] == [kept.id]


@pytest.mark.parametrize(("before", "after"), LEGAL)
def test_move(session, job, before, after):
    put(session, job, before)
    version = job.version

    moved = jobs.move(session, job.id, after, reason=Reason.USER)

    assert moved.state is after
    assert moved.version == version + 1
    last = jobs.history(session, job.id)[-1]
    assert (last.after, last.reason) == (after, Reason.USER)
    assert (moved.finished_at is not None) == (after in TERMINAL)
    assert (moved.lease_owner is not None) == (before in HELD and after in HELD)


@pytest.mark.parametrize(("before", "after"), ILLEGAL)
def test_move_that_is_not_allowed(session, job, before, after):
    put(session, job, before)
    lines = len(jobs.history(session, job.id))

    with pytest.raises(BadTransition, match=f"is {before}, cannot become {after}"):
        jobs.move(session, job.id, after)

    assert jobs.load(session, job.id).state is before
    assert len(jobs.history(session, job.id)) == lines


def test_move_a_job_that_does_not_exist(session):
    with pytest.raises(NotFound):
        jobs.move(session, "job_none", JobState.QUEUED)


def test_events_of_moves_are_numbered_without_gaps(session):
    claim = factories.claim(session)
    jobs.requeue(session, claim, reason=Reason.PREEMPTED, count_attempt=False)

    found = events.after(session, claim.job_id)

    assert [event.seq for event in found] == [1, 2, 3, 4]
    assert found[-1].data == {
        "from": "running",
        "to": "queued",
        "reason": "preempted",
        "attempt": 1,
    }


@pytest.mark.parametrize("state", [JobState.VALIDATING, JobState.QUEUED, JobState.PAUSED])
def test_cancel_a_job_that_nobody_holds(session, job, state):
    put(session, job, state)

    job = jobs.request_cancel(session, job.project_id, job.id)

    assert (job.state, job.reason) == (JobState.CANCELLED, Reason.USER)


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.PAUSING])
def test_cancel_a_job_that_a_worker_holds(session, job, state):
    put(session, job, state)

    job = jobs.request_cancel(session, job.project_id, job.id)

    assert (job.state, job.cancel_requested) == (JobState.CANCELLING, True)
    again = jobs.request_cancel(session, job.project_id, job.id)
    assert again.state is JobState.CANCELLING
    assert again.version == job.version


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_cancel_a_job_that_is_over(session, job, state):
    put(session, job, state)

    with pytest.raises(BadTransition):
        jobs.request_cancel(session, job.project_id, job.id)


def test_cancel_the_job_of_another_project(session, job):
    with pytest.raises(NotFound):
        jobs.request_cancel(session, factories.project(session).id, job.id)
    assert jobs.load(session, job.id).state is JobState.QUEUED


def test_pause_a_queued_job_and_resume_it(session, job):
    assert jobs.request_pause(session, job.project_id, job.id).state is JobState.PAUSED
    assert jobs.claim(session, worker_id="wrk_1", lease_seconds=60) is None

    assert jobs.resume(session, job.project_id, job.id).state is JobState.QUEUED
    assert jobs.claim(session, worker_id="wrk_1", lease_seconds=60).job_id == job.id


def test_pause_a_running_job(session):
    claim = factories.claim(session)

    job = jobs.request_pause(session, claim.project_id, claim.job_id)
    again = jobs.request_pause(session, claim.project_id, claim.job_id)

    assert (job.state, job.pause_requested) == (JobState.PAUSING, True)
    assert again.version == job.version


def test_resume_starts_the_count_of_barren_attempts_anew(session, job):
    job.state, job.barren_attempts = JobState.PAUSED, 2
    session.flush()

    assert jobs.resume(session, job.project_id, job.id).barren_attempts == 0


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.PAUSED])
def test_resume_what_is_not_paused(session, job, state):
    put(session, job, state)

    with pytest.raises(BadTransition, match="only a paused job"):
        jobs.resume(session, job.project_id, job.id)


def test_counts_and_waiting(session):
    owner = factories.project(session).id
    for _ in range(3):
        factories.job(session, project_id=owner)
    factories.job(session)
    jobs.claim(session, worker_id="wrk_1", lease_seconds=60)

    assert jobs.waiting(session) == 3
    counts = jobs.counts(session, owner)
    assert counts[JobState.QUEUED] == 2
    assert counts[JobState.RUNNING] == 1
    assert counts[JobState.FAILED] == 0
    assert jobs.counts(session)[JobState.QUEUED] == 3


def test_versions_tell_what_has_changed(session):
    quiet, busy = factories.job(session), factories.job(session)
    before = jobs.versions(session, [quiet.id, busy.id, "job_none"])

    events.append(session, busy.id, "log", {"message": "hello"})

    after = jobs.versions(session, [quiet.id, busy.id])
    assert after == {quiet.id: before[quiet.id], busy.id: before[busy.id] + 1}
