"""Models over HTTP: described, and asked for raw rows."""

import pytest

from api.predictors import Predictors
from store import artifacts, models
from store.tables import Model
from tests.api.conftest import finish

ROW = {"age": 30, "city": "Bern"}


@pytest.fixture
def http(client, owner):
    client.headers = owner["admin"]
    return client


def test_a_model_is_described(http, finished, trained):
    found = http.get(f"/v1/models/{finished['model_id']}").json()

    assert (found["name"], found["job_id"]) == ("people", finished["id"])
    assert found["metrics"] == {
        "test/loss": 0.25, "test/auc": {"value": None, "nonfinite": "nan"},
    }  # fmt: skip
    assert found["manifest"]["weights"] == trained.manifest["weights"]
    listed = {one["id"]: one for one in http.get("/v1/models").json()["data"]}
    del found["manifest"]
    assert listed[found["id"]] == found


def test_raw_rows_are_predicted(http, finished):
    path = f"/v1/models/{finished['model_id']}/predict"

    answer = http.post(path, json={"rows": [ROW, {"age": 55.5, "city": "Rome"}]})

    assert answer.status_code == 200, answer.text
    first, second = answer.json()["predictions"]
    assert first.keys() == {"label", "probabilities"}
    assert first["label"] in ("yes", "no")
    assert sum(first["probabilities"].values()) == pytest.approx(1)
    assert second["probabilities"] != first["probabilities"]


def test_the_same_row_gets_the_same_answer(http, finished):
    path = f"/v1/models/{finished['model_id']}/predict"

    alone = http.post(path, json={"rows": [ROW]}).json()["predictions"]
    among = http.post(path, json={"rows": [ROW] * 70}).json()["predictions"]

    shares = [one["probabilities"]["yes"] for one in alone + among]
    assert shares == pytest.approx([shares[0]] * 71, rel=1e-5)


@pytest.mark.parametrize(
    ("rows", "pointer"),
    [
        ([ROW, {"age": "old", "city": "Bern"}], "/rows/1/age"),
        ([ROW, {"city": "Bern"}], "/rows/1/age"),
        ([ROW, ROW, {"age": [1, 2], "city": "Bern"}], "/rows/2/age"),
        ([{"age": {}, "city": "Bern"}], "/rows/0/age"),
        ([{"age": 10**400, "city": "Bern"}], "/rows/0/age"),
        ([{"age": True, "city": ["x"]}], "/rows/0/city"),
    ],
    ids=range(6),
)
def test_a_row_that_does_not_fit_is_named(http, finished, rows, pointer):
    answer = http.post(f"/v1/models/{finished['model_id']}/predict", json={"rows": rows})

    assert answer.status_code == 422, answer.text
    assert pointer in [problem["pointer"] for problem in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"rows": []}, "/rows"),
        ({"rows": [ROW] * 1001}, "/rows"),
        ({"rows": ROW}, "/rows"),
        ({"rows": [1]}, "/rows/0"),
        ({}, "/rows"),
        ({"rows": [ROW], "more": 1}, "/more"),
    ],
    ids=range(6),
)
def test_a_batch_that_cannot_be(http, finished, body, pointer):
    answer = http.post(f"/v1/models/{finished['model_id']}/predict", json=body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_model_that_is_not_there(http):
    assert http.get("/v1/models/mod_absent").status_code == 404
    assert http.post("/v1/models/mod_absent/predict", json={"rows": [ROW]}).status_code == 404


def test_weights_that_are_not_those_of_the_model_are_not_used(http, sessions, trained):
    finished = finish(http, sessions, trained)
    with sessions.begin() as session:
        another = artifacts.get(session, finished["id"], "manifest.json").sha256
        artifacts.get(session, finished["id"], "model.safetensors").sha256 = another

    answer = http.post(f"/v1/models/{finished['model_id']}/predict", json={"rows": [ROW]})

    assert answer.status_code == 500
    assert answer.json()["code"] == "damaged"


@pytest.fixture
def named(sessions, owner, finished):
    """Makes the finished job's model under other ids."""
    with sessions.begin() as session:
        model = models.get(session, owner.project_id, finished["model_id"])
    return lambda name: Model(id=name, job_id=model.job_id, manifest=model.manifest)


def test_the_models_used_last_stay_in_memory(app, named):
    predictors = Predictors(app.state.service.readers, max_models=2)

    for name in ("a", "b", "a", "c"):
        predictors.predict(named(name), [ROW])

    assert predictors.loaded == ["a", "c"]


def test_large_models_make_room_by_their_size(app, named, trained):
    predictors = Predictors(app.state.service.readers, max_bytes=len(trained.weights) + 10)

    for name in ("a", "b"):
        predictors.predict(named(name), [ROW])

    assert predictors.loaded == ["b"]
