"""Uploads: streamed into storage, capped, and gone without trace when they break off."""

import hashlib
import socket
import time

import pytest
from sqlalchemy import func, select

from store import blobs
from store.tables import Blob, BlobChunk, Upload
from tests.api.conftest import upload

MIB = 2**20


def rows(sessions, project_id):
    """How many uploads the project has, and how many unfinished blobs there are."""
    with sessions.begin() as session:
        own = select(func.count()).select_from(Upload).where(Upload.project_id == project_id)
        drafts = select(func.count()).select_from(Blob).where(Blob.sha256.is_(None))
        return session.scalar(own), session.scalar(drafts)


def test_an_upload_is_described_by_its_bytes(http, sessions):
    content = bytes(range(256)) * 20_000

    answer = http.post("/v1/uploads?filename=a.bin", content=content)

    assert answer.status_code == 201
    made = answer.json()
    assert made["filename"] == "a.bin"
    assert made["bytes"] == len(content)
    assert made["sha256"] == hashlib.sha256(content).hexdigest()
    with sessions.begin() as session:
        assert b"".join(blobs.read(session, made["sha256"])) == content


def test_a_body_without_a_length_is_taken_too(http):
    content = b"x" * (3 * MIB + 7)
    parts = (content[at : at + 100_000] for at in range(0, len(content), 100_000))

    answer = http.post("/v1/uploads?filename=a.csv", content=parts)

    assert answer.json()["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "name", ["", "a/b", "a\\b", "..", ".", "a\nb", " ", "x" * 201, "\x7f"], ids=repr
)
def test_a_name_that_is_no_file_name(http, name):
    answer = http.post("/v1/uploads", params={"filename": name}, content=b"x")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/query/filename"


def test_an_empty_file_is_none(http, sessions, caller):
    answer = http.post("/v1/uploads?filename=a.csv", content=b"")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == "empty"
    assert rows(sessions, caller.project_id)[0] == 0


def test_a_name_is_needed(http):
    assert http.post("/v1/uploads", content=b"x").status_code == 422


@pytest.mark.parametrize("declared", [True, False])
def test_an_upload_over_the_cap_leaves_nothing(http, sessions, caller, declared):
    content = b"x" * (21 * MIB)
    body = content if declared else (content[at : at + MIB] for at in range(0, len(content), MIB))

    answer = http.post("/v1/uploads?filename=a.csv", content=body)

    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"
    assert rows(sessions, caller.project_id) == (0, 0)


def test_the_same_bytes_are_stored_once(http, sessions):
    content = b"the same" * MIB
    upload(http, content)
    with sessions.begin() as session:
        before = session.scalar(select(func.count()).select_from(BlobChunk))

    upload(http, content)

    with sessions.begin() as session:
        assert session.scalar(select(func.count()).select_from(BlobChunk)) == before


def wait_until(true, seconds=30):
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it did not come to pass"
        time.sleep(0.05)


def test_an_upload_that_breaks_off_leaves_nothing(server, sessions, caller):
    head = (
        f"POST /v1/uploads?filename=a.csv HTTP/1.1\r\nHost: x\r\nContent-Length: {16 * MIB}\r\n"
        f"Authorization: {caller['write']['Authorization']}\r\n\r\n"
    ).encode()
    with socket.create_connection(server.address, timeout=10) as connection:
        connection.sendall(head + b"y" * (9 * MIB))
        wait_until(lambda: rows(sessions, caller.project_id) == (0, 1))

    wait_until(lambda: rows(sessions, caller.project_id) == (0, 0))


def test_a_length_over_the_cap_is_refused_before_the_body(server, caller):
    head = (
        f"POST /v1/uploads?filename=a.csv HTTP/1.1\r\nHost: x\r\nContent-Length: {2**40}\r\n"
        f"Authorization: {caller['write']['Authorization']}\r\n\r\n"
    ).encode()
    with socket.create_connection(server.address, timeout=10) as connection:
        connection.sendall(head)

        assert connection.recv(4096).startswith(b"HTTP/1.1 413")


def test_nobody_uploads_without_a_key(server):
    with socket.create_connection(server.address, timeout=10) as connection:
        connection.sendall(
            b"POST /v1/uploads?filename=a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
        )

        assert connection.recv(4096).startswith(b"HTTP/1.1 401")
