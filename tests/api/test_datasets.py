"""Datasets over HTTP: made of uploads, versioned, previewed, deleted."""

import io
import json

import numpy as np
import pytest

from tests.api.conftest import TABLE, dataset, job, upload


def staged(http):
    """What lies in the folder for files that are being read."""
    folder = http.app.state.service.settings.data_dir / "staging"
    return list(folder.iterdir()) if folder.exists() else []


def test_a_dataset_says_what_its_columns_hold(http):
    made = dataset(http)

    version = made["version"]
    assert (made["name"], version["number"], version["format"]) == ("people", 1, "csv")
    assert version["rows"] == 60
    assert [file["name"] for file in version["files"]] == ["people.csv"]
    assert version["files"][0]["bytes"] == len(TABLE)
    columns = {column["name"]: column for column in version["columns"]}
    assert list(columns) == ["age", "city", "label"]
    assert columns["age"]["min"] == 20.0
    assert columns["city"]["distinct"] == 3
    assert staged(http) == []


def test_a_dataset_is_found_by_id_and_by_name(http):
    made = dataset(http)

    assert http.get(f"/v1/datasets/{made['id']}").json() == made
    assert http.get("/v1/datasets/people").json() == made


def test_a_dataset_of_arrays_of_several_files(http):
    def npz(count):
        file = io.BytesIO()
        np.savez(file, image=np.ones((count, 4, 4), np.uint8), label=np.arange(count) % 2)
        return file.getvalue()

    uploads = [upload(http, npz(count), f"{count}.npz") for count in (20, 30)]

    answer = http.post("/v1/datasets", json={"name": "images", "uploads": uploads})

    assert answer.status_code == 201, answer.text
    version = answer.json()["version"]
    assert (version["format"], version["rows"], len(version["files"])) == ("npz", 50, 2)
    preview = http.get("/v1/datasets/images/preview?limit=1").json()
    assert preview["rows"] == [{"image": [[1] * 4] * 4, "label": 0}]


def test_options_say_how_a_file_is_read(http):
    content = TABLE.replace(b",", b";").split(b"\n", 1)[1]
    body = {
        "name": "people",
        "uploads": [upload(http, content)],
        "format": "csv",
        "options": {"header": False, "names": ["age", "city", "label"], "delimiter": ";"},
    }

    answer = http.post("/v1/datasets", json=body)

    assert answer.status_code == 201, answer.text
    assert answer.json()["version"]["options"] == body["options"]
    assert http.get("/v1/datasets/people/preview?limit=1").json()["rows"] == [
        {"age": 20, "city": "Bern", "label": "no"}
    ]


@pytest.mark.parametrize(
    ("content", "filename", "pointer"),
    [
        (b"a,b\n1,2\n3\n", "a.csv", "/files/0/rows/2"),
        (b"PAR1 but not really", "a.parquet", "/files/0"),
        (b"PK\x03\x04 torn", "a.npz", "/files/0"),
        (b"a,a\n1,2\n", "a.csv", "/files/0"),
        (b"\x80\x04\x95 a pickle", "a.npz", "/files/0"),
    ],
    ids=["short row", "parquet", "npz", "twice", "pickle"],
)
def test_a_bad_file_is_refused_with_the_place_and_leaves_nothing(http, content, filename, pointer):
    body = {"name": "people", "uploads": [upload(http, content, filename)]}

    answer = http.post("/v1/datasets", json=body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith(pointer)
    assert http.get("/v1/datasets").json()["data"] == []
    assert staged(http) == []


def test_a_pickle_inside_an_npz_is_refused(http):
    file = io.BytesIO()
    np.savez(file, a=np.array([{"x": 1}], dtype=object))

    answer = http.post(
        "/v1/datasets", json={"name": "a", "uploads": [upload(http, file.getvalue(), "a.npz")]}
    )

    assert answer.status_code == 422


def test_options_that_do_not_exist(http):
    body = {"name": "people", "uploads": [upload(http)], "options": {"separator": ";"}}

    answer = http.post("/v1/datasets", json=body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/options/separator"


def test_an_upload_that_is_not_there_is_named(http, other):
    foreign = http.post("/v1/uploads?filename=a.csv", content=TABLE, headers=other["write"]).json()[
        "id"
    ]

    for absent in ("upl_absent", foreign):
        body = {"name": "people", "uploads": [upload(http), absent]}
        answer = http.post("/v1/datasets", json=body)

        assert answer.status_code == 404
        assert answer.json()["errors"][0]["pointer"] == "/uploads/1"
    assert http.get("/v1/datasets").json()["data"] == []


def test_a_name_that_is_taken(http):
    dataset(http)

    answer = http.post("/v1/datasets", json={"name": "people", "uploads": [upload(http)]})

    assert answer.status_code == 409
    assert "version" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a@2", "ä", "-a", "ds_x", "dsv_x", "x" * 101])
def test_a_name_that_cannot_be_referred_to(http, name):
    answer = http.post("/v1/datasets", json={"name": name, "uploads": [upload(http)]})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/name"


def test_projects_do_not_share_names(http, other):
    dataset(http)

    made = http.post("/v1/uploads?filename=a.csv", content=TABLE, headers=other["write"]).json()
    answer = http.post(
        "/v1/datasets", json={"name": "people", "uploads": [made["id"]]}, headers=other["write"]
    )

    assert answer.status_code == 201


def test_versions_are_numbered_and_the_newest_is_used(http):
    dataset(http)
    grown = TABLE + b"33,Rome,yes\n"

    answer = http.post("/v1/datasets/people/versions", json={"uploads": [upload(http, grown)]})

    assert answer.status_code == 201
    assert (answer.json()["version"]["number"], answer.json()["version"]["rows"]) == (2, 61)
    versions = http.get("/v1/datasets/people/versions").json()["data"]
    assert [(one["number"], one["rows"]) for one in versions] == [(2, 61), (1, 60)]
    assert http.get("/v1/datasets/people").json()["version"]["number"] == 2
    assert job(http)["dataset"]["version"] == 2


def test_a_version_of_a_dataset_that_is_not_there(http):
    answer = http.post("/v1/datasets/absent/versions", json={"uploads": [upload(http)]})

    assert answer.status_code == 404


def test_a_list_is_paged(http):
    for name in ("a", "b", "c"):
        dataset(http, name)

    first = http.get("/v1/datasets?limit=2").json()
    second = http.get("/v1/datasets", params={"limit": 2, "cursor": first["next_cursor"]}).json()

    assert [one["name"] for one in first["data"] + second["data"]] == ["c", "b", "a"]
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert first["data"][0]["version"]["columns"][0] == {"name": "age", "type": "number"}


def test_a_preview_shows_missing_and_infinite_values(http):
    rows = b"a,b\n1,x\n,y\ninf,\n" + b"2,z\n" * 30
    dataset(http, "holes", rows)

    found = http.get("/v1/datasets/holes/preview?limit=3").json()

    assert found["columns"] == ["a", "b"]
    assert found["rows"] == [
        {"a": 1.0, "b": "x"},
        {"a": None, "b": "y"},
        {"a": {"value": None, "nonfinite": "inf"}, "b": None},
    ]
    assert staged(http) == []


@pytest.mark.parametrize("limit", [0, 101, "x"])
def test_a_preview_is_short(http, limit):
    dataset(http)

    assert http.get(f"/v1/datasets/people/preview?limit={limit}").status_code == 422


def test_a_deleted_dataset_is_gone_and_its_name_is_free(http):
    made = dataset(http)

    answer = http.delete("/v1/datasets/people")

    assert (answer.status_code, answer.content) == (204, b"")
    for path in ("", "/versions", "/preview"):
        assert http.get(f"/v1/datasets/{made['id']}{path}").status_code == 404
    assert http.delete("/v1/datasets/people").status_code == 404
    assert dataset(http)["id"] != made["id"]


def test_a_dataset_that_a_job_waits_for_stays(http):
    made = job(http)

    answer = http.delete("/v1/datasets/people")
    assert answer.status_code == 409
    assert made["id"] in answer.json()["detail"]

    http.post(f"/v1/jobs/{made['id']}/cancel")
    assert http.delete("/v1/datasets/people").status_code == 204
    assert http.get(f"/v1/jobs/{made['id']}").json()["dataset"]["name"] == "people"


def test_a_dataset_larger_than_allowed_is_refused_with_the_limit(make_http):
    http = make_http(max_rows=50)

    answer = http.post("/v1/datasets", json={"name": "people", "uploads": [upload(http)]})

    assert answer.status_code == 422
    assert "50 rows" in answer.json()["detail"]
    assert staged(http) == []


def test_what_a_killed_process_left_is_removed_at_the_next_start(make_http, tmp_path):
    import os

    old = tmp_path / "data" / "staging" / "read-old"
    new = tmp_path / "data" / "staging" / "read-new"
    for path in (old, new):
        path.mkdir(parents=True)
        (path / "0").write_text("bytes")
    os.utime(old, (0, 0))

    make_http(data_dir=tmp_path / "data")

    assert not old.exists()
    assert new.exists()


def test_a_body_is_as_the_schema_says(http):
    body = {"name": "people", "uploads": "upl_1", "format": "xlsx"}

    answer = http.post(
        "/v1/datasets", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )

    assert {problem["pointer"] for problem in answer.json()["errors"]} == {"/uploads", "/format"}
