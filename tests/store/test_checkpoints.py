import pytest

from store import blobs, checkpoints, progress
from store.progress import CheckpointRef
from tests import factories


@pytest.fixture
def claim(session):
    claim = factories.claim(session)
    for step in (10, 20, 30):
        ref = CheckpointRef(blobs.write(session, b"weights"), {"step": step})
        progress.commit(session, claim, step=step, epoch=step // 10, checkpoint=ref)
    return claim


def test_latest(session, claim):
    newest = checkpoints.latest(session, claim.job_id)

    assert (newest.step, newest.epoch, newest.manifest) == (30, 3, {"step": 30})


def test_a_job_without_checkpoints(session):
    job = factories.job(session)

    assert checkpoints.latest(session, job.id) is None
    assert checkpoints.list_(session, job.id) == []
    assert checkpoints.prune(session, job.id, keep=1) == 0


def test_list_is_newest_first(session, claim):
    assert [kept.step for kept in checkpoints.list_(session, claim.job_id)] == [30, 20, 10]


@pytest.mark.parametrize(("keep", "left"), [(0, [30]), (1, [30]), (2, [30, 20]), (9, [30, 20, 10])])
def test_prune(session, claim, keep, left):
    assert checkpoints.prune(session, claim.job_id, keep=keep) == 3 - len(left)

    assert [kept.step for kept in checkpoints.list_(session, claim.job_id)] == left


def test_drop_after(session, claim):
    assert checkpoints.drop_after(session, claim.job_id, 10) == 2

    assert [kept.step for kept in checkpoints.list_(session, claim.job_id)] == [10]
