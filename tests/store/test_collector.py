import threading

import pytest
from sqlalchemy import event, update

from core.errors import NotFound, Unavailable
from store import artifacts, blobs, datasets, progress, uploads
from store.blobs import CHUNK, GROUP, Writer
from store.clock import later
from store.progress import CheckpointRef
from store.session import connect, sessions as make_sessions
from store.tables import Blob, Upload
from tests import factories
from tests.store.content import bytes_of, rows, store, whole

on_postgresql = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


def test_collection_leaves_what_is_young(sessions):
    store(sessions, b"young")
    with Writer(sessions) as writer:
        writer.write(bytes_of(GROUP * CHUNK))

        assert blobs.delete_unreferenced(sessions) == 0

        assert rows(sessions) == (2, GROUP + 1, GROUP + 1)
        writer.finish()


def test_collection_takes_what_nobody_names(sessions):
    data = bytes_of(20 * CHUNK)
    kept = store(sessions, data[: 2 * CHUNK])
    with sessions.begin() as session:
        factories.upload(session, blob=kept)
    store(sessions, data)
    store(sessions, b"other")

    assert blobs.delete_unreferenced(sessions, older_than_seconds=-1) == 2

    assert rows(sessions) == (1, 2, 2)
    assert whole(sessions, kept.sha256) == data[: 2 * CHUNK]


def test_collection_takes_writes_that_died(sessions):
    writer = Writer(sessions)
    writer.write(bytes_of(GROUP * CHUNK + 1))  # and then its process is killed

    assert blobs.delete_unreferenced(sessions, older_than_seconds=-1) == 1

    assert rows(sessions) == (0, 0, 0)
    with pytest.raises(Unavailable, match="stood still"):
        writer.finish()
    assert rows(sessions) == (0, 0, 0)


def name_by_dataset(session, ref):
    factories.dataset_version(session, files=[datasets.FileRef("f", ref.sha256, ref.bytes)])


def name_by_checkpoint(session, ref):
    claim = factories.claim(session)
    progress.commit(session, claim, step=1, epoch=0, checkpoint=CheckpointRef(ref, {}))


def name_by_artifact(session, ref):
    claim = factories.claim(session)
    artifacts.add(session, claim, name="f", blob=ref, media_type="text/plain")


def name_by_upload(session, ref):
    factories.upload(session, blob=ref)


@pytest.mark.parametrize(
    "name", [name_by_dataset, name_by_checkpoint, name_by_artifact, name_by_upload]
)
def test_whatever_names_a_blob_keeps_it(sessions, name):
    ref = store(sessions, b"named")
    with sessions.begin() as session:
        name(session, ref)

    blobs.delete_unreferenced(sessions, older_than_seconds=-1)

    assert whole(sessions, ref.sha256) == b"named"


def test_bytes_go_with_the_last_that_names_them(sessions):
    ref = store(sessions, b"named")
    with sessions.begin() as session:
        upload = factories.upload(session, blob=ref)
        version = factories.dataset_version(
            session, files=[datasets.FileRef("f", ref.sha256, ref.bytes)]
        )
        upload.expires_at = later(-1)
        session.flush()
        uploads.expire(session)
    blobs.delete_unreferenced(sessions, older_than_seconds=-1)
    assert whole(sessions, ref.sha256) == b"named"

    with sessions.begin() as session:
        dataset, _ = datasets.sources(session, [version.id])[version.id]
        datasets.delete_(session, dataset.project_id, dataset.id)
    blobs.delete_unreferenced(sessions, older_than_seconds=-1)

    with pytest.raises(NotFound):
        whole(sessions, ref.sha256)
    assert rows(sessions) == (0, 0, 0)


def test_content_written_again_is_young_again(sessions):
    ref = store(sessions, b"again")
    with sessions.begin() as session:
        session.execute(update(Blob).values(touched_at=later(-7200)))
    store(sessions, b"again")

    assert blobs.delete_unreferenced(sessions) == 0
    assert whole(sessions, ref.sha256) == b"again"


def test_pruned_checkpoints_give_their_room_back(sessions):
    with sessions.begin() as session:
        claim = factories.claim(session)
    for step in range(1, 6):
        ref = store(sessions, bytes_of(CHUNK, seed=step))
        with sessions.begin() as session:
            saved = CheckpointRef(ref, {})
            progress.commit(session, claim, step=step, epoch=0, checkpoint=saved, keep=2)

    assert blobs.delete_unreferenced(sessions, older_than_seconds=-1) == 3
    assert rows(sessions) == (2, 2, 2)


def test_writers_of_equal_content_and_a_collector_at_once(own_sessions):
    """Each finished blob is whole, whatever was collected or broken off beside it."""
    content = [bytes_of(3 * CHUNK), bytes_of(2 * CHUNK) + bytes_of(CHUNK, seed=1)]
    failures: list[BaseException] = []
    stop = threading.Event()

    def write(index):
        try:
            for turn in range(4):
                data = content[(index + turn) % 2]
                with Writer(own_sessions) as writer:
                    writer.write(data)
                    if turn % 2:
                        continue  # breaks off
                    ref = writer.finish()
                    with own_sessions.begin() as session:
                        factories.upload(session, blob=ref)
                assert whole(own_sessions, ref.sha256) == data
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    def collect():
        try:
            while not stop.is_set():
                blobs.delete_unreferenced(own_sessions, older_than_seconds=0.5)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    collector = threading.Thread(target=collect)
    writers = [threading.Thread(target=write, args=(index,)) for index in range(3)]
    for thread in (collector, *writers):
        thread.start()
    for thread in writers:
        thread.join(60)
    stop.set()
    collector.join(60)

    assert failures == []
    blobs.delete_unreferenced(own_sessions, older_than_seconds=-1)
    assert rows(own_sessions) == (2, 6, 4)


def test_blobs_named_and_forgotten_beside_an_eager_collector(own_sessions):
    data = bytes_of(3 * CHUNK)
    failures: list[BaseException] = []
    stop = threading.Event()
    start = threading.Barrier(4)

    def name_and_forget(size):
        try:
            start.wait(10)
            for _ in range(6):
                with own_sessions.begin() as session:
                    ref = blobs.write(session, data[:size])
                    upload = factories.upload(session, blob=ref)
                assert whole(own_sessions, ref.sha256) == data[:size]
                with own_sessions.begin() as session:
                    session.delete(session.get(Upload, upload.id))
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    def collect():
        try:
            start.wait(10)
            while not stop.is_set():
                blobs.delete_unreferenced(own_sessions, older_than_seconds=-1)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    sizes = (3 * CHUNK, 3 * CHUNK, 2 * CHUNK)
    writers = [threading.Thread(target=name_and_forget, args=(size,)) for size in sizes]
    collector = threading.Thread(target=collect)
    for thread in (collector, *writers):
        thread.start()
    for thread in writers:
        thread.join(60)
    stop.set()
    collector.join(60)

    assert failures == []
    blobs.delete_unreferenced(own_sessions, older_than_seconds=-1)
    assert rows(own_sessions) == (0, 0, 0)


@on_postgresql
def test_a_chunk_being_taken_up_is_left_alone(own_sessions):
    data = bytes_of(2 * CHUNK)
    store(own_sessions, data + b"that nobody names")
    with own_sessions.begin() as session:
        ref = blobs.write(session, data)
        factories.upload(session, blob=ref)

        assert blobs.delete_unreferenced(own_sessions, older_than_seconds=-1) == 1

    assert whole(own_sessions, ref.sha256) == data


@on_postgresql
def test_a_chunk_found_is_kept_until_it_is_named(own_sessions, own_engine):
    data = bytes_of(2 * CHUNK)
    store(own_sessions, data + b"that nobody names")
    others = make_sessions(connect(own_engine.url.render_as_string(hide_password=False)))
    collected = []

    def collect(connection, cursor, statement, *_):
        if statement.startswith("INSERT INTO blob_chunks"):
            collected.append(blobs.delete_unreferenced(others, older_than_seconds=-1))

    event.listen(own_engine, "before_cursor_execute", collect)
    with own_sessions.begin() as session:
        ref = blobs.write(session, data)
        factories.upload(session, blob=ref)
    others.kw["bind"].dispose()

    assert collected == [1]
    assert whole(own_sessions, ref.sha256) == data
