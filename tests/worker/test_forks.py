import os
import signal
import time

import pytest

from engine.backend.cpu import toolchain
from tests.worker import jobs
from tests.worker.conftest import House, children_of
from worker.forks import ZYGOTE, Forks, NoZygote
from worker.processes import RUNNER, JobProcess
from worker.supervisor import runner_settings

pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def forks(databases):
    forks = Forks()
    yield forks
    forks.close()


@pytest.fixture
def begin(forks, settings):
    started = []

    def fork():
        started.append(JobProcess(forks.spawn, settings=runner_settings(settings)))
        return started[-1]

    yield fork
    for one in started:
        one.close()


def test_a_fork_is_a_process_of_its_own_that_ends_when_nothing_comes(begin):
    first, second = begin(), begin()
    assert os.getpgid(first.pid) == first.pid != second.pid

    os.close(first._ours_in)
    first._ours_in = os.dup(0)  # closed again by close()

    assert first.wait(20) == 0
    assert second.poll() is None


def test_the_end_of_a_fork_is_told_with_its_signal(begin):
    job = begin()

    job.kill()

    assert job.wait(10) == -signal.SIGKILL


def test_after_the_first_forks_are_quick(begin):
    begin()
    began = time.monotonic()
    for _ in range(5):
        begin()

    assert (time.monotonic() - began) / 5 < 0.5


def test_a_job_goes_on_when_the_zygote_was_killed(settings, own_sessions, reference):
    known = settings.model_copy(update={"spare_process": True})
    house = House(known, own_sessions, command=RUNNER, zygote=ZYGOTE)
    job_id = jobs.submit(own_sessions, reference["document"])
    house.supervisor()
    house.wait(job_id, lambda job: job.step > 0)

    children = children_of(os.getpid()).items()
    newest = max(pid for pid, line in children if "worker.zygote" in line)
    os.kill(newest, signal.SIGKILL)
    job = house.wait_for_state(job_id, "succeeded", "failed")
    house.close()

    assert (job.state, job.attempt) == ("succeeded", 2)
    jobs.assert_like(own_sessions, job_id, reference)


def test_without_a_zygote_a_process_is_executed(settings, own_sessions):
    known = settings.model_copy(update={"spare_process": True})
    house = House(known, own_sessions, command=RUNNER, zygote=("false",))
    job_id = jobs.submit(own_sessions, jobs.document(train={"epochs": 1}))
    house.supervisor()

    job = house.wait_for_state(job_id, "succeeded", "failed")
    house.close()

    assert (job.state, job.attempt) == ("succeeded", 1)
    assert not any("worker.runner" in line for line in children_of(os.getpid()).values())


def test_what_kernels_share_is_compiled_before_a_job_comes(databases, tmp_path, monkeypatch):
    if toolchain.find() is None:
        pytest.skip("no C compiler")
    monkeypatch.setenv("GRADWORKS_CACHE", str(tmp_path))
    forks = Forks()
    try:
        until = time.monotonic() + 120
        while len(list(tmp_path.rglob("*.o"))) < len(toolchain.SHARED):
            assert time.monotonic() < until
            time.sleep(0.1)
    finally:
        forks.close()


def test_forks_die_with_their_zygote(begin, forks):
    job = begin()

    os.kill(forks._process.pid, signal.SIGKILL)

    assert job.wait(10) == -signal.SIGKILL
    assert forks.gone
    with pytest.raises(NoZygote):
        begin()
