import threading

import pytest

from core.errors import BadRequest, IdempotencyConflict, NotFound
from store import idempotency, jobs
from store.clock import later
from store.idempotency import Response
from store.tables import IdempotencyKey, Job
from tests import factories

ANSWER = Response(201, '{"id": "job_1"}', {"Location": "/v1/jobs/job_1"})


def names(project_id, key="k", route="POST /v1/jobs"):
    return {"project_id": project_id, "route": route, "key": key}


@pytest.fixture
def owner(session):
    return factories.project(session).id


def test_the_first_answer_is_given_again(session, owner):
    assert idempotency.begin(session, **names(owner), request_hash="a") is None
    idempotency.save(session, **names(owner), response=ANSWER)

    assert idempotency.begin(session, **names(owner), request_hash="a") == ANSWER


def test_another_request_under_the_same_key(session, owner):
    idempotency.begin(session, **names(owner), request_hash="a")
    idempotency.save(session, **names(owner), response=ANSWER)

    with pytest.raises(IdempotencyConflict, match="use a new key"):
        idempotency.begin(session, **names(owner), request_hash="b")


def test_a_request_that_is_still_at_work(session, owner):
    idempotency.begin(session, **names(owner), request_hash="a")

    with pytest.raises(IdempotencyConflict, match="still at work"):
        idempotency.begin(session, **names(owner), request_hash="a")


@pytest.mark.parametrize("change", ["project_id", "route", "key"])
def test_keys_are_apart(session, owner, change):
    idempotency.begin(session, **names(owner), request_hash="a")
    other = factories.project(session).id if change == "project_id" else "other"

    assert idempotency.begin(session, **names(owner) | {change: other}, request_hash="b") is None


@pytest.mark.parametrize("key", ["", "k" * 256, "a\nb", "a\x00b"])
def test_a_key_that_will_not_do(session, owner, key):
    with pytest.raises(BadRequest, match="1 to 255 printable"):
        idempotency.begin(session, **names(owner, key), request_hash="a")


def test_a_request_that_fails_leaves_the_key_free(own_sessions):
    with own_sessions.begin() as session:
        owner = factories.project(session).id

    def post():
        with own_sessions.begin() as session:
            idempotency.begin(session, **names(owner), request_hash="a")
            jobs.load(session, "job_none")

    with pytest.raises(NotFound):
        post()

    with own_sessions.begin() as session:
        assert idempotency.begin(session, **names(owner), request_hash="b") is None


def test_prune(session, owner):
    for key in ("old", "new"):
        idempotency.begin(session, **names(owner, key), request_hash="a")
    session.get(IdempotencyKey, (owner, "POST /v1/jobs", "old")).created_at = later(-90_000)
    session.flush()

    assert idempotency.prune(session) == 1
    assert idempotency.begin(session, **names(owner, "old"), request_hash="b") is None


def test_requests_sent_at_once_make_one_job(own_sessions):
    with own_sessions.begin() as session:
        owner = factories.project(session).id
    answers, failures = [], []
    start = threading.Barrier(6)

    def post():
        start.wait(10)
        try:
            with own_sessions.begin() as session:
                known = idempotency.begin(session, **names(owner), request_hash="a")
                if known is None:
                    made = factories.job(session, project_id=owner)
                    known = Response(201, made.id)
                    idempotency.save(session, **names(owner), response=known)
            answers.append(known)
        except IdempotencyConflict as error:
            failures.append(error)

    threads = [threading.Thread(target=post) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(answers) + len(failures) == 6
    assert len(answers) >= 1
    with own_sessions() as session:
        made = session.query(Job).all()
    assert {answer.body for answer in answers} == {job.id for job in made}
    assert len(made) == 1
