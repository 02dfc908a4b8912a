import math

import pytest
from sqlalchemy.exc import IntegrityError

from core.errors import Conflict
from store import blobs, checkpoints, events, jobs, metrics, progress
from store.blobs import BlobRef
from store.clock import later
from store.progress import CheckpointRef
from tests import factories


def loss(step, value, epoch=0):
    return metrics.Point("train/loss", step, epoch, value)


def ref(session, text):
    return CheckpointRef(blobs.write(session, text.encode()), {"text": text})


@pytest.fixture
def claim(session):
    return factories.claim(session)


def test_commit(session, claim):
    done = progress.commit(
        session,
        claim,
        step=10,
        epoch=1,
        metrics=[loss(9, 0.5), loss(10, 0.25), metrics.Point("validation/accuracy", 10, 1, 0.9)],
        events=[{"type": "epoch", "data": {"step": 10, "epoch": 1}}],
        checkpoint=ref(session, "weights of step 10"),
        progress={"examples_per_second": 1000.0, "phase": "training"},
    )

    assert done
    job = jobs.load(session, claim.job_id)
    assert (job.step, job.epoch, job.checkpoint_step) == (10, 1, 10)
    assert job.progress == {"examples_per_second": 1000.0, "phase": "training"}
    assert job.summary == {"train/loss": 0.25, "validation/accuracy": 0.9}
    points = metrics.series(session, job.id)["train/loss"]
    assert [(point.step, point.value) for point in points] == [(9, 0.5), (10, 0.25)]
    kept = checkpoints.latest(session, job.id)
    assert (kept.step, kept.attempt, kept.fence) == (10, 1, claim.fence)
    assert kept.manifest == {"text": "weights of step 10"}
    assert b"".join(blobs.read(session, kept.sha256)) == b"weights of step 10"
    last = events.after(session, job.id)[-1]
    assert (last.type, last.step, last.seq) == ("epoch", 10, job.events)


def test_a_commit_that_fails_leaves_nothing(own_sessions):
    with own_sessions.begin() as session:
        claim = factories.claim(session)
    absent = CheckpointRef(BlobRef("0" * 64, 1), {})

    with pytest.raises(IntegrityError), own_sessions.begin() as session:
        progress.commit(
            session,
            claim,
            step=1,
            epoch=0,
            metrics=[loss(1, 0.5)],
            events=[{"type": "log", "data": {"message": "hello"}}],
            checkpoint=absent,
        )

    with own_sessions() as session:
        job = jobs.load(session, claim.job_id)
        assert (job.step, job.summary, job.checkpoint_step) == (0, {}, None)
        assert metrics.series(session, job.id) == {}
        assert len(events.after(session, job.id)) == job.events == 3


def test_a_numbered_commit_is_written_once(session, claim):
    event = {"type": "log", "data": {"message": "hello"}}
    first = progress.commit(session, claim, step=5, epoch=0, events=[event], number=1)
    again = progress.commit(session, claim, step=5, epoch=0, events=[event], number=1)
    second = progress.commit(session, claim, step=6, epoch=0, events=[event], number=2)

    assert (first, again, second) == (True, False, True)
    assert len(events.after(session, claim.job_id, types=["log"])) == 2


def test_an_attempt_counts_its_commits_from_one(session, claim):
    progress.commit(session, claim, step=5, epoch=0, number=1)
    jobs.load(session, claim.job_id).lease_until = later(-1)
    session.flush()
    jobs.sweep(session)
    again = jobs.claim(session, worker_id="wrk_2", lease_seconds=60)

    assert progress.commit(session, again, step=6, epoch=0, number=1)


def test_a_checkpoint_ends_the_count_of_barren_attempts(session, claim):
    jobs.load(session, claim.job_id).barren_attempts = 2
    session.flush()

    progress.commit(session, claim, step=1, epoch=0)
    assert jobs.load(session, claim.job_id).barren_attempts == 2

    progress.commit(session, claim, step=2, epoch=0, checkpoint=ref(session, "a"))
    assert jobs.load(session, claim.job_id).barren_attempts == 0


@pytest.mark.parametrize("step", [9, 10])
def test_checkpoints_only_go_forward(session, claim, step):
    progress.commit(session, claim, step=10, epoch=0, checkpoint=ref(session, "a"))

    with pytest.raises(Conflict, match=f"has a checkpoint of step 10: {step} is not later"):
        progress.commit(session, claim, step=step, epoch=0, checkpoint=ref(session, "b"))


def test_only_the_newest_checkpoints_are_kept(session, claim):
    for step in range(1, 6):
        saved = ref(session, f"step {step}")
        progress.commit(session, claim, step=step, epoch=0, checkpoint=saved, keep=2)

    assert [kept.step for kept in checkpoints.list_(session, claim.job_id)] == [5, 4]


def test_values_that_are_not_finite(session, claim):
    progress.commit(
        session,
        claim,
        step=2,
        epoch=0,
        metrics=[loss(1, math.inf), loss(2, math.nan)],
        progress={"eta_seconds": math.inf},
    )

    job = jobs.load(session, claim.job_id)
    assert job.summary == {"train/loss": {"value": None, "nonfinite": "nan"}}
    assert job.progress == {"eta_seconds": {"value": None, "nonfinite": "inf"}}
    points = metrics.series(session, job.id)["train/loss"]
    assert points[0].value == math.inf
    assert math.isnan(points[1].value)


def broken_run(session, claim):
    """Steps 1 to 10 with a checkpoint at 4 and 8, then the worker dies at 10."""
    for step in range(1, 11):
        progress.commit(
            session,
            claim,
            step=step,
            epoch=step // 4,
            metrics=[loss(step, 1 / step)],
            events=[{"type": "epoch", "data": {"step": step}}],
            checkpoint=ref(session, f"step {step}") if step % 4 == 0 else None,
        )
    events.append(session, claim.job_id, "log", {"message": "step 10", "step": 10})
    jobs.load(session, claim.job_id).lease_until = later(-1)
    session.flush()
    jobs.sweep(session)
    return jobs.claim(session, worker_id="wrk_2", lease_seconds=60)


def test_rewind_to_the_last_checkpoint(session, claim):
    again = broken_run(session, claim)
    assert again.checkpoint_step == 8

    assert progress.rewind(session, again, step=8) == 2

    job = jobs.load(session, claim.job_id)
    assert (job.step, job.epoch, job.checkpoint_step) == (8, 2, 8)
    assert job.summary == {"train/loss": 1 / 8}
    points = metrics.series(session, job.id)["train/loss"]
    assert [point.step for point in points] == [*range(1, 9)]
    epochs = events.after(session, job.id, types=["epoch"])
    assert [event.step for event in epochs] == [*range(1, 9)]
    assert len(events.after(session, job.id, types=["epoch"], superseded=True)) == 10
    assert len(events.after(session, job.id, types=["log"])) == 1
    last = events.after(session, job.id)[-1]
    assert (last.type, last.data) == ("rewind", {"to_step": 8, "attempt": 2})
    everything = events.after(session, job.id, superseded=True)
    assert [event.seq for event in everything] == [*range(1, job.events + 1)]


def test_rewind_past_a_damaged_checkpoint(session, claim):
    again = broken_run(session, claim)

    progress.rewind(session, again, step=4)

    job = jobs.load(session, claim.job_id)
    assert (job.checkpoint_step, job.checkpoint_fence) == (4, claim.fence)
    assert [kept.step for kept in checkpoints.list_(session, job.id)] == [4]
    progress.commit(session, again, step=8, epoch=2, checkpoint=ref(session, "step 8 again"))
    assert checkpoints.latest(session, job.id).fence == again.fence


def test_rewind_to_the_start(session, claim):
    again = broken_run(session, claim)

    progress.rewind(session, again, step=None)

    job = jobs.load(session, claim.job_id)
    assert (job.step, job.epoch, job.checkpoint_step) == (0, 0, None)
    assert job.summary == {}
    assert metrics.series(session, job.id) == {}
    assert checkpoints.latest(session, job.id) is None


def test_rewind_of_a_first_attempt_says_nothing(session, claim):
    assert progress.rewind(session, claim, step=None) == 0

    assert events.after(session, claim.job_id, types=["rewind"]) == []


def test_a_broken_run_leaves_the_series_of_an_unbroken_one(session, claim):
    again = broken_run(session, claim)
    progress.rewind(session, again, step=8)
    for step in range(9, 13):
        progress.commit(
            session,
            again,
            step=step,
            epoch=step // 4,
            metrics=[loss(step, 1 / step)],
            events=[{"type": "epoch", "data": {"step": step}}],
        )

    points = metrics.series(session, claim.job_id)["train/loss"]
    assert [(point.step, point.value) for point in points] == [(s, 1 / s) for s in range(1, 13)]
    epochs = events.after(session, claim.job_id, types=["epoch"])
    assert [event.step for event in epochs] == [*range(1, 13)]
