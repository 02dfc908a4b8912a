import pytest

from core.errors import NotFound
from store import artifacts, blobs
from tests import factories


@pytest.fixture
def claim(session):
    return factories.claim(session)


def add(session, claim, name, data=b"bytes"):
    ref = blobs.write(session, data)
    return artifacts.add(session, claim, name=name, blob=ref, media_type="text/plain")


def test_add_and_get(session, claim):
    made = add(session, claim, "report.txt", b"all is well")

    found = artifacts.get(session, claim.job_id, "report.txt")

    assert found.id == made.id
    assert (found.media_type, found.bytes) == ("text/plain", 11)
    assert b"".join(blobs.read(session, found.sha256)) == b"all is well"


def test_a_second_attempt_replaces_the_file(session, claim):
    first = add(session, claim, "report.txt", b"one").sha256
    second = add(session, claim, "report.txt", b"two").sha256

    assert first != second
    assert [file.sha256 for file in artifacts.list_(session, claim.job_id)] == [second]


def test_list_is_in_order_of_names(session, claim):
    for name in ("b", "a", "c"):
        add(session, claim, name)

    assert [file.name for file in artifacts.list_(session, claim.job_id)] == ["a", "b", "c"]


def test_get_a_file_that_does_not_exist(session, claim):
    with pytest.raises(NotFound, match=r"file absent\.txt"):
        artifacts.get(session, claim.job_id, "absent.txt")
