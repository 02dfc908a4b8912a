import pytest

from core.errors import BadTransition, LeaseLost
from core.states import JobState, Reason
from store import artifacts, blobs, jobs, models, progress
from store.clock import later
from store.leases import Claim
from store.progress import CheckpointRef
from store.tables import Job
from tests import factories


def take(session, lease_seconds=60.0, worker="wrk_1"):
    return jobs.claim(session, worker_id=worker, lease_seconds=lease_seconds)


def checkpoint(session, claim: Claim, step: int):
    ref = CheckpointRef(blobs.write(session, f"{claim.job_id} {step}".encode()), {})
    progress.commit(session, claim, step=step, epoch=0, checkpoint=ref)


def expire(session, claim: Claim):
    jobs.load(session, claim.job_id).lease_until = later(-0.01)
    session.flush()


def test_claim(session):
    job = factories.job(session, priority=3, max_attempts=4)

    claim = take(session)

    assert claim == Claim(
        job_id=job.id,
        project_id=job.project_id,
        fence=1,
        worker_id="wrk_1",
        name="digits",
        attempt=1,
        max_attempts=4,
        priority=3,
        spec=factories.SPEC,
        plan={},
        dataset_version_id=None,
        checkpoint_step=None,
    )
    job = jobs.load(session, job.id)
    assert (job.state, job.lease_owner, job.attempt) == (JobState.RUNNING, "wrk_1", 1)
    assert job.started_at is not None
    assert 55 < (job.lease_until - job.started_at).total_seconds() <= 60.1
    assert take(session) is None


def test_claim_from_an_empty_queue(session):
    assert take(session) is None


def test_higher_priority_goes_first_and_then_the_older(session):
    old = factories.job(session).id
    young = factories.job(session).id
    session.get(Job, old).created_at = session.get(Job, young).created_at
    urgent = factories.job(session, priority=5).id
    idle = factories.job(session, priority=-1).id
    session.flush()

    assert [take(session).job_id for _ in range(4)] == [urgent, *sorted([old, young]), idle]


def test_a_job_whose_time_has_not_come_is_left(session):
    claim = factories.claim(session)
    jobs.requeue(session, claim, reason=Reason.ERROR, delay_seconds=60)
    assert take(session) is None

    jobs.load(session, claim.job_id).run_at = later(-0.01)
    session.flush()
    assert take(session).job_id == claim.job_id


def test_beat_renews_the_lease(session):
    claim = factories.claim(session, lease_seconds=1)

    heard = jobs.beat(session, claim, lease_seconds=100, step=12)

    assert heard == jobs.Beat(JobState.RUNNING, cancel_requested=False, pause_requested=False)
    job = jobs.load(session, claim.job_id)
    assert job.step == 12
    assert (job.lease_until - job.started_at).total_seconds() > 90


def test_beat_tells_of_a_wish_to_cancel(session):
    claim = factories.claim(session)
    jobs.request_cancel(session, claim.project_id, claim.job_id)

    heard = jobs.beat(session, claim, lease_seconds=60)

    assert heard == jobs.Beat(JobState.CANCELLING, cancel_requested=True, pause_requested=False)


def test_beat_tells_of_a_wish_to_pause(session):
    claim = factories.claim(session)
    jobs.request_pause(session, claim.project_id, claim.job_id)

    assert jobs.beat(session, claim, lease_seconds=60).pause_requested


def test_look_tells_the_same_and_writes_nothing(session):
    claim = factories.claim(session)
    before = jobs.load(session, claim.job_id).version
    assert jobs.look(session, claim) == jobs.Beat(JobState.RUNNING, False, False)

    jobs.request_cancel(session, claim.project_id, claim.job_id)

    assert jobs.look(session, claim) == jobs.Beat(JobState.CANCELLING, True, False)
    assert jobs.load(session, claim.job_id).version == before + 1


def test_finish(session):
    claim = factories.claim(session)

    jobs.finish(session, claim, summary={"test/accuracy": 0.97}, step=500, epoch=20)

    job = jobs.load(session, claim.job_id)
    assert (job.state, job.reason) == (JobState.SUCCEEDED, Reason.COMPLETED)
    assert (job.summary, job.step, job.epoch) == ({"test/accuracy": 0.97}, 500, 20)
    assert job.finished_at >= job.started_at
    assert job.lease_owner is None


def test_fail(session):
    claim = factories.claim(session)

    jobs.fail(session, claim, reason=Reason.NONFINITE, error={"detail": "the loss is nan"})

    job = jobs.load(session, claim.job_id)
    assert (job.state, job.reason) == (JobState.FAILED, Reason.NONFINITE)
    assert job.error == {"detail": "the loss is nan"}


def test_cancelled(session):
    claim = factories.claim(session)
    with pytest.raises(BadTransition):
        jobs.cancelled(session, claim)

    jobs.request_cancel(session, claim.project_id, claim.job_id)
    jobs.cancelled(session, claim)

    assert jobs.load(session, claim.job_id).state is JobState.CANCELLED


def test_a_cancelled_job_may_have_finished_first(session):
    claim = factories.claim(session)
    jobs.request_cancel(session, claim.project_id, claim.job_id)

    assert jobs.finish(session, claim).state is JobState.SUCCEEDED


def test_paused_for_want_of_room(session):
    claim = factories.claim(session)

    jobs.paused(session, claim, reason=Reason.STORAGE, error={"detail": "the disk is full"})

    job = jobs.load(session, claim.job_id)
    assert (job.state, job.reason) == (JobState.PAUSED, Reason.STORAGE)
    assert job.error == {"detail": "the disk is full"}


def test_a_job_can_be_paused_and_resumed_more_often_than_it_may_be_tried(session):
    job = factories.job(session, max_attempts=1)
    for _ in range(3):
        claim = take(session)
        jobs.request_pause(session, job.project_id, job.id)
        jobs.paused(session, claim)
        jobs.resume(session, job.project_id, job.id)

    assert jobs.load(session, job.id).attempt == 0
    assert [move.attempt for move in jobs.history(session, job.id)[2:6]] == [1, 1, 1, 0]


def test_a_second_attempt_has_a_higher_fence(session):
    first = factories.claim(session)
    jobs.requeue(session, first, reason=Reason.WORKER_LOST)

    second = take(session, worker="wrk_2")

    assert (second.job_id, second.fence, second.attempt) == (first.job_id, first.fence + 1, 2)


def test_a_new_attempt_forgets_why_the_last_one_ended(session):
    claim = factories.claim(session)
    jobs.requeue(session, claim, reason=Reason.OOM, error={"detail": "killed"})
    assert jobs.load(session, claim.job_id).error == {"detail": "killed"}

    take(session)

    job = jobs.load(session, claim.job_id)
    assert (job.reason, job.error) == (None, None)


def test_a_drained_attempt_does_not_count(session):
    job = factories.job(session, max_attempts=1)
    for _ in range(3):
        claim = take(session)
        assert claim.attempt == 1
        jobs.requeue(session, claim, reason=Reason.PREEMPTED, count_attempt=False)

    job = jobs.load(session, job.id)
    assert (job.state, job.attempt, job.barren_attempts) == (JobState.QUEUED, 0, 0)


def test_attempts_are_limited(session):
    job = factories.job(session, max_attempts=2)
    for step in (1, 2):
        claim = take(session)
        checkpoint(session, claim, step)
        jobs.requeue(session, claim, reason=Reason.OOM)

    job = jobs.load(session, job.id)
    assert (job.state, job.reason) == (JobState.FAILED, Reason.OOM)
    assert job.error["detail"] == "attempt 2 of 2 ended before the job did"


def test_attempts_without_a_checkpoint_are_limited(session):
    job = factories.job(session, max_attempts=100)
    for _ in range(2):
        expire(session, take(session))
        jobs.sweep(session, max_barren_attempts=2)

    job = jobs.load(session, job.id)
    assert (job.state, job.reason) == (JobState.FAILED, Reason.WORKER_LOST)
    assert job.error["detail"] == "2 attempts in a row ended without a new checkpoint"


def test_a_new_checkpoint_makes_good_for_attempts_without(session):
    job = factories.job(session, max_attempts=100)
    for step in range(1, 6):
        claim = take(session)
        if step % 2 == 0:
            checkpoint(session, claim, step)
        expire(session, claim)
        jobs.sweep(session, max_barren_attempts=2)

    job = jobs.load(session, job.id)
    assert (job.state, job.barren_attempts, job.attempt) == (JobState.QUEUED, 1, 5)


def test_requeue_of_a_job_being_cancelled_cancels_it(session):
    claim = factories.claim(session)
    jobs.request_cancel(session, claim.project_id, claim.job_id)

    job = jobs.requeue(session, claim, reason=Reason.PREEMPTED, count_attempt=False)

    assert job.state is JobState.CANCELLED


def test_requeue_of_a_job_being_paused_pauses_it(session):
    claim = factories.claim(session)
    jobs.request_pause(session, claim.project_id, claim.job_id)

    assert jobs.requeue(session, claim, reason=Reason.ERROR).state is JobState.PAUSED


def test_sweep_leaves_leases_that_hold(session):
    factories.claim(session)

    assert jobs.sweep(session) == []


def test_sweep_requeues_what_has_expired(session):
    lost, held = factories.claim(session), factories.claim(session)
    expire(session, lost)

    assert jobs.sweep(session) == [lost.job_id]

    job = jobs.load(session, lost.job_id)
    assert (job.state, job.reason) == (JobState.QUEUED, Reason.WORKER_LOST)
    assert jobs.load(session, held.job_id).state is JobState.RUNNING
    assert take(session).fence == lost.fence + 1


def test_sweep_ends_a_job_being_cancelled(session):
    claim = factories.claim(session)
    jobs.request_cancel(session, claim.project_id, claim.job_id)
    expire(session, claim)

    assert jobs.sweep(session) == [claim.job_id]
    assert jobs.load(session, claim.job_id).state is JobState.CANCELLED


def test_sweep_pauses_a_job_being_paused(session):
    claim = factories.claim(session)
    jobs.request_pause(session, claim.project_id, claim.job_id)
    expire(session, claim)

    assert jobs.sweep(session) == [claim.job_id]
    assert jobs.load(session, claim.job_id).state is JobState.PAUSED


def test_a_worker_that_comes_back_before_the_sweep_goes_on(session):
    claim = factories.claim(session)
    expire(session, claim)

    jobs.beat(session, claim, lease_seconds=60)

    assert jobs.sweep(session) == []


def writes(session, blob):
    return {
        "beat": lambda claim: jobs.beat(session, claim, lease_seconds=60),
        "look": lambda claim: jobs.look(session, claim),
        "commit": lambda claim: progress.commit(session, claim, step=1, epoch=0),
        "rewind": lambda claim: progress.rewind(session, claim, step=None),
        "finish": lambda claim: jobs.finish(session, claim),
        "fail": lambda claim: jobs.fail(session, claim, reason=Reason.ERROR, error={}),
        "requeue": lambda claim: jobs.requeue(session, claim, reason=Reason.ERROR),
        "drain": lambda claim: jobs.requeue(
            session, claim, reason=Reason.PREEMPTED, count_attempt=False
        ),
        "cancelled": lambda claim: jobs.cancelled(session, claim),
        "paused": lambda claim: jobs.paused(session, claim),
        "artifact": lambda claim: artifacts.add(
            session, claim, name="model.bin", blob=blob, media_type="application/octet-stream"
        ),
        "model": lambda claim: models.create(session, claim, name="model", manifest={}, metrics={}),
    }


@pytest.mark.parametrize("name", writes(None, None))
@pytest.mark.parametrize("after", ["sweep", "next claim", "success", "cancel"])
def test_a_stale_claim_writes_nothing(session, name, after):
    stale = factories.claim(session)
    if after == "success":
        jobs.finish(session, stale)
    elif after == "cancel":
        jobs.request_cancel(session, stale.project_id, stale.job_id)
        jobs.cancelled(session, stale)
    else:
        expire(session, stale)
        jobs.sweep(session)
        if after == "next claim":
            take(session, worker="wrk_2")
    blob = blobs.write(session, b"weights")
    before = snapshot(session, stale.job_id)

    with pytest.raises(LeaseLost):
        writes(session, blob)[name](stale)

    assert snapshot(session, stale.job_id) == before


def snapshot(session, job_id):
    job = jobs.load(session, job_id)
    row = {column.name: getattr(job, column.name) for column in Job.__table__.columns}
    files = [artifact.name for artifact in artifacts.list_(session, job_id)]
    return row, files, models.for_job(session, job_id), len(jobs.history(session, job_id))


def test_wakeable_names_jobs_once_in_a_while(session):
    job = factories.job(session)
    assert jobs.wakeable(session, waiting_seconds=2) == 0

    job.run_at = later(-3)
    session.flush()

    assert jobs.wakeable(session, waiting_seconds=2, again_seconds=30) == 1
    assert jobs.wakeable(session, waiting_seconds=2, again_seconds=30) == 0
    assert jobs.wakeable(session, waiting_seconds=2, again_seconds=-1) == 1
