"""Who may come in: keys, scopes, revocation, and those who guess."""

import time
import zlib

import pytest

from api.limits import Bucket
from store import keys
from tests.api.conftest import job


def wrong(token):
    """A well-formed token that nobody has: right checksum, wrong secret."""
    name = token.split("_")[1]
    body = f"gw_{name}_{'A' * 43}"
    return f"{body}_{zlib.crc32(body.encode()):08x}"


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer nonsense", "Basic Z3c6Z3c=", "gw_x", "Bearer gw_\xff"],
    ids=repr,
)
def test_without_a_key_nothing_is_said(client, header):
    client.headers = {}
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}

    for path in ("/v1/jobs", "/v1/schemas/job", "/v1/nothing", "/v1"):
        answer = client.get(path, headers=headers)

        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["code"] == "unauthorized"


def test_health_and_description_need_no_key(client):
    client.headers = {}

    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        assert client.get(path).status_code == 200


def test_a_wrong_secret_is_refused(http, caller):
    header = {"Authorization": f"Bearer {wrong(caller.tokens['read'])}"}

    assert http.get("/v1/jobs", headers=header).status_code == 401


def test_scopes_open_what_they_say(http, caller):
    made = job(http)
    cancel = f"/v1/jobs/{made['id']}/cancel"

    assert http.get("/v1/jobs", headers=caller["read"]).status_code == 200
    assert http.get("/v1/jobs", headers=caller["write"]).status_code == 200
    assert http.post(cancel, headers=caller["read"]).status_code == 403
    assert http.get("/v1/keys", headers=caller["write"]).status_code == 403
    assert http.get("/v1/keys", headers=caller["admin"]).status_code == 200
    assert http.post(cancel, headers=caller["write"]).status_code == 200


def test_a_refused_scope_is_named(http, caller):
    answer = http.post("/v1/keys", json={"name": "a"}, headers=caller["read"])

    assert answer.status_code == 403
    assert "admin" in answer.json()["detail"]


def test_a_key_is_shown_once(http):
    made = http.post("/v1/keys", json={"name": "laptop", "scopes": ["read"]})

    assert made.status_code == 201
    token = made.json()["token"]
    assert keys.TOKEN.fullmatch(token)
    mine = {"Authorization": f"Bearer {token}"}
    assert http.get("/v1/queue", headers=mine).status_code == 200
    listed = http.get("/v1/keys")
    assert token not in listed.text
    [found] = [one for one in listed.json()["data"] if one["id"] == made.json()["id"]]
    assert (found["name"], found["scopes"]) == ("laptop", ["read"])
    assert "token" not in found


def test_a_revoked_key_is_refused_at_once(http):
    made = http.post("/v1/keys", json={"name": "laptop"}).json()
    mine = {"Authorization": f"Bearer {made['token']}"}
    assert http.get("/v1/queue", headers=mine).status_code == 200

    assert http.delete(f"/v1/keys/{made['id']}").status_code == 204

    assert http.get("/v1/queue", headers=mine).status_code == 401
    [found] = [one for one in http.get("/v1/keys").json()["data"] if one["id"] == made["id"]]
    assert found["revoked_at"] is not None


def test_a_key_revoked_elsewhere_is_refused_within_half_a_second(http, sessions, caller):
    made = http.post("/v1/keys", json={"name": "laptop"}).json()
    mine = {"Authorization": f"Bearer {made['token']}"}
    assert http.get("/v1/queue", headers=mine).status_code == 200
    with sessions.begin() as session:
        keys.revoke(session, project_id=caller.project_id, key_id=made["id"])

    time.sleep(0.6)

    assert http.get("/v1/queue", headers=mine).status_code == 401


def test_a_key_that_has_expired(http):
    made = http.post("/v1/keys", json={"name": "old", "expires_at": "2020-01-01T00:00:00Z"})

    assert made.status_code == 201
    mine = {"Authorization": f"Bearer {made.json()['token']}"}
    assert http.get("/v1/queue", headers=mine).status_code == 401


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"name": "a", "scopes": []}, "/scopes"),
        ({"name": "a", "scopes": ["root"]}, "/scopes/0"),
        ({"name": "a", "expires_at": "2030-01-01T00:00:00"}, "/expires_at"),
        ({"name": "a", "expires_at": "soon"}, "/expires_at"),
    ],
)
def test_a_key_that_cannot_be(http, body, pointer):
    answer = http.post("/v1/keys", json=body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_the_use_of_a_key_is_noted(http, caller):
    http.get("/v1/queue", headers=caller["read"])

    found = {one["name"]: one for one in http.get("/v1/keys").json()["data"]}

    assert found["read"]["last_used_at"] is not None
    assert found["write"]["last_used_at"] is None


def test_a_project_is_made_with_a_key_that_sees_it_alone(http, caller):
    job(http)

    made = http.post("/v1/projects", json={"name": f"new {caller.project_id}"})

    assert made.status_code == 201
    first = {"Authorization": f"Bearer {made.json()['key']['token']}"}
    assert http.get("/v1/jobs", headers=first).json()["data"] == []
    assert http.get("/v1/projects", headers=first).json()["data"] == [
        {name: made.json()[name] for name in ("id", "name", "created_at")}
    ]
    assert [one["id"] for one in http.get("/v1/projects").json()["data"]] == [caller.project_id]


def test_a_project_name_that_is_taken(http, caller):
    name = {"name": f"twice {caller.project_id}"}
    http.post("/v1/projects", json=name)

    assert http.post("/v1/projects", json=name).status_code == 409


def test_who_guesses_is_slowed_down_and_neighbours_are_not(make_http, caller):
    http = make_http()
    guess = {"Authorization": f"Bearer {wrong(caller.tokens['read'])}"}
    assert http.get("/v1/queue").status_code == 200

    answers = [http.get("/v1/queue", headers=guess) for _ in range(40)]

    assert [answer.status_code for answer in answers[:30]] == [401] * 30
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    time.sleep(0.6)  # the good key is looked up again
    assert http.get("/v1/queue").status_code == 200


def test_requests_without_a_key_are_not_guesses(make_http):
    http = make_http()
    del http.headers["Authorization"]

    assert {http.get("/v1/queue").status_code for _ in range(50)} == {401}


def test_a_bucket_fills_again():
    bucket = Bucket(burst=2, per_second=20)
    bucket.take("a")
    bucket.take("a")

    assert bucket.empty("a")
    assert not bucket.empty("b")
    assert bucket.seconds_to_wait("a") == 1
    time.sleep(0.12)
    assert not bucket.empty("a")


def test_a_bucket_forgets_those_it_saw_longest_ago():
    bucket = Bucket(burst=1, per_second=0.001)
    for client in range(10_001):
        bucket.take(str(client))

    assert not bucket.empty("0")
    assert bucket.empty("10000")
