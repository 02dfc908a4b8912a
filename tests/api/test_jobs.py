"""Jobs over HTTP: planned, submitted, listed, polled, cancelled."""

import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import pytest
import yaml

from store import jobs, leases
from tests.api.conftest import SPEC, dataset, job


def changed(**parts):
    """The spec with whole parts replaced."""
    return {**deepcopy(SPEC), **parts}


def test_a_job_is_queued_with_its_plan(http):
    made = job(http)

    assert made["state"] == "queued"
    assert made["is_terminal"] is False
    assert made["dataset"]["name"] == "people"
    assert made["dataset"]["version"] == 1
    assert made["progress"]["total_steps"] == made["plan"]["total_steps"] > 0
    assert made["progress"]["total_epochs"] == 2
    assert made["spec"]["train"]["loss"] == {"name": "cross_entropy", "label_smoothing": 0.0}
    assert [move["to"] for move in made["history"]] == ["validating", "queued"]
    assert http.get(f"/v1/jobs/{made['id']}").json() == made


def test_a_created_job_says_where_it_is(http):
    dataset(http)

    answer = http.post("/v1/jobs", json=SPEC)

    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"


@pytest.mark.parametrize("kind", ["application/yaml", "text/yaml", "application/vnd.job+yaml"])
def test_a_spec_may_be_yaml(http, kind):
    dataset(http)

    answer = http.post("/v1/jobs", content=yaml.safe_dump(SPEC), headers={"Content-Type": kind})

    assert answer.status_code == 201
    assert answer.json()["name"] == "people"


def test_a_dry_run_answers_with_the_plan_and_queues_nothing(http):
    dataset(http)

    answer = http.post("/v1/jobs?dry_run=true", json=SPEC)

    assert answer.status_code == 200
    assert answer.json()["parameters"] > 0
    assert answer.json()["layers"]
    assert http.get("/v1/jobs").json()["data"] == []


def test_every_problem_of_a_spec_is_told_with_its_place(http):
    dataset(http)
    broken = changed(
        train={"epochs": 0, "optimiser": "adamw"}, model={"blueprint": {"name": "mlpp"}}
    )

    answer = http.post("/v1/jobs", json=broken)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    found = {problem["pointer"]: problem for problem in answer.json()["errors"]}
    assert {"/train/epochs", "/train/optimiser", "/model/blueprint/name"} <= found.keys()
    assert "optimizer" in found["/train/optimiser"]["hint"]
    assert http.get("/v1/jobs").json()["data"] == []


def test_what_does_not_fit_the_data_is_refused_before_it_queues(http):
    dataset(http)
    data = {**SPEC["data"], "target": {"type": "category", "column": "lable"}}

    answer = http.post("/v1/jobs", json=changed(data=data))

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/data/target/column"
    assert "label" in answer.json()["errors"][0]["hint"]


@pytest.mark.parametrize("ref", ["absent", "people@2", "ds_absent", "dsv_absent"])
def test_a_dataset_that_is_not_there_is_named(http, ref):
    dataset(http)

    answer = http.post("/v1/jobs", json=changed(data={**SPEC["data"], "dataset": ref}))

    assert answer.status_code == 404
    assert answer.json()["errors"][0]["pointer"] == "/data/dataset"
    assert answer.json()["errors"][0]["got"] == ref


def test_a_spec_larger_than_the_service_allows_is_refused_with_numbers(http):
    dataset(http)
    huge = {"blueprint": {"name": "mlp", "hidden": [100_000, 100_000]}}

    answer = http.post("/v1/jobs", json=changed(model=huge))

    assert answer.status_code == 422
    assert "parameters" in answer.json()["detail"]


def test_the_plan_takes_no_longer_than_a_request_should(http):
    dataset(http)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        assert http.post("/v1/jobs?dry_run=true", json=SPEC).status_code == 200
        seconds.append(time.perf_counter() - started)

    assert min(seconds) < 0.2, seconds


def test_a_list_is_paged_without_gaps_and_repeats(http):
    made = [job(http)["id"] for _ in range(5)]
    found, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = http.get("/v1/jobs", params=params).json()
        found += [one["id"] for one in page["data"]]
        cursor = page["next_cursor"]
        if not page["has_more"]:
            break

    assert found == made[::-1]
    assert cursor is None


def test_a_list_names_only_the_states_asked_for(http):
    first, second = job(http)["id"], job(http)["id"]
    http.post(f"/v1/jobs/{first}/cancel")

    assert [one["id"] for one in http.get("/v1/jobs?state=queued").json()["data"]] == [second]
    both = http.get("/v1/jobs?state=queued&state=cancelled").json()["data"]
    assert {one["id"] for one in both} == {first, second}


def test_a_list_leaves_specs_out(http):
    job(http)

    assert "spec" not in http.get("/v1/jobs").json()["data"][0]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 422),
        ("limit=201", 422),
        ("limit=x", 422),
        ("state=sleeping", 422),
        ("cursor=abc", 400),
        ("names=%00", 400),
    ],
)
def test_a_list_refuses_what_it_cannot_use(http, query, status):
    answer = http.get(f"/v1/jobs?{query}")

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_cursor_belongs_to_one_list(http):
    for _ in range(3):
        job(http)
    cursor = http.get("/v1/jobs?limit=1").json()["next_cursor"]

    assert http.get("/v1/jobs", params={"cursor": cursor, "state": "queued"}).status_code == 400
    assert http.get("/v1/datasets", params={"cursor": cursor}).status_code == 400


def test_a_waiting_job_is_cancelled_at_once(http):
    made = job(http)

    answer = http.post(f"/v1/jobs/{made['id']}/cancel")

    assert answer.status_code == 200
    assert answer.json()["state"] == "cancelled"
    assert answer.json()["reason"] == "user"
    assert http.get(f"/v1/jobs/{made['id']}").json()["state"] == "cancelled"


def test_cancel_twice(http):
    made = job(http)
    http.post(f"/v1/jobs/{made['id']}/cancel")

    answer = http.post(f"/v1/jobs/{made['id']}/cancel")

    assert answer.status_code == 409
    assert answer.json()["code"] == "bad_transition"


def test_a_waiting_job_is_paused_and_resumed(http):
    made = job(http)

    paused = http.post(f"/v1/jobs/{made['id']}/pause")
    resumed = http.post(f"/v1/jobs/{made['id']}/resume")

    assert (paused.status_code, paused.json()["state"]) == (200, "paused")
    assert (resumed.status_code, resumed.json()["state"]) == (200, "queued")
    assert http.get(f"/v1/jobs/{made['id']}").json()["state"] == "queued"


def test_only_a_paused_job_is_resumed_and_only_a_live_one_paused(http):
    made = job(http)
    assert http.post(f"/v1/jobs/{made['id']}/resume").status_code == 409

    http.post(f"/v1/jobs/{made['id']}/cancel")

    assert http.post(f"/v1/jobs/{made['id']}/pause").status_code == 409
    assert http.post(f"/v1/jobs/{made['id']}/resume").status_code == 409


def test_a_running_job_is_asked_to_pause(http, sessions):
    made = claimed(http, sessions)

    answer = http.post(f"/v1/jobs/{made.job_id}/pause")

    assert answer.json()["state"] == "pausing"
    with sessions.begin() as session:
        assert leases.beat(session, made, lease_seconds=60).pause_requested


def test_a_running_job_is_asked_to_stop(http, sessions):
    made = claimed(http, sessions)

    answer = http.post(f"/v1/jobs/{made.job_id}/cancel")

    assert answer.json()["state"] == "cancelling"
    with sessions.begin() as session:
        assert leases.beat(session, made, lease_seconds=60).cancel_requested


def claimed(http, sessions):
    """A job of the caller in a worker's hands."""
    made = job(http, changed(resources={"priority": 1000}))
    with sessions.begin() as session:
        claim = leases.claim(session, worker_id="wrk_tests", lease_seconds=60)
    assert claim.job_id == made["id"]
    return claim


def test_numbers_that_are_not_finite_are_named(http, sessions):
    claim = claimed(http, sessions)
    with sessions.begin() as session:
        leases.finish(session, claim, summary={"train/loss": float("nan"), "test/loss": 0.5})

    metrics = http.get(f"/v1/jobs/{claim.job_id}").json()["metrics"]

    assert metrics == {"train/loss": {"value": None, "nonfinite": "nan"}, "test/loss": 0.5}


def test_estimates_that_are_not_finite_are_null(http, sessions):
    from store import progress

    claim = claimed(http, sessions)
    with sessions.begin() as session:
        rates = {"examples_per_second": 10.5, "eta_seconds": float("inf"), "phase": "train"}
        progress.commit(session, claim, step=3, epoch=1, progress=rates)

    found = http.get(f"/v1/jobs/{claim.job_id}").json()["progress"]

    assert (found["step"], found["epoch"], found["phase"]) == (3, 1, "train")
    assert (found["examples_per_second"], found["eta_seconds"]) == (10.5, None)


def test_a_job_that_is_not_there(http):
    answer = http.get("/v1/jobs/job_absent")

    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


def test_an_unchanged_job_is_a_304(http):
    made = job(http)
    first = http.get(f"/v1/jobs/{made['id']}")
    known = {"If-None-Match": first.headers["etag"]}

    again = http.get(f"/v1/jobs/{made['id']}", headers=known)

    assert first.headers["etag"].startswith(f'W/"{made["id"]}-')
    assert first.headers["cache-control"] == "private, no-cache"
    assert first.headers["retry-after"] == "1"
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


def test_a_changed_job_is_sent_again(http):
    made = job(http)
    etag = http.get(f"/v1/jobs/{made['id']}").headers["etag"]
    http.post(f"/v1/jobs/{made['id']}/cancel")

    answer = http.get(f"/v1/jobs/{made['id']}", headers={"If-None-Match": etag})

    assert answer.status_code == 200
    assert answer.headers["etag"] != etag
    assert "retry-after" not in answer.headers


def test_a_change_elsewhere_is_seen_within_half_a_second(http, sessions, caller):
    made = job(http)
    http.get(f"/v1/jobs/{made['id']}")
    with sessions.begin() as session:
        jobs.request_cancel(session, caller.project_id, made["id"])

    time.sleep(0.6)

    assert http.get(f"/v1/jobs/{made['id']}").json()["state"] == "cancelled"


def test_the_cache_does_not_answer_for_others(http, other):
    made = job(http)
    assert http.get(f"/v1/jobs/{made['id']}").status_code == 200
    assert http.get(f"/v1/jobs/{made['id']}").status_code == 200

    for _ in range(2):
        assert http.get(f"/v1/jobs/{made['id']}", headers=other["admin"]).status_code == 404


def test_many_who_ask_at_once_cost_one_query(make_http, app):
    from sqlalchemy import event

    http = make_http(cache_seconds=5)
    made = job(http)
    asked = []
    database = http.app.state.service.database
    event.listen(
        database, "before_cursor_execute", lambda *given: asked.append(given[2]), named=False
    )

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: http.get(f"/v1/jobs/{made['id']}"), range(64)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sum("FROM jobs" in statement for statement in asked) == 1


def test_the_answer_from_memory_is_like_any_other(http):
    made = job(http)
    first, second = (http.get(f"/v1/jobs/{made['id']}") for _ in range(2))

    assert first.content == second.content
    alike = {name: first.headers[name] for name in first.headers if name != "x-request-id"}
    assert alike == {name: second.headers[name] for name in second.headers if name in alike}
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    own = http.get(f"/v1/jobs/{made['id']}", headers={"X-Request-ID": "mine"})
    assert own.headers["x-request-id"] == "mine"
