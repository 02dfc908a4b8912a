"""Files of jobs and models: whole, in parts, unchanged, and never run by a browser."""

import base64
import hashlib

import pytest
from sqlalchemy import select, update

from core.errors import Damaged
from store.tables import Artifact, Blob, BlobChunk, Chunk
from tests.api.conftest import PREDICTIONS, finish

SIZE = len(PREDICTIONS)
SHA256 = hashlib.sha256(PREDICTIONS).hexdigest()


@pytest.fixture
def http(client, owner):
    client.headers = owner["admin"]
    return client


@pytest.fixture
def path(finished):
    return f"/v1/jobs/{finished['id']}/files/predictions.csv"


def test_the_files_of_a_job_are_described(http, finished):
    found = http.get(f"/v1/jobs/{finished['id']}/files").json()["data"]

    assert [file["name"] for file in found] == [
        "manifest.json", "model.safetensors", "predictions.csv",
    ]  # fmt: skip
    assert (found[2]["bytes"], found[2]["sha256"]) == (SIZE, SHA256)
    assert found[2]["media_type"] == "text/csv"


def test_the_files_of_a_model_are_those_of_its_job(http, finished):
    of_job = http.get(f"/v1/jobs/{finished['id']}/files").json()
    of_model = http.get(f"/v1/models/{finished['model_id']}/files").json()

    assert of_model == of_job


def test_a_whole_file(http, path):
    answer = http.get(path)

    assert answer.status_code == 200
    assert answer.content == PREDICTIONS
    assert answer.headers["content-length"] == str(SIZE)
    assert answer.headers["etag"] == f'"{SHA256}"'
    digest = base64.b64encode(hashlib.sha256(PREDICTIONS).digest()).decode()
    assert answer.headers["repr-digest"] == f"sha-256=:{digest}:"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''predictions.csv"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-299", 100, 300),
        ("bytes=1048570-1048580", 1048570, 1048581),
        ("bytes=1200000-", 1200000, SIZE),
        ("bytes=-1000", SIZE - 1000, SIZE),
        (f"bytes=-{SIZE * 2}", 0, SIZE),
        (f"bytes=5-{SIZE * 2}", 5, SIZE),
        ("bytes = 1 - 2", 1, 3),
    ],
)
def test_a_part_of_a_file(http, path, asked, start, end):
    answer = http.get(path, headers={"Range": asked})

    assert answer.status_code == 206
    assert answer.content == PREDICTIONS[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(end - start)
    assert answer.headers["etag"] == f'"{SHA256}"'


@pytest.mark.parametrize(
    "asked", ["bytes=5-2", "bytes=-", "bytes=a-b", "rows=0-5", "bytes=0-1,5-6", "bytes 0-1", ""]
)
def test_a_range_that_is_none_gets_the_whole_file(http, path, asked):
    answer = http.get(path, headers={"Range": asked})

    assert (answer.status_code, len(answer.content)) == (200, SIZE)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE + 5}-{SIZE + 9}", "bytes=-0"])
def test_a_range_outside_the_file(http, path, asked):
    answer = http.get(path, headers={"Range": asked})

    assert answer.status_code == 416
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["content-range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize(
    ("known", "status"),
    [(f'"{SHA256}"', 206), (f'W/"{SHA256}"', 200), ('"another"', 200), ("yesterday", 200)],
)
def test_a_part_is_sent_only_of_the_file_that_was_begun(http, path, known, status):
    answer = http.get(path, headers={"Range": "bytes=0-9", "If-Range": known})

    assert answer.status_code == status


@pytest.mark.parametrize(
    ("known", "status"),
    [(f'"{SHA256}"', 304), (f'"x", W/"{SHA256}"', 304), ("*", 304), ('"x"', 200)],
)
def test_a_file_that_is_there_already(http, path, known, status):
    answer = http.get(path, headers={"If-None-Match": known})

    assert answer.status_code == status
    assert answer.headers["etag"] == f'"{SHA256}"'


def test_parts_make_the_whole(http, path):
    step = 700_000
    parts = [
        http.get(path, headers={"Range": f"bytes={at}-{at + step - 1}"}).content
        for at in range(0, SIZE, step)
    ]

    assert hashlib.sha256(b"".join(parts)).hexdigest() == SHA256


def test_a_name_is_quoted(http, sessions, trained):
    finished = finish(http, sessions, trained)
    with sessions.begin() as session:
        session.execute(
            update(Artifact)
            .where(Artifact.job_id == finished["id"], Artifact.name == "manifest.json")
            .values(name='né"w\r\n.json')
        )

    answer = http.get(f"/v1/jobs/{finished['id']}/files/n%C3%A9%22w%0D%0A.json")

    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == (
        "attachment; filename*=UTF-8''n%C3%A9%22w%0D%0A.json"
    )


def test_a_file_that_is_not_there(http, finished):
    for path in (f"/v1/jobs/{finished['id']}", f"/v1/models/{finished['model_id']}"):
        assert http.get(f"{path}/files/absent").status_code == 404


def test_damaged_bytes_are_not_handed_out(http, sessions, finished):
    with sessions.begin() as session:
        second = (
            select(BlobChunk.chunk_sha256)
            .join(Blob, Blob.id == BlobChunk.blob_id)
            .where(Blob.sha256 == SHA256, BlobChunk.position == 1)
        )
        name = session.scalar(second)
        kept = session.scalar(select(Chunk.data).where(Chunk.sha256 == name))
        session.execute(update(Chunk).where(Chunk.sha256 == name).values(data=b"!" + kept[1:]))
    try:
        with pytest.raises(RuntimeError) as caught:  # the connection is cut
            http.get(f"/v1/jobs/{finished['id']}/files/predictions.csv")
        assert isinstance(caught.value.__cause__, Damaged)
    finally:
        with sessions.begin() as session:
            session.execute(update(Chunk).where(Chunk.sha256 == name).values(data=kept))
