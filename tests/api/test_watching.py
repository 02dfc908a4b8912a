"""Metrics, logs and checkpoints of a job."""

import math

import pytest

from core.states import Reason
from store import blobs, events, leases, progress
from store.metrics import Point
from store.progress import CheckpointRef
from tests.api.conftest import SPEC, job

STEPS = 5000


@pytest.fixture(scope="module")
def watched(client, owner, sessions):
    """A job with long series, logs and checkpoints; many tests share it."""
    client.headers = owner["admin"]
    made = job(client, {**SPEC, "resources": {"priority": 1000}})
    points = [Point("train/loss", step, step // 100, 1 / step) for step in range(1, STEPS + 1)]
    points[2345] = Point("train/loss", 2346, 23, 77.0)
    points[4321] = Point("train/loss", 4322, 43, math.nan)
    points += [Point("test/loss", STEPS, 50, math.inf), Point("test/accuracy", STEPS, 50, 0.5)]
    with sessions.begin() as session:
        claim = leases.claim(session, worker_id="wrk_tests", lease_seconds=60)
        assert claim.job_id == made["id"]
        for step in (10, 20):
            ref = CheckpointRef(blobs.write(session, b"weights %d" % step), {"step": step})
            progress.commit(session, claim, step=step, epoch=1, checkpoint=ref)
        logs = [
            {"type": "log", "data": {"level": "info", "message": f"line {n}"}} for n in range(5)
        ]
        progress.commit(session, claim, step=STEPS, epoch=50, metrics=points, events=logs)
        events.append(session, made["id"], "epoch", {"epoch": 50})
        leases.fail(session, claim, reason=Reason.NONFINITE, error={"detail": "the loss is NaN"})
    return f"/v1/jobs/{made['id']}"


@pytest.fixture
def http(client, owner):
    client.headers = owner["admin"]
    return client


def series(http, watched, **params):
    answer = http.get(f"{watched}/metrics", params=params)
    assert answer.status_code == 200, answer.text
    return {one["name"]: one["points"] for one in answer.json()["series"]}


def test_a_long_series_is_thinned_and_keeps_its_spikes(http, watched):
    found = series(http, watched, max_points=100)["train/loss"]

    assert 40 <= len(found) <= 100
    assert [point["step"] for point in found] == sorted(point["step"] for point in found)
    assert (found[0]["step"], found[-1]["step"]) == (1, STEPS)
    values = {point["step"]: point["value"] for point in found}
    assert values[2346] == 77.0
    [nan] = [point for point in found if point["value"] is None]
    assert (nan["step"], nan["nonfinite"], nan["epoch"]) == (4322, "nan", 43)


def test_a_short_series_is_whole(http, watched):
    found = series(http, watched, max_points=10_000)

    assert len(found["train/loss"]) == STEPS
    assert found["test/loss"][0]["nonfinite"] == "inf"
    assert found["test/accuracy"][0]["value"] == 0.5


def test_only_the_series_asked_for(http, watched):
    assert list(series(http, watched, names="test/accuracy, test/loss, absent")) == [
        "test/accuracy", "test/loss",
    ]  # fmt: skip
    assert series(http, watched, names="") == {}


@pytest.mark.parametrize("points", [0, 9, 10_001, "many"])
def test_a_number_of_points_that_cannot_be(http, watched, points):
    assert http.get(f"{watched}/metrics?max_points={points}").status_code == 422


def test_logs_come_in_pages_and_nothing_else_does(http, watched):
    first = http.get(f"{watched}/logs?limit=3").json()
    second = http.get(f"{watched}/logs", params={"limit": 3, "cursor": first["next_cursor"]}).json()

    lines = first["data"] + second["data"]
    assert [line["message"] for line in lines] == [f"line {n}" for n in range(5)]
    assert {line["level"] for line in lines} == {"info"}
    assert (first["has_more"], second["has_more"], second["next_cursor"]) == (True, False, None)


@pytest.mark.parametrize("cursor", ["x", "-1", "9" * 30, "١"])
def test_a_cursor_of_logs_that_is_none(http, watched, cursor):
    assert http.get(f"{watched}/logs", params={"cursor": cursor}).status_code == 422


def test_checkpoints_are_described_newest_first(http, watched):
    found = http.get(f"{watched}/checkpoints").json()["data"]

    assert [(one["step"], one["attempt"]) for one in found] == [(20, 1), (10, 1)]
    assert found[0]["bytes"] == len(b"weights 20")
    assert len(found[0]["sha256"]) == 64


def test_why_a_job_failed(http, watched):
    found = http.get(watched).json()

    assert (found["state"], found["reason"], found["is_terminal"]) == ("failed", "nonfinite", True)
    assert found["error"]["detail"] == "the loss is NaN"
    assert found["metrics"]["test/loss"] == {"value": None, "nonfinite": "inf"}
    moves = [(move["from"], move["to"]) for move in found["history"]]
    assert moves[0] == (None, "validating")
    assert moves[-1] == ("running", "failed")


@pytest.mark.parametrize("part", ["metrics", "logs", "checkpoints", "files", "events"])
def test_a_job_that_is_not_there(http, part):
    assert http.get(f"/v1/jobs/job_absent/{part}").status_code == 404
