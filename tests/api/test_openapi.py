"""The description of the API, and what it promises of every route."""

import pytest
from jsonschema_rs import meta, validator_for

from tests.api.conftest import SPEC, finish

OPEN = {"/healthz", "/readyz", "/metrics"}
ADMIN = {"create_key", "list_keys", "revoke_key", "create_project", "list_projects"}
WRITE = {
    "create_upload", "create_dataset", "create_version", "delete_dataset", "create_job",
    "cancel_job",
    "pause_job",
    "resume_job",
}  # fmt: skip
BODIES = {
    "create_dataset": {"name": "stolen", "uploads": ["{upload_id}"]},
    "create_version": {"uploads": ["{upload_id}"]},
    "create_job": SPEC,
    "predict": {"rows": [{"age": 30, "city": "Bern"}]},
    "create_key": {"name": "a"},
    "create_project": {"name": "a"},
}
# Lists and things that a project makes for itself: they name nobody's resource.
OWN = {
    "create_upload", "list_datasets", "list_jobs", "list_models", "read_queue", "list_workers",
    "create_key", "list_keys", "create_project", "list_projects", "read_job_schema",
}  # fmt: skip


@pytest.fixture(scope="module")
def description(app):
    return app.openapi()


@pytest.fixture(scope="module")
def every(description):
    """(path, method, operation) of every guarded route."""
    return [
        (path, method, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
        if path not in OPEN
    ]


def send(http, path, method, operation, names, headers):
    """A request that would succeed for the owner of what `names` names."""
    body = BODIES.get(operation["operationId"])
    if body is not None and "uploads" in body:
        body = {**body, "uploads": [names["upload_id"]]}
    given = {} if body is None else {"json": body}
    if operation["operationId"] == "create_upload":
        given = {"content": b"a\n1\n", "params": {"filename": "a.csv"}}
    return http.request(method.upper(), path.format(**names), headers=headers, **given)


@pytest.fixture(scope="module")
def names(client, owner, sessions, trained):
    """One of everything, all of it `owner`'s."""
    client.headers = owner["admin"]
    made = finish(client, sessions, trained)
    upload = client.post("/v1/uploads?filename=a.csv", content=b"a,b\n1,2\n").json()
    key = client.post("/v1/keys", json={"name": "mine"}).json()
    return {
        "job_id": made["id"],
        "model_id": made["model_id"],
        "dataset_id": made["dataset"]["id"],
        "name": "manifest.json",
        "upload_id": upload["id"],
        "key_id": key["id"],
    }


def test_every_route_is_described_completely(description):
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            said = {int(status) for status in operation["responses"]}
            where = f"{method} {path}"
            assert operation["operationId"], where
            assert operation["description"], where
            if path in OPEN:
                continue
            assert operation["security"] == [{"key": []}], where
            assert {400, 401, 403, 422, 429, 500, 503} <= said, where
            assert ("{" in path) <= (404 in said), where
            takes_body = "requestBody" in operation
            assert takes_body <= ({413} <= said), where
            if takes_body and operation["operationId"] != "create_upload":
                assert 415 in said, where
            if method == "post" and operation["operationId"] != "predict":
                assert 409 in said, where
                names = {one["name"] for one in operation["parameters"]}
                assert "Idempotency-Key" in names, where


def test_errors_are_problem_documents(description):
    for methods in description["paths"].values():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400 and operation["operationId"] != "read_readiness":
                    assert list(answer["content"]) == ["application/problem+json"], operation


def test_operations_have_names_of_their_own(every):
    names = [operation["operationId"] for _, _, operation in every]

    assert len(names) == len(set(names))


def test_path_parameters_are_called_after_what_they_name(every):
    for path, _, _ in every:
        assert "{id}" not in path


def test_every_reference_leads_somewhere(description):
    def references(value):
        if isinstance(value, dict):
            for key, item in value.items():
                if key == "$ref" and isinstance(item, str):
                    yield item
                else:
                    yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    for reference in set(references(description)):
        found = description
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def test_every_schema_is_one(description):
    assert description["openapi"] == "3.1.0"
    for name, schema in description["components"]["schemas"].items():
        whole = {**schema, "components": description["components"]}
        assert meta.is_valid(whole), name
        validator_for(whole)


def test_the_body_of_a_job_is_the_spec(description):
    operation = description["paths"]["/v1/jobs"]["post"]

    content = operation["requestBody"]["content"]
    assert set(content) == {"application/json", "application/yaml"}
    schema = {**content["application/json"]["schema"], "components": description["components"]}
    check = validator_for(schema)
    assert check.is_valid(SPEC)
    assert not check.is_valid({**SPEC, "extra": 1})


def test_the_owner_is_let_in_everywhere(client, owner, every, names):
    """What the matrix below refuses to others is there for the owner: it refuses for no other
    reason."""
    for path, method, operation in every:
        if method == "get":
            answer = send(client, path, method, operation, names, owner["admin"])
            assert answer.status_code == 200, (path, answer.text)


def test_what_belongs_to_another_project_is_not_there(client, other, every, names):
    for path, method, operation in every:
        if operation["operationId"] in OWN:
            continue
        answer = send(client, path, method, operation, names, other["admin"])
        assert answer.status_code == 404, (method, path, answer.text)
        assert answer.json()["code"] == "not_found"


def test_lists_show_nothing_of_another_project(client, other, every, names):
    theirs = {names[kind] for kind in ("job_id", "model_id", "dataset_id", "upload_id", "key_id")}
    for path, method, operation in every:
        if method == "get" and operation["operationId"] in OWN:
            answer = send(client, path, method, operation, names, other["admin"])
            assert answer.status_code == 200
            assert not [one for one in theirs if one in answer.text], path


def test_without_a_key_there_is_nothing(client, every, names):
    client.headers = {}
    for path, method, operation in every:
        answer = send(client, path, method, operation, names, {})
        assert answer.status_code == 401, (method, path, answer.text)


def test_without_the_scope_nothing_is_done(client, owner, every, names):
    for path, method, operation in every:
        name = operation["operationId"]
        missing = "write" if name in ADMIN else "read" if name in WRITE else None
        if missing is not None:
            answer = send(client, path, method, operation, names, owner[missing])
            assert answer.status_code == 403, (method, path, answer.text)


def test_every_route_that_changes_something_is_in_the_matrix(every):
    changing = {
        operation["operationId"] for _, method, operation in every if method not in ("get",)
    }

    assert changing - ADMIN - WRITE == {"predict"}


def test_nothing_of_the_owner_was_lost(client, owner, names):
    client.headers = owner["admin"]
    assert client.get(f"/v1/datasets/{names['dataset_id']}").status_code == 200
    assert client.get(f"/v1/jobs/{names['job_id']}").json()["state"] == "succeeded"
    listed = {one["id"]: one for one in client.get("/v1/keys").json()["data"]}
    assert listed[names["key_id"]]["revoked_at"] is None
