from core.ids import new_id
from store import workers
from store.clock import later
from store.tables import Worker


def beat(session, worker_id, **given):
    values = {"host": "here", "pid": 7, "device": "cpu"} | given
    workers.beat(session, worker_id, **values)


def test_beat_makes_and_renews_the_row(session):
    name = new_id("wrk")
    beat(session, name, threads=2)
    born = workers.list_(session)[0].created_at

    beat(session, name, job_id="job_1", threads=4)

    found = workers.list_(session)
    assert [(row.id, row.job_id, row.info) for row in found] == [(name, "job_1", {"threads": 4})]
    assert found[0].created_at == born
    assert found[0].seen_at >= born


def test_list_leaves_out_workers_not_heard_of(session):
    old, new = new_id("wrk"), new_id("wrk")
    beat(session, old)
    beat(session, new)
    session.get_one(Worker, old).seen_at = later(-100)
    session.flush()

    assert [row.id for row in workers.list_(session, seen_within_seconds=60)] == [new]
    assert len(workers.list_(session, seen_within_seconds=200)) == 2
    assert workers.prune(session, older_than_seconds=60) == 1
    assert [row.id for row in workers.list_(session, seen_within_seconds=200)] == [new]


def test_leave(session):
    name = new_id("wrk")
    beat(session, name)

    workers.leave(session, name)

    assert workers.list_(session) == []
