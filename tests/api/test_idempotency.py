"""A POST that is sent twice is done once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from store.tables import IdempotencyKey, Job, Upload
from tests.api.conftest import SPEC, TABLE, dataset, job, upload


def once(key="key-1", **more):
    return {"Idempotency-Key": key, **more}


def test_a_repeated_submission_gets_the_first_answer(http):
    dataset(http)

    first = http.post("/v1/jobs", json=SPEC, headers=once())
    second = http.post("/v1/jobs", json=SPEC, headers=once())

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    assert second.headers["location"] == first.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert len(http.get("/v1/jobs").json()["data"]) == 1


def test_the_first_answer_is_repeated_even_where_the_request_could_not_be_done_again(http):
    dataset(http)
    first = http.post("/v1/jobs", json=SPEC, headers=once())
    http.post(f"/v1/jobs/{first.json()['id']}/cancel")
    http.delete("/v1/datasets/people")

    assert http.post("/v1/jobs", json=SPEC, headers=once()).content == first.content


@pytest.mark.parametrize("change", ["body", "query"])
def test_another_request_under_the_same_key_is_refused(http, change):
    dataset(http)
    http.post("/v1/jobs", json=SPEC, headers=once())

    body = {**SPEC, "name": "other"} if change == "body" else SPEC
    query = "?dry_run=false" if change == "query" else ""
    answer = http.post(f"/v1/jobs{query}", json=body, headers=once())

    assert answer.status_code == 409
    assert answer.json()["code"] == "idempotency_conflict"


def test_a_request_that_failed_may_be_mended_under_the_same_key(http):
    dataset(http)
    assert http.post("/v1/jobs", json={**SPEC, "train": 1}, headers=once()).status_code == 422

    assert http.post("/v1/jobs", json=SPEC, headers=once()).status_code == 201


def test_keys_belong_to_a_project_and_a_route(http, other):
    dataset(http)
    made = http.post("/v1/jobs", json=SPEC, headers=once())

    upload_answer = http.post("/v1/uploads?filename=a.csv", content=TABLE, headers=once())
    foreign = http.post("/v1/jobs", json=SPEC, headers=once() | other["write"])

    assert made.status_code == upload_answer.status_code == 201
    assert foreign.status_code == 404


def test_a_cancel_sent_twice_under_one_key(http):
    path = f"/v1/jobs/{job(http)['id']}/cancel"

    first, second = (http.post(path, headers=once()) for _ in range(2))

    assert (first.status_code, second.status_code) == (200, 200)
    assert second.content == first.content


def test_a_cancel_of_another_job_under_the_same_key(http):
    one, two = job(http)["id"], job(http)["id"]
    http.post(f"/v1/jobs/{one}/cancel", headers=once())

    assert http.post(f"/v1/jobs/{two}/cancel", headers=once()).status_code == 409
    assert http.get(f"/v1/jobs/{two}").json()["state"] == "queued"


def test_an_upload_sent_twice(http, sessions, caller):
    path = "/v1/uploads?filename=a.csv"
    first, second = (http.post(path, content=TABLE, headers=once()) for _ in range(2))
    third = http.post(path, content=TABLE + b"1,x,y\n", headers=once())

    assert first.content == second.content
    assert third.status_code == 409
    with sessions.begin() as session:
        own = select(func.count()).select_from(Upload).where(Upload.project_id == caller.project_id)
        assert session.scalar(own) == 1


def test_a_dataset_and_a_version_made_twice(http):
    body = {"name": "people", "uploads": [upload(http)]}
    first, second = (http.post("/v1/datasets", json=body, headers=once()) for _ in range(2))
    version = {"uploads": body["uploads"]}
    path = "/v1/datasets/people/versions"
    third, fourth = (http.post(path, json=version, headers=once()) for _ in range(2))

    assert first.content == second.content
    assert third.content == fourth.content
    assert http.get("/v1/datasets/people").json()["version"]["number"] == 2


@pytest.mark.parametrize("path", ["/v1/keys", "/v1/projects"])
def test_a_token_is_not_kept_to_be_repeated(http, sessions, caller, path):
    body = {"name": f"once {caller.project_id}"}

    first, second = (http.post(path, json=body, headers=once()) for _ in range(2))

    made, repeated = (answer.json().get("key", answer.json()) for answer in (first, second))
    assert made["token"]
    assert repeated == {**made, "token": None}
    with sessions.begin() as session:
        kept = session.scalars(select(IdempotencyKey.body)).all()
        assert all(made["token"] not in (body or "") for body in kept)


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"], ids=["empty", "long", "tab"])
def test_a_key_that_is_none(http, key):
    dataset(http)

    answer = http.post("/v1/jobs", json=SPEC, headers=once(key))

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/header/Idempotency-Key"


def test_a_long_key_is_a_key(http):
    dataset(http)

    assert http.post("/v1/jobs", json=SPEC, headers=once("x" * 255)).status_code == 201


def test_a_dry_run_keeps_nothing(http):
    dataset(http)
    http.post("/v1/jobs?dry_run=true", json=SPEC, headers=once())

    assert http.post("/v1/jobs", json=SPEC, headers=once()).status_code == 201


def test_many_at_once_make_one_job(http, sessions, caller):
    dataset(http)

    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: http.post("/v1/jobs", json=SPEC, headers=once()), range(8))
        )

    made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len(made) == 1
    with sessions.begin() as session:
        own = select(func.count()).select_from(Job).where(Job.project_id == caller.project_id)
        assert session.scalar(own) == 1
