import hashlib
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from store import events, jobs, metrics
from store.tables import Worker
from tests.worker.conftest import job_process_of, wait_for
from worker.housekeeping import Housekeeping

pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


def digest(steps: int) -> str:
    """What the trainer ends with when no step was lost or done twice."""
    state = b""
    for step in range(1, steps + 1):
        state = hashlib.sha256(state + step.to_bytes(8, "little")).digest()
    return state.hex()


def series(house, job_id):
    with house.sessions() as session:
        found = metrics.series(session, job_id)
    return {name: [(point.step, point.value) for point in points] for name, points in found.items()}


def messages(house, job_id):
    with house.sessions() as session:
        found = events.after(session, job_id, types=["log"])
    return [event.data["message"] for event in found]


def test_a_job_runs_to_its_end(house):
    job_id = house.submit(steps=7)
    house.supervisor()

    job = house.wait_for_state(job_id, "succeeded")

    assert job.summary["digest"] == digest(7)
    assert (job.step, job.attempt) == (7, 1)
    assert [step for step, _ in series(house, job_id)["train/loss"]] == list(range(1, 8))


def test_jobs_with_a_higher_priority_run_sooner(house):
    low, high, middle = (house.submit(steps=1, priority=p) for p in (-1, 5, 0))
    house.supervisor()

    done = [house.wait_for_state(job_id, "succeeded") for job_id in (low, high, middle)]

    started = {job.id: job.started_at for job in done}
    assert sorted(started, key=started.__getitem__) == [high, middle, low]


def test_a_killed_job_process_goes_on_where_its_checkpoint_was(house):
    job_id = house.submit(steps=13, acts={"8": "kill"}, attempts=[1])
    house.supervisor()

    job = house.wait_for_state(job_id, "succeeded")

    assert job.summary["digest"] == digest(13)
    assert job.attempt == 2
    assert [step for step, _ in series(house, job_id)["train/loss"]] == list(range(1, 14))
    assert ("queued", "worker_lost") in house.history(job_id)


def test_a_job_that_always_dies_fails_and_leaves_others_alone(house):
    poison = house.submit(steps=20, acts={"3": "kill"}, priority=1)
    other = house.submit(steps=3)
    house.supervisor()

    job = house.wait_for_state(poison, "failed")

    assert (job.attempt, job.reason, job.error["code"]) == (3, "worker_lost", "attempts_exhausted")
    assert house.wait_for_state(other, "succeeded").attempt == 1


def test_a_crash_is_retried_and_its_last_words_are_kept(house):
    job_id = house.submit(steps=9, acts={"2": "print", "7": "exit"}, max_attempts=2)
    house.supervisor()

    job = house.wait_for_state(job_id, "failed")

    assert job.attempt == 2
    assert job.error["detail"] == "the job's process ended with exit code 3"
    assert "the trainer gave up" in job.error["output"]
    printed = messages(house, job_id)
    assert any("hello from the trainer" in line for line in printed)
    assert not any("secret" in line for line in printed)


def test_a_step_that_hangs_is_killed_and_done_again(house):
    job_id = house.submit(steps=12, acts={"9": "hang"}, attempts=[1])
    house.supervisor(stall_seconds=3.0)

    job = house.wait_for_state(job_id, "succeeded")

    assert job.summary["digest"] == digest(12)
    assert ("queued", "stalled") in house.history(job_id)


def test_a_step_slower_than_usual_is_not_stalled(house):
    job_id = house.submit(steps=10, seconds=0.2, acts={"8": "slow"})
    house.supervisor(stall_seconds=2.5)

    job = house.wait_for_state(job_id, "succeeded", "failed")

    assert (job.state, job.attempt) == ("succeeded", 1)


def test_cancel_while_running(house):
    job_id = house.submit(steps=10_000, seconds=0.02)
    house.supervisor()
    project_id = house.wait(job_id, lambda job: job.step > 5).project_id

    with house.sessions.begin() as session:
        jobs.request_cancel(session, project_id, job_id)

    job = house.wait_for_state(job_id, "cancelled", seconds=20)
    assert job.reason == "user"
    assert [state for state, _ in house.history(job_id)][-2:] == ["cancelling", "cancelled"]


def test_cancel_while_queued(house):
    job_id = house.submit(steps=5)
    with house.sessions.begin() as session:
        jobs.request_cancel(session, jobs.load(session, job_id).project_id, job_id)
    other = house.submit(steps=5)
    house.supervisor()

    house.wait_for_state(other, "succeeded")

    assert house.job(job_id).state == "cancelled"
    assert house.job(job_id).attempt == 0


def test_cancel_a_job_that_is_deaf(house):
    job_id = house.submit(steps=10_000, seconds=0.02, deaf=True)
    house.supervisor(grace_seconds=0.5)
    project_id = house.wait(job_id, lambda job: job.step > 5).project_id

    with house.sessions.begin() as session:
        jobs.request_cancel(session, project_id, job_id)

    assert house.wait_for_state(job_id, "cancelled", seconds=20).reason == "user"


def test_pause_and_resume(house):
    job_id = house.submit(steps=150, seconds=0.02, checkpoint_every=1000)
    house.supervisor()
    project_id = house.wait(job_id, lambda job: job.step > 5).project_id

    with house.sessions.begin() as session:
        jobs.request_pause(session, project_id, job_id)
    paused = house.wait_for_state(job_id, "paused", seconds=20)
    with house.sessions.begin() as session:
        jobs.resume(session, project_id, job_id)
    job = house.wait_for_state(job_id, "succeeded")

    assert paused.checkpoint_step == paused.step
    assert job.summary["digest"] == digest(150)


def test_max_runtime(house):
    job_id = house.submit(steps=10**6, seconds=0.02, resources={"max_runtime_seconds": 3.0})
    house.supervisor()

    job = house.wait_for_state(job_id, "failed")

    assert (job.reason, job.error["code"], job.attempt) == ("max_runtime", "max_runtime", 1)
    assert (job.finished_at - job.started_at).total_seconds() >= 3


def test_drain_gives_the_job_back_uncounted(house):
    job_id = house.submit(steps=150, seconds=0.02, checkpoint_every=1000)
    first = house.supervisor()
    house.wait(job_id, lambda job: job.step > 5)

    first.drain()
    assert first.join(5)
    queued = house.job(job_id)
    house.supervisor()
    job = house.wait_for_state(job_id, "succeeded")

    assert (queued.state, queued.reason, queued.attempt) == ("queued", "preempted", 0)
    assert queued.checkpoint_step == queued.step > 5
    assert (job.summary["digest"], job.attempt) == (digest(150), 1)


def test_a_job_process_told_to_stop_from_outside_is_not_blamed(house):
    job_id = house.submit(steps=150, seconds=0.02, checkpoint_every=1000)
    house.supervisor()
    house.wait(job_id, lambda job: job.step > 5)

    os.kill(job_process_of(os.getpid()), signal.SIGTERM)
    job = house.wait_for_state(job_id, "succeeded")

    assert (job.summary["digest"], job.attempt) == (digest(150), 1)
    assert ("queued", "preempted") in house.history(job_id)


def test_a_lease_that_was_taken_ends_the_process_and_nothing_more_is_written(house):
    job_id = house.submit(steps=200, seconds=0.02, checkpoint_every=1000)
    house.supervisor(poll_seconds=60.0)
    house.wait(job_id, lambda job: job.step > 5)

    with house.sessions.begin() as session:
        held = jobs.load(session, job_id)
        held.lease_until = held.created_at
        session.flush()
        assert jobs.sweep(session) == [job_id]
        taken = jobs.claim(session, worker_id="wrk_other", lease_seconds=60)
    assert taken is not None
    steps = []
    for _ in range(12):
        time.sleep(0.2)
        steps.append(house.job(job_id).step)

    assert len(set(steps)) == 1
    assert house.job(job_id).fence == taken.fence


def test_a_spare_process_stands_by_and_starts_sooner(house):
    supervisor = house.supervisor(spare_process=True)
    wait_for(lambda: supervisor, lambda one: one._spare is not None)
    time.sleep(2)
    spare = supervisor._spare.pid

    job_id = house.submit(steps=100, seconds=0.02)
    house.wait_for_state(job_id, "running")
    used = job_process_of(os.getpid())

    assert house.wait_for_state(job_id, "succeeded").summary["digest"] == digest(100)
    assert used == spare


def test_a_spare_that_died_is_replaced(house):
    supervisor = house.supervisor(spare_process=True)
    spare = wait_for(lambda: supervisor._spare, lambda one: one is not None, 5)
    os.kill(spare.pid, signal.SIGKILL)

    job_id = house.submit(steps=3)

    assert house.wait_for_state(job_id, "succeeded").attempt == 1


def test_threads_reach_the_job_process(house):
    job_id = house.submit(steps=100, seconds=0.02, resources={"threads": 3})
    house.supervisor()
    house.wait(job_id, lambda job: job.step > 0)

    line = Path(f"/proc/{job_process_of(os.getpid())}/cmdline").read_text().split("\0")

    assert line[line.index("--threads") + 1] == "3"


def test_two_supervisors_share_a_queue_and_run_each_job_once(house):
    wanted = [house.submit(steps=2) for _ in range(6)]
    for _ in range(2):
        house.supervisor()

    done = [house.wait_for_state(job_id, "succeeded") for job_id in wanted]

    assert all(job.attempt == 1 and job.summary["digest"] == digest(2) for job in done)


def test_a_wake_up_shortens_the_wait_and_a_second_one_does_nothing(house):
    supervisor = house.supervisor(poll_seconds=60.0)
    supervisor.wait_until_idle()
    job_id = house.submit(steps=2)
    began = time.monotonic()

    for _ in range(3):
        supervisor.wake()
    job = house.wait_for_state(job_id, "succeeded")
    supervisor.wait_until_idle()

    assert time.monotonic() - began < 15
    assert job.attempt == 1
    assert [state for state, _ in house.history(job_id)].count("running") == 1


def test_a_wake_up_that_comes_too_late_waits_for_nothing(house):
    supervisor = house.supervisor()
    supervisor.drain()
    assert supervisor.join(20)

    supervisor.wake()
    waiting = threading.Thread(target=supervisor.wait_until_idle, daemon=True)
    waiting.start()
    waiting.join(5)

    assert not waiting.is_alive()


@pytest.fixture
def housekeeping(house):
    kept = []

    def start(supervisor):
        kept.append(Housekeeping(house.settings, supervisor, house.waker))
        kept[-1].start()

    yield start
    for one in kept:
        one.stop()


def test_the_sweep_takes_jobs_from_the_dead(house, housekeeping):
    job_id = house.submit(steps=5)
    with house.sessions.begin() as session:
        dead = jobs.claim(session, worker_id="wrk_dead", lease_seconds=0.5)
    assert dead is not None

    housekeeping(house.supervisor(poll_seconds=60.0))
    job = house.wait_for_state(job_id, "succeeded")

    assert (job.attempt, job.summary["digest"]) == (2, digest(5))
    assert ("queued", "worker_lost") in house.history(job_id)


def test_a_worker_says_that_it_lives_and_says_goodbye(house, housekeeping):
    supervisor = house.supervisor()
    housekeeping(supervisor)

    def row():
        with house.sessions() as session:
            return session.get(Worker, supervisor.worker_id)

    found = wait_for(lambda: row(), lambda one: one is not None)
    assert found.pid == os.getpid()
