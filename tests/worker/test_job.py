"""Real jobs, trained by real job processes under a supervisor in this process."""

import hashlib
import json
import math
import os
import random
import signal
import time
from contextlib import suppress

import pytest
from sqlalchemy import select

from core.states import TERMINAL
from spec.predictor import Predictor
from store import checkpoints, events, jobs as rows, models
from store.tables import Blob, BlobChunk, Chunk
from tests.worker import jobs
from tests.worker.conftest import House, job_process_of
from worker.forks import ZYGOTE
from worker.processes import RUNNER

pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


@pytest.fixture
def real(settings, own_sessions):
    known = settings.model_copy(update={"spare_process": True})
    house = House(known, own_sessions, command=RUNNER, zygote=ZYGOTE)
    yield house
    house.close()


def test_a_job_leaves_a_model_that_predicts(real):
    job_id = jobs.submit(real.sessions, jobs.document())
    real.supervisor()

    job = real.wait_for_state(job_id, "succeeded", "failed")

    assert (job.state, job.reason, job.error) == ("succeeded", "completed", None)
    assert {"test/accuracy", "test/loss", "validation/loss", "train/loss"} <= job.summary.keys()
    weights = jobs.file(real.sessions, job_id, "model.safetensors")
    manifest = jobs.manifest(real.sessions, job_id)
    assert manifest["weights"]["sha256"] == hashlib.sha256(weights).hexdigest()
    assert list(manifest["dataset"]["files"].values()) == [hashlib.sha256(jobs.table()).hexdigest()]
    assert manifest["device"].startswith("cpu ")
    with real.sessions() as session:
        model = models.get(session, job.project_id, job.model_id)
        assert (model.manifest, model.name) == (manifest, "table")
    row = {"a": 1.0, "b": 2.0, "c": 0.5, "d": 0.0, "kind": "u"}
    assert Predictor.load(manifest, weights).predict([row])[0]["label"] in ("yes", "no")


def test_a_job_that_is_not_compiled_says_so_in_an_event(real, monkeypatch):
    monkeypatch.setenv("GRADWORKS_COMPILER", "no-such-compiler-here")
    job_id = jobs.submit(real.sessions, jobs.document())
    real.supervisor()
    job = real.wait_for_state(job_id, "succeeded", "failed")

    with real.sessions() as session:
        told = events.after(session, job_id)
    (fallback,) = [event.data for event in told if event.type == "fallback"]
    (first,) = [event.data for event in told if event.type == "first_step"]
    logged = [event.data for event in told if event.type == "log"]
    assert (job.state, job.error) == ("succeeded", None)
    assert fallback["backend"] == "interpreter"
    assert "no-such-compiler-here" in fallback["reason"]
    assert first["backend"] == f"interpreter: {fallback['reason']}"
    assert {"warning"} == {
        line["level"] for line in logged if fallback["reason"] in line["message"]
    } - {"info"}


def test_what_happened_is_told_in_order(real):
    job_id = jobs.submit(real.sessions, jobs.document())
    real.supervisor()
    real.wait_for_state(job_id, "succeeded")

    with real.sessions() as session:
        told = events.after(session, job_id)
    kinds = [event.type for event in told]
    assert [event.seq for event in told] == list(range(1, len(told) + 1))
    assert kinds.index("first_step") < kinds.index("epoch")
    said = [event.data["message"] for event in told if event.type == "log"]
    assert said[0] == "rows: 420 train, 90 validation, 90 test"
    assert said[1].startswith("training on cpu ")
    assert kinds.count("epoch") == 4
    assert kinds[-1] == "state"
    assert [event.data["to"] for event in told if event.type == "state"] == [
        "validating",
        "queued",
        "running",
        "succeeded",
    ]
    found = jobs.series(real.sessions, job_id)
    assert [step for step, *_ in found["train/loss"]] == list(range(1, 57))
    assert [step for step, *_ in found["validation/accuracy"]] == [14, 28, 42, 56]
    assert [step for step, *_ in found["test/accuracy"]] == [56]


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_it_ends_with_the_same_bytes(real, reference, seed):
    moment = random.Random(seed)
    job_id = jobs.submit(real.sessions, reference["document"])
    real.supervisor()
    for _ in range(2):
        step = real.job(job_id).step
        job = real.wait(job_id, lambda job, step=step: job.state in TERMINAL or job.step > step)
        time.sleep(moment.random())
        if job.state not in TERMINAL:
            kill_job_process()

    job = real.wait_for_state(job_id, "succeeded", "failed")

    assert job.state == "succeeded", job.error
    assert job.attempt > 1
    jobs.assert_like(real.sessions, job_id, reference)


def kill_job_process():
    with suppress(ProcessLookupError, ValueError):
        os.kill(job_process_of(os.getpid()), signal.SIGKILL)


def test_drained_and_taken_up_again_it_ends_with_the_same_bytes(real, reference):
    job_id = jobs.submit(real.sessions, reference["document"])
    for _ in range(3):
        supervisor = real.supervisor()
        step = real.job(job_id).step
        real.wait(job_id, lambda job, step=step: job.step > step)
        supervisor.drain()
        assert supervisor.join(20)
        drained = real.job(job_id)
        assert (drained.state, drained.reason, drained.attempt) == ("queued", "preempted", 0)
        assert drained.checkpoint_step == drained.step
    real.supervisor()

    job = real.wait_for_state(job_id, "succeeded", "failed")

    assert job.attempt == 1
    jobs.assert_like(real.sessions, job_id, reference)


def test_a_damaged_checkpoint_is_passed_over_for_an_older_one(real, reference):
    job_id = jobs.submit(real.sessions, reference["document"])
    first = real.supervisor()
    real.wait(job_id, lambda job: count_checkpoints(real, job_id) == 2)
    first.drain()
    assert first.join(20)
    with real.sessions.begin() as session:
        newest, older = checkpoints.list_(session, job_id)
        blob = session.scalars(select(Blob).filter_by(sha256=newest.sha256)).one()
        place = session.scalars(select(BlobChunk).filter_by(blob_id=blob.id, position=0)).one()
        chunk = session.scalars(select(Chunk).filter_by(sha256=place.chunk_sha256)).one()
        data = bytearray(chunk.data)
        data[len(data) // 2] ^= 1
        chunk.data = bytes(data)
    real.supervisor()

    real.wait_for_state(job_id, "succeeded", "failed")

    with real.sessions() as session:
        told = {event.type: event.data for event in events.after(session, job_id, superseded=True)}
    assert told["checkpoint_damaged"]["at_step"] == newest.step
    assert told["resumed"]["from_step"] == older.step
    jobs.assert_like(real.sessions, job_id, reference)


def count_checkpoints(real, job_id):
    with real.sessions() as session:
        return len(checkpoints.list_(session, job_id))


def test_early_stopping(real):
    stop = {"metric": "validation/loss", "patience": 1, "min_delta": 10.0}
    job_id = jobs.submit(real.sessions, jobs.document(train={"early_stopping": stop, "epochs": 50}))
    real.supervisor()

    job = real.wait_for_state(job_id, "succeeded", "failed")

    assert (job.state, job.reason, job.step) == ("succeeded", "early_stopped", 28)


def test_a_loss_that_is_no_number_fails_the_job(real):
    wanted = jobs.document(
        data={
            "inputs": {name: {"type": "number", "column": name} for name in "abc"},
            "target": {"type": "number", "column": "d"},
        },
        train={"optimizer": {"name": "sgd", "lr": 1000.0, "momentum": 0.9}},
    )
    job_id = jobs.submit(real.sessions, wanted)
    real.supervisor()

    job = real.wait_for_state(job_id, "succeeded", "failed")

    assert (job.state, job.reason, job.attempt) == ("failed", "nonfinite", 1)
    assert 1 < job.error["step"] < 56
    json.dumps([job.error, job.summary], allow_nan=False)
    step, _, value = jobs.series(real.sessions, job_id)["train/loss"][-1]
    assert step == job.error["step"]
    assert not math.isfinite(value) or job.error["detail"].startswith("grad_norm")


def test_data_that_does_not_fit_the_spec_fails_at_once(real):
    job_id = jobs.submit(real.sessions, jobs.document(), data=b"a,b\n1,2\n3,4\n5,6\n")
    real.supervisor()

    job = real.wait_for_state(job_id, "failed")

    assert (job.reason, job.attempt) == ("bad_spec", 1)
    assert any(one["pointer"].startswith("/data/") for one in job.error["problems"])


def test_a_broken_file_fails_at_once(real):
    job_id = jobs.submit(real.sessions, jobs.document(), data=b'a,b\n1,"2\n')
    real.supervisor()

    job = real.wait_for_state(job_id, "failed")

    assert (job.reason, job.attempt) == ("bad_data", 1)


def test_a_device_that_is_not_there_is_named(real):
    job_id = jobs.submit(real.sessions, jobs.document(resources={"device": "cuda"}))
    real.supervisor()

    job = real.wait_for_state(job_id, "failed")

    assert job.error["problems"][0]["pointer"] == "/resources/device"


def test_the_same_files_are_fetched_once(real):
    for _ in range(2):
        job_id = jobs.submit(real.sessions, jobs.document(train={"epochs": 1}))
    real.supervisor()
    real.wait_for_state(job_id, "succeeded")

    cached = list((real.settings.data_dir / "cache" / "datasets").glob("??/*"))

    assert [path.name for path in cached] == [hashlib.sha256(jobs.table()).hexdigest()]
    assert cached[0].read_bytes() == jobs.table()


def test_jobs_of_different_seeds_differ(real):
    first, second = (
        jobs.submit(real.sessions, jobs.document(train={"epochs": 1, "seed": seed}))
        for seed in (1, 2)
    )
    real.supervisor()
    real.wait_for_state(first, "succeeded")
    real.wait_for_state(second, "succeeded")

    assert jobs.weights_sha256(real.sessions, first) != jobs.weights_sha256(real.sessions, second)


def test_a_job_that_is_cancelled_keeps_its_checkpoint(real, reference):
    job_id = jobs.submit(real.sessions, reference["document"])
    real.supervisor()
    project_id = real.wait(job_id, lambda job: job.step > 0).project_id

    with real.sessions.begin() as session:
        rows.request_cancel(session, project_id, job_id)

    job = real.wait_for_state(job_id, "cancelled")
    assert job.checkpoint_step == job.step
