import pytest

from core.errors import NotFound
from store import events, jobs
from tests import factories


@pytest.fixture
def job_id(session):
    return factories.job(session).id  # which has two events: validating, queued


def test_append(session, job_id):
    number = events.append(session, job_id, "log", {"level": "info", "message": "hello"})

    assert number == 3
    event = events.after(session, job_id, 2)[0]
    assert (event.seq, event.type) == (3, "log")
    assert event.data == {"level": "info", "message": "hello"}
    assert event.at is not None


def test_append_to_a_job_that_does_not_exist(session):
    with pytest.raises(NotFound):
        events.append(session, "job_none", "log", {})


def test_extend_keeps_the_order(session, job_id):
    added = [{"type": "log", "data": {"message": str(index)}} for index in range(50)]

    assert events.extend(session, job_id, added) == 52

    found = events.after(session, job_id, types=["log"])
    assert [event.data["message"] for event in found] == [str(index) for index in range(50)]
    assert [event.seq for event in found] == [*range(3, 53)]


def test_after_gives_a_page(session, job_id):
    events.extend(session, job_id, [{"type": "log", "data": {}}] * 8)

    assert [event.seq for event in events.after(session, job_id, 4, 3)] == [5, 6, 7]
    assert events.after(session, job_id, 10) == []


def test_events_of_some_types(session, job_id):
    events.extend(session, job_id, [{"type": "epoch", "data": {"step": 1}}])

    assert [event.type for event in events.after(session, job_id, types=["epoch"])] == ["epoch"]


def test_an_event_makes_a_new_version(session, job_id):
    before = jobs.load(session, job_id).version

    events.append(session, job_id, "log", {})

    assert jobs.load(session, job_id).version == before + 1


def test_any_text_can_be_logged(session, job_id):
    message = "a\x00b \ud800 ☃ \x1b[31m"
    events.append(session, job_id, "log", {"message": message, "loss": float("nan")})

    data = events.after(session, job_id, 2)[0].data

    assert data == {"message": message, "loss": {"value": None, "nonfinite": "nan"}}
