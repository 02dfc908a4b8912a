import logging
import threading
import time
from functools import partial

import pytest

from core.errors import LeaseLost, StorageFull, Unavailable
from store import blobs, checkpoints, events, jobs, metrics
from tests import factories
from worker.database import Database
from worker.progress import Progress, ProgressHandler, persist


@pytest.fixture
def database(own_url):
    database = Database(own_url)
    yield database
    database.close()


@pytest.fixture
def claim(database):
    with database.write.begin() as session:
        return factories.claim(session)


@pytest.fixture
def lost():
    return threading.Event()


@pytest.fixture
def progress(database, claim, lost):
    return Progress(database, claim, on_lost=lost.set)


def load(database, claim):
    with database.read() as session:
        return jobs.load(session, claim.job_id)


def test_what_was_said_is_committed_together(database, claim, progress):
    progress.at(3, 1, examples_per_second=7.5)
    progress.metrics({"train/loss": 0.5, "train/accuracy": 0.75}, step=3, epoch=1)
    progress.event("epoch", step=3, epoch=1)
    progress.close()

    job = load(database, claim)
    assert (job.step, job.epoch, job.progress) == (3, 1, {"examples_per_second": 7.5})
    assert job.summary == {"train/loss": 0.5, "train/accuracy": 0.75}
    with database.read() as session:
        assert [one.type for one in events.after(session, claim.job_id)][-1] == "epoch"


def test_it_is_committed_within_about_a_second(database, claim, progress):
    progress.at(1, 1)

    deadline = time.monotonic() + 5
    while load(database, claim).step != 1 and time.monotonic() < deadline:
        time.sleep(0.05)

    assert load(database, claim).step == 1
    progress.close()


def test_a_checkpoint_takes_along_what_was_said_before_it(database, claim, progress):
    progress.at(5, 1)
    progress.metrics({"train/loss": 0.5}, step=5, epoch=1)
    progress.checkpoint(lambda: [b"state ", b"of 5"], {"step": 5}, keep=2)
    progress.at(6, 1)
    progress.metrics({"train/loss": 0.4}, step=6, epoch=1)
    progress.close()

    with database.read() as session:
        kept = checkpoints.latest(session, claim.job_id)
        assert kept is not None
        assert (kept.step, kept.manifest) == (5, {"step": 5})
        assert b"".join(blobs.read(session, kept.sha256)) == b"state of 5"
        points = metrics.series(session, claim.job_id)["train/loss"]
    assert [(point.step, point.value) for point in points] == [(5, 0.5), (6, 0.4)]
    assert load(database, claim).step == 6


def test_old_checkpoints_go(database, claim, progress):
    for step in range(1, 5):
        progress.at(step, 1)
        progress.checkpoint(partial(list, [b"%d" % step]), {}, keep=2)
        progress.flush()
    progress.close()

    with database.read() as session:
        assert [one.step for one in checkpoints.list_(session, claim.job_id)] == [4, 3]


def test_a_stale_claim_writes_nothing_and_is_told(database, claim, progress, lost):
    with database.write.begin() as session:
        held = jobs.load(session, claim.job_id)
        held.lease_until = held.created_at
        session.flush()
        jobs.sweep(session)

    progress.at(9, 1)
    progress.metrics({"train/loss": 0.1}, step=9, epoch=1)

    with pytest.raises(LeaseLost):
        progress.flush()
    assert lost.is_set()
    with database.read() as session:
        assert metrics.series(session, claim.job_id) == {}
    assert load(database, claim).step == 0


def test_a_failure_of_the_thread_is_raised_in_the_loop(progress):
    def full():
        raise StorageFull("no room")
        yield b""

    progress.at(1, 1)
    progress.checkpoint(full, {}, keep=2)

    with pytest.raises(StorageFull):
        progress.flush()
    with pytest.raises(StorageFull):
        progress.raise_failure()


def test_persist_tries_until_the_database_is_back():
    answers = [Unavailable("gone"), Unavailable("still gone"), None]

    def write():
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return "done"

    assert persist(write) == "done"
    assert answers == []


def test_the_loop_does_not_wait_for_a_database_that_is_locked(database, claim, progress):
    with database.write.begin() as session:
        jobs.beat(session, claim, lease_seconds=60)
        began = time.monotonic()
        for step in range(1, 201):
            progress.at(step, 1)
            progress.metrics({"train/loss": 1 / step}, step=step, epoch=1)
            time.sleep(0.01)
        seconds = time.monotonic() - began
    progress.close()

    assert seconds < 4
    with database.read() as session:
        assert len(metrics.series(session, claim.job_id)["train/loss"]) == 200


def test_what_is_logged_becomes_events_without_secrets(database, claim, progress):
    logger = logging.getLogger("tests.of.progress")
    handler = ProgressHandler(progress)
    logger.addHandler(handler)
    logger.warning("the key is %s", "gw_0123456789ab_secret")
    logger.removeHandler(handler)
    progress.close()

    with database.read() as session:
        last = events.after(session, claim.job_id, types=["log"])[-1]
    assert last.data == {"level": "warning", "message": "the key is gw_0123456789ab_***"}
