import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from core.errors import StorageFull, Unavailable
from store import events, jobs, projects
from store.clock import later, now
from store.session import SQLITE_SOUND, connect, sessions as make_sessions, sqlite_library
from store.tables import Project
from tests import factories

ROOT = Path(__file__).parents[2]


def test_the_sqlite_library_is_sound(tmp_path):
    engine = connect(f"sqlite:///{tmp_path}/a.db")

    with engine.connect() as connection:
        running = connection.scalar(text("SELECT sqlite_version()"))
        driver = type(connection.connection.driver_connection).__module__
    engine.dispose()

    assert tuple(map(int, running.split("."))) >= SQLITE_SOUND
    assert driver.startswith("sqlite3" if sqlite3.sqlite_version_info >= SQLITE_SOUND else "pysql")
    assert running == sqlite_library().sqlite_version


def test_sqlite_is_set_up_to_last(tmp_path):
    engine = connect(f"sqlite:///{tmp_path}/deep/er/a.db")

    with engine.connect() as connection:
        found = {
            name: connection.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    engine.dispose()

    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 15_000,
    }


on_sqlite = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


@on_postgresql
@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_postgresql_is_set_up_to_last(own_url, scheme):
    url = own_url.replace("postgresql", scheme, 1)
    engine = connect(f"{url}?options=-c%20work_mem%3D5MB", worker=True)

    with engine.connect() as connection:
        found = {
            name: connection.scalar(text(f"SHOW {name}"))
            for name in (
                "lock_timeout",
                "statement_timeout",
                "idle_in_transaction_session_timeout",
                "timezone",
                "application_name",
                "work_mem",
            )
        }
    engine.dispose()

    assert found == {
        "lock_timeout": "2s",
        "statement_timeout": "15s",
        "idle_in_transaction_session_timeout": "10s",
        "timezone": "UTC",
        "application_name": "gradworks-worker",
        "work_mem": "5MB",
    }


def test_a_database_of_another_kind():
    with pytest.raises(ValueError, match="SQLite or PostgreSQL, not mysql"):
        connect("mysql://127.0.0.1/x")


def test_no_server_is_unavailable():
    engine = connect("postgresql://127.0.0.1:1/x")

    with pytest.raises(Unavailable), engine.connect():
        pass
    engine.dispose()


def test_a_mistake_of_ours_is_not_called_unavailable(session):
    with pytest.raises(DBAPIError, match="nowhere"):
        session.execute(text("SELECT * FROM nowhere"))


def test_foreign_keys_hold(session):
    with pytest.raises(IntegrityError):
        factories.job(session, project_id="prj_none")


def test_a_savepoint_can_be_rolled_back(session):
    projects.create(session, name="kept")
    with session.begin_nested() as savepoint:
        projects.create(session, name="gone")
        savepoint.rollback()

    assert [row.name for row in session.query(Project)] == ["kept"]


def test_rolled_back_tests_leave_no_rows(engine):
    with engine.connect() as connection:
        assert connection.scalar(select(Project.id).limit(1)) is None


def test_time_is_that_of_the_moment(session):
    first, ahead, behind = session.execute(select(now(), later(90.5), later(-0.25))).one()
    time.sleep(0.02)
    second, further = session.execute(select(now(), later(90.5))).one()

    assert first.tzinfo is not None
    assert second > first
    assert further > ahead
    assert 90.4 < (ahead - first).total_seconds() < 90.6
    assert 0.2 < (first - behind).total_seconds() < 0.3


def test_a_time_compares_by_the_clock_on_both_sides(session):
    key, _ = factories.key(session, expires_at=session.scalar(select(later(90.5))))

    # the clock goes on between the two, so what is to be earlier is so by ten seconds
    for seconds, expected in ((9, True), (80.4, True), (90.6, False), (86_400, False)):
        assert session.scalar(select(type(key).expires_at > later(seconds))) is expected


def test_a_time_without_a_zone_is_refused(session):
    with pytest.raises(Exception, match="has no time zone"):
        factories.key(session, expires_at=session.scalar(select(now())).replace(tzinfo=None))


def test_readers_do_not_wait_for_a_writer(own_engine):
    writers, readers = make_sessions(own_engine), make_sessions(own_engine, write=False)

    with writers.begin() as writing:
        projects.create(writing, name="new")
        started = time.monotonic()
        with readers() as reading:
            assert reading.scalars(select(Project)).all() == []
        assert time.monotonic() - started < 1

    with readers() as reading:
        assert len(reading.scalars(select(Project)).all()) == 1


def test_writers_wait_for_each_other(own_engine):
    """A transaction that reads and then writes does not fail because another wrote meanwhile."""
    writers = make_sessions(own_engine)
    with writers.begin() as session:
        job_id = factories.job(session).id
    failures: list[BaseException] = []

    def add():
        try:
            for _ in range(15):
                with writers.begin() as session:
                    jobs.load(session, job_id)
                    events.append(session, job_id, "log", {})
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failures == []
    with writers() as session:
        found = events.after(session, job_id)
    assert [event.seq for event in found] == [*range(1, 63)]


WRITER = """
import sys
from store import events
from store.session import connect, sessions
make = sessions(connect(sys.argv[1]))
for _ in range(20):
    with make.begin() as session:
        events.append(session, sys.argv[2], "log", {})
"""


def test_several_processes_write(own_url, own_sessions):
    with own_sessions.begin() as session:
        job_id = factories.job(session).id
    command = [sys.executable, "-c", WRITER, own_url, job_id]

    running = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]

    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    with own_sessions() as session:
        assert [event.seq for event in events.after(session, job_id)] == [*range(1, 63)]


@on_sqlite
def test_a_full_disk_is_storage_full(own_engine):
    with own_engine.begin() as connection:
        pages = connection.scalar(text("PRAGMA page_count"))
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 4}").close()
        with pytest.raises(StorageFull):
            connection.execute(text("CREATE TABLE big AS SELECT zeroblob(1000000)"))


INSERT = text("INSERT INTO projects VALUES ('one', 'prj_1', CURRENT_TIMESTAMP)")


@on_sqlite
def test_a_lock_that_does_not_come_is_unavailable_on_sqlite(own_url, own_engine):
    other = connect(f"{own_url}?timeout=0.1")
    with own_engine.begin() as holding, other.connect() as waiting:
        holding.execute(INSERT)
        with pytest.raises(Unavailable):
            waiting.begin()
    other.dispose()


@on_postgresql
def test_a_lock_that_does_not_come_is_unavailable_on_postgresql(own_url, own_engine):
    other = connect(f"{own_url}?options=-c%20lock_timeout%3D100ms")
    with own_engine.begin() as holding, other.connect() as waiting:
        holding.execute(INSERT)
        with pytest.raises(Unavailable):
            waiting.execute(INSERT)
    other.dispose()


FROZEN = """
import sys, time
from sqlalchemy import text
from store.session import connect
engine = connect(sys.argv[1])
with engine.begin() as connection:
    connection.execute(text("UPDATE jobs SET step = 1 WHERE id = :id"), {"id": sys.argv[2]})
    print("holding", flush=True)
    time.sleep(600)
"""


@on_postgresql
def test_a_worker_frozen_in_a_transaction_does_not_stop_the_sweep(own_url, own_sessions):
    """The sweep passes over the row that is held, and takes all others at once."""
    with own_sessions.begin() as session:
        frozen, other = factories.claim(session), factories.claim(session)
        for claim in (frozen, other):
            jobs.load(session, claim.job_id).lease_until = later(-1)
    command = [sys.executable, "-c", FROZEN, own_url, frozen.job_id]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"holding\n"
            os.kill(process.pid, signal.SIGSTOP)
            started = time.monotonic()
            with own_sessions.begin() as session:
                assert jobs.sweep(session) == [other.job_id]
            assert time.monotonic() - started < 1
        finally:
            process.kill()
    with own_sessions.begin() as session:
        assert wait_for_sweep(session) == [frozen.job_id]


def wait_for_sweep(session):
    """The server needs a moment to notice that the client has died."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if swept := jobs.sweep(session):
            return swept
        time.sleep(0.05)
    return []


@on_postgresql
def test_the_server_ends_a_transaction_that_stands_still(own_url):
    engine = connect(own_url)
    connection = engine.connect()
    connection.execute(text("SET idle_in_transaction_session_timeout = '100ms'"))
    time.sleep(0.5)
    with pytest.raises(Unavailable):
        connection.execute(text("SELECT 1"))
    connection.close()

    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()
