"""Whatever goes wrong leaves as application/problem+json, and says nothing of our inside."""

import errno
import json
import logging

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, TimeoutError as PoolTimeout

from api.errors import respond, translate
from core.errors import AppError, Conflict, Invalid, Problem, StorageFull, Unavailable
from tests.api.conftest import SPEC, dataset


def is_problem(answer, status):
    """Whether an answer is a complete problem document of that status."""
    body = answer.json()
    return (
        answer.status_code == status
        and answer.headers["content-type"] == "application/problem+json"
        and body["status"] == status
        and set(body) == {"type", "title", "status", "code", "detail", "errors", "request_id"}
        and body["request_id"] == answer.headers["x-request-id"]
    )


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"[1, 2",
        b'{"name": "a",}',
        b'\xff\xfe{"name": 1}',
        b'{"name": "a", "name": "b"}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 70 + b"1" + b"}" * 70,
        b'{"name": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: body[:12].decode("latin-1"),
)
@pytest.mark.parametrize("path", ["/v1/datasets", "/v1/jobs", "/v1/keys"])
def test_a_body_that_cannot_be_read(http, path, body):
    answer = http.post(path, content=body, headers={"Content-Type": "application/json"})

    assert is_problem(answer, 422 if body == b"" and path != "/v1/jobs" else 400)


@pytest.mark.parametrize("name", ["a\x00b", "a\ud800b"])
def test_text_that_cannot_be_stored_is_named_with_its_place(http, name):
    body = json.dumps({"name": name})

    answer = http.post("/v1/keys", content=body, headers={"Content-Type": "application/json"})

    assert is_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == "/name"


@pytest.mark.parametrize("value", ["1e999", "-1e999", "NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_not_finite_is_refused(http, value):
    body = f'{{"name": "a", "scopes": [{value}]}}'

    answer = http.post("/v1/keys", content=body, headers={"Content-Type": "application/json"})

    assert is_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == "/scopes/0"


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data", ""])
@pytest.mark.parametrize("path", ["/v1/datasets", "/v1/jobs", "/v1/keys", "/v1/projects"])
def test_a_body_of_another_kind(http, path, kind):
    answer = http.post(path, content=b"{}", headers={"Content-Type": kind})

    assert is_problem(answer, 415)


def test_a_field_that_is_not_known_and_one_that_is_missing(http):
    answer = http.post("/v1/datasets", json={"nam": "a", "uploads": []})

    assert is_problem(answer, 422)
    found = {problem["pointer"]: problem["code"] for problem in answer.json()["errors"]}
    assert found == {"/nam": "extra_forbidden", "/name": "missing", "/uploads": "too_short"}


def test_values_are_not_converted(http):
    answer = http.post("/v1/keys", json={"name": 7})

    assert is_problem(answer, 422)
    assert answer.json()["errors"][0]["got"] == "7"


def test_a_yaml_bomb_is_refused_before_it_grows(http):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in ABC]
    bomb = "\n".join(lines)

    answer = http.post("/v1/jobs", content=bomb, headers={"Content-Type": "application/yaml"})

    assert is_problem(answer, 400)
    assert "alias" in answer.text


ABC = list(zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize("text", ["a: !!python/object/apply:os.system [ls]", "a: [", "a: 1\na: 2"])
def test_yaml_that_is_no_document(http, text):
    answer = http.post("/v1/jobs", content=text, headers={"Content-Type": "application/yaml"})

    assert is_problem(answer, 400)


@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"17"])
def test_a_document_that_is_no_mapping(http, body):
    for path in ("/v1/jobs", "/v1/datasets"):
        answer = http.post(path, content=body, headers={"Content-Type": "application/json"})

        assert is_problem(answer, 422)


def test_a_body_over_the_cap_by_its_own_word(make_http):
    http = make_http(max_body_bytes=1000)

    answer = http.post("/v1/keys", json={"name": "a" * 2000})

    assert is_problem(answer, 413)


def test_a_body_over_the_cap_by_count(make_http):
    http = make_http(max_body_bytes=1000)
    parts = (b"x" * 100 for _ in range(100))

    answer = http.post("/v1/keys", content=parts, headers={"Content-Type": "application/json"})

    assert is_problem(answer, 413)


def test_a_path_that_is_not_there(http):
    assert is_problem(http.get("/v1/nothing"), 404)
    assert is_problem(http.get("/nothing"), 404)
    assert is_problem(http.get("/v1/jobs/"), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/jobs", "GET, POST"),
        ("DELETE", "/v1/jobs", "GET, POST"),
        ("POST", "/v1/jobs/job_1", "GET"),
        ("PATCH", "/v1/datasets/people", "DELETE, GET"),
        ("OPTIONS", "/v1/datasets", "GET, POST"),
        ("GET", "/v1/uploads", "POST"),
        ("POST", "/healthz", "GET"),
    ],
)
def test_a_method_that_a_path_has_not(http, method, path, allowed):
    answer = http.request(method, path)

    assert is_problem(answer, 405)
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/v1/jobs/%00", "/v1/datasets/a%00b", "/v1/jobs/%ff%fe/events"])
def test_an_id_that_no_row_can_have(http, path):
    assert is_problem(http.get(path), 404)


def test_a_request_id_is_kept_where_it_is_a_plain_word(http):
    kept = http.get("/v1/queue", headers={"X-Request-ID": "run-7.a_b"})
    made = http.get("/v1/queue", headers={"X-Request-ID": "two words\t"})

    assert kept.headers["x-request-id"] == "run-7.a_b"
    assert made.headers["x-request-id"] not in ("two words\t", "two words")


def test_every_answer_carries_safe_headers(http):
    for path in ("/v1/queue", "/v1/nothing", "/healthz", "/openapi.json", "/v1/jobs/job_x"):
        headers = http.get(path).headers

        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


@pytest.fixture
def broken(app: FastAPI, caller, make_http):
    """A client of an application whose queue route fails as the test says."""

    def fail(error: Exception) -> TestClient:
        http = make_http()

        def answer():
            raise error

        http.app.add_api_route("/v1/broken", answer)
        return http

    return fail


def test_a_fault_of_ours_says_nothing_of_it(broken, caplog):
    http = broken(ValueError("the secret is 42"))

    with caplog.at_level(logging.INFO):
        answer = http.get("/v1/broken", headers={"X-Request-ID": "find-me"})

    assert is_problem(answer, 500)
    assert "42" not in answer.text
    assert "ValueError" not in answer.text
    [record] = [record for record in caplog.records if record.exc_info]
    assert record.request_id == "find-me"


def test_a_full_disk(broken):
    answer = broken(OSError(errno.ENOSPC, "No space left on device")).get("/v1/broken")

    assert is_problem(answer, 507)


def test_a_database_that_is_gone(make_http, tmp_path):
    http = make_http(database_url="postgresql://127.0.0.1:1/absent")

    answer = http.get("/v1/queue")

    assert is_problem(answer, 503)
    assert int(answer.headers["retry-after"]) >= 1
    assert "127.0.0.1" not in answer.text


def lost():
    return OperationalError("", {}, Exception("gone"), connection_invalidated=True)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (lost(), Unavailable),
        (PoolTimeout("QueuePool limit"), Unavailable),
        (OperationalError("", {}, Exception("database or disk is full")), StorageFull),
        (IntegrityError("INSERT", {}, Exception("FOREIGN KEY constraint failed")), Conflict),
        (DataError("INSERT", {}, Exception("integer out of range")), Invalid),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), StorageFull),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_what_the_database_says_becomes_an_error_of_ours(error, kind):
    assert type(translate(error)) is kind


def test_a_mistake_in_a_statement_is_ours():
    database = create_engine("sqlite://")
    with database.connect() as connection, pytest.raises(OperationalError) as caught:
        connection.execute(text("SELECT nothing FROM nowhere"))
    database.dispose()

    assert respond(caught.value, "id").status_code == 500


def test_what_cannot_be_written_as_json_is_told_all_the_same():
    problem = Problem("/a", "x", "lone \ud800", expected=float("nan"), got={"a": float("inf")})

    answer = respond(Invalid([problem]), "id")

    body = json.loads(answer.body)
    assert body["errors"][0]["expected"] == {"value": None, "nonfinite": "nan"}


def test_every_error_class_has_a_status_and_a_code():
    kinds, waiting = set(), [AppError]
    while waiting:
        kind = waiting.pop()
        kinds.add(kind)
        waiting += [one for one in kind.__subclasses__() if one.__module__ == "core.errors"]

    assert all(400 <= kind.status <= 599 and kind.code and kind.title for kind in kinds)
    assert len({kind.code for kind in kinds}) == len(kinds)


def test_a_spec_whose_name_is_odd_is_still_listed(http):
    dataset(http)
    http.post("/v1/jobs", json={**SPEC, "name": "наука 🧪 \u202e"})

    assert http.get("/v1/jobs").json()["data"][0]["name"] == "наука 🧪 \u202e"
