import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worker.output import JOB_LINES, LINE_BYTES
from worker.processes import JobProcess, execute
from worker.pulse import Pulse


def start(script, **given):
    return JobProcess(execute((sys.executable, "-c", script)), settings={}, **given)


@pytest.fixture
def process():
    started = []

    def begin(script, **given):
        started.append(start(script, **given))
        return started[-1]

    yield begin
    for one in started:
        one.close()


def test_settings_and_claim_come_as_two_lines(process):
    job = process("import sys; print(sys.stdin.readline().strip(), sys.stdin.readline().strip())")

    job.give({"job_id": "job_1"})

    assert job.wait(10) == 0
    job.output.finish(5)
    assert job.output.take() == ['{} {"job_id": "job_1"}']
    assert job.output.take() == []


def test_a_claim_for_a_process_that_has_died_is_no_error(process):
    job = process("raise SystemExit(3)")
    assert job.wait(10) == 3

    job.give({"job_id": "job_1"})


def test_long_lines_and_strange_bytes_are_kept_in_bounds(process):
    job = process(
        "import sys; sys.stdout.buffer.write(b'\\xff\\x00ok\\n' + b'x' * 1_000_000 + b'\\nlast')"
    )
    assert job.wait(10) == 0
    job.output.finish(5)

    lines = job.output.take()

    assert lines[0] == "�ok"
    assert lines[-1] == "last"
    assert max(len(line) for line in lines) <= LINE_BYTES


def test_a_job_that_prints_without_end_is_cut_off_once(process):
    job = process(f"for i in range({JOB_LINES + 5000}): print(i)\nimport time; time.sleep(60)")
    taken = []
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not (taken and "left out" in taken[-1]):
        taken += job.output.take()
        if len(taken) < JOB_LINES and job.output.tail().endswith(str(JOB_LINES + 4999)):
            break  # lines were dropped by the bound on what waits, before the bound on the whole
    assert len(taken) <= JOB_LINES + 1


def test_the_whole_group_dies(process):
    job = process(
        "import subprocess, time\n"
        "print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    )
    deadline = time.monotonic() + 10
    while not (lines := job.output.take()) and time.monotonic() < deadline:
        time.sleep(0.01)

    job.close()

    deadline = time.monotonic() + 5
    while _alive(int(lines[0])) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _alive(int(lines[0]))


def _state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]


def test_a_pulse_is_seen_by_the_other_side(process):
    job = process(
        "import sys; from worker.pulse import Pulse\n"
        "pulse = Pulse(int(sys.argv[sys.argv.index('--pulse') + 1]))\n"
        "pulse.beat(7, 0.5); pulse.beat(8, 0.25)"
    )
    assert job.pulse.read() == (0, 0, 0.0)

    assert job.wait(10) == 0

    assert job.pulse.read() == (8, 2, 0.25)


def test_a_pulse_costs_next_to_nothing():
    pulse = Pulse.create()
    began = time.perf_counter()
    for step in range(10_000):
        pulse.beat(step, 0.1)
    seconds = (time.perf_counter() - began) / 10_000
    pulse.close()

    assert seconds < 20e-6


SUPERVISOR = """
import sys, time
from worker.processes import JobProcess, execute
job = JobProcess(execute((sys.executable, "-m", "tests.worker.trainer")), settings={settings!r})
print(job.pid, flush=True)
time.sleep(60)
"""


def test_a_job_process_dies_with_its_supervisor(settings):
    known = settings.model_dump(mode="json", exclude={"secret", "broker_url"})
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR.replace("{settings!r}", repr(known))],
        stdout=subprocess.PIPE,
    )
    with supervisor:
        job = int(supervisor.stdout.readline())
        time.sleep(0.3)
        supervisor.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _alive(job):
        time.sleep(0.02)

    assert not _alive(job)


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return "Z" not in _state(pid)
    except FileNotFoundError:
        return False
