"""The client against a real service."""

import hashlib
import json

import pytest

from gradworks import AuthenticationFailed, Client, Conflict, NotFound, Refused
from gradworks.demo import write_digits
from tests.gradworks.conftest import QUICK


def test_a_job_trains_and_its_model_predicts(client, finished, tmp_path):
    assert finished["state"] == "succeeded"
    assert finished["metrics"]["test/accuracy"] > 0.85

    paths = client.models.download(finished["model_id"], tmp_path / "model")

    described = {f["name"]: f["sha256"] for f in client.models.files(finished["model_id"])}
    assert {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in paths} == described
    held_out = write_digits(tmp_path / "again.csv", hold_out=3)
    predictions = client.models.predict(finished["model_id"], [row for _, row in held_out])
    assert len(predictions) == 3
    assert all(sum(p["probabilities"].values()) == pytest.approx(1, abs=1e-4) for p in predictions)


def test_the_manifest_tells_where_the_model_comes_from(client, finished, tmp_path):
    client.jobs.download(finished["id"], tmp_path)

    manifest = json.loads((tmp_path / "manifest.json").read_text())

    weights = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert weights in json.dumps(manifest)
    assert manifest["spec"]["name"] == "quick"


def test_a_plan_queues_nothing(client):
    before = [job["id"] for job in client.jobs.each()]

    plan = client.jobs.plan(QUICK)

    assert plan["parameters"] == 64 * 64 + 64 + 64 * 10 + 10
    assert [job["id"] for job in client.jobs.each()] == before


def test_a_refused_spec_names_every_place(client):
    wrong = QUICK | {"train": {"epochs": 0, "bach_size": 3}}

    with pytest.raises(Refused) as refused:
        client.jobs.submit(wrong)

    pointers = {problem["pointer"] for problem in refused.value.problems}
    assert {"/train/epochs", "/train/bach_size"} <= pointers
    assert "batch_size" in str(refused.value)


def test_the_same_idempotency_key_makes_one_job(client):
    first = client.jobs.submit(QUICK, idempotency_key="once")
    second = client.jobs.submit(QUICK, idempotency_key="once")

    assert first["id"] == second["id"]
    client.jobs.wait(first["id"], timeout=100)


def test_uploading_under_a_known_name_makes_a_new_version(client, digits_csv):
    number = client.datasets.get("digits")["version"]["number"]
    sent = []

    client.datasets.upload("digits", [digits_csv], progress=lambda done, all: sent.append(done))

    assert client.datasets.get("digits")["version"]["number"] == number + 1
    assert sent[-1] == digits_csv.stat().st_size


def test_events_are_followed_to_the_end(client, finished):
    events = list(client.jobs.follow(finished["id"]))

    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    moves = [event["data"]["to"] for event in events if event["type"] == "state"]
    assert moves == ["validating", "queued", "running", "succeeded"]


def test_cancel_a_job_that_runs(client):
    job = client.jobs.submit(QUICK | {"train": QUICK["train"] | {"epochs": 5000}})

    client.jobs.cancel(job["id"])

    ended = client.jobs.wait(job["id"], timeout=30)
    assert ended["state"] == "cancelled"
    with pytest.raises(Conflict):
        client.jobs.cancel(job["id"])


def test_a_job_that_does_not_exist(client):
    with pytest.raises(NotFound, match="job_nowhere"):
        client.jobs.get("job_nowhere")


def test_a_wrong_key(service):
    with (
        Client(service.url, api_key="gw_not_a_key") as stranger,
        pytest.raises(AuthenticationFailed),
    ):
        stranger.jobs.get("job_any")


def test_a_revoked_key(client, service):
    made = client.keys.create("for a moment", scopes=["read"])
    with Client(service.url, api_key=made["token"]) as guest:
        assert guest.queue()
    client.keys.revoke(made["id"])

    with Client(service.url, api_key=made["token"]) as guest, pytest.raises(AuthenticationFailed):
        guest.queue()
