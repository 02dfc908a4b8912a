import hashlib
import threading
from contextlib import suppress

import pytest
from sqlalchemy import event, select, update

from core.errors import Damaged, NotFound, RangeNotSatisfiable, TooLarge, Unavailable
from store import blobs, jobs
from store.blobs import CHUNK, GROUP, Writer
from store.tables import Blob, BlobChunk, Chunk
from tests import factories
from tests.store.content import bytes_of, rows, store, whole

SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, GROUP * CHUNK, GROUP * CHUNK + 5]
on_postgresql = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


@pytest.mark.parametrize("size", SIZES)
def test_what_was_written_is_read(sessions, size):
    data = bytes_of(size)

    ref = store(sessions, data)

    assert ref == blobs.BlobRef(hashlib.sha256(data).hexdigest(), size)
    assert whole(sessions, ref.sha256) == data
    with sessions() as session:
        assert b"".join(blobs.read(session, ref.sha256)) == data
        assert blobs.find(session, ref.sha256) == ref


@pytest.mark.parametrize("size", SIZES)
def test_writing_within_a_transaction(session, size):
    data = bytes_of(size)

    ref = blobs.write(session, [data[: size // 2], data[size // 2 :]])

    assert b"".join(blobs.read(session, ref.sha256)) == data


def test_a_blob_that_does_not_exist(sessions, session):
    with pytest.raises(NotFound):
        blobs.read(session, "0" * 64)
    with pytest.raises(NotFound):
        blobs.stream(sessions, "0" * 64)
    with pytest.raises(NotFound):
        blobs.find(session, "0" * 64)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, 1),
        (0, None),
        (5, 5),
        (CHUNK - 1, CHUNK + 1),
        (CHUNK, 2 * CHUNK),
        (CHUNK + 7, CHUNK + 9),
        (2 * CHUNK, None),
        (3 * CHUNK - 1, 3 * CHUNK),
        (0, 10**12),
        (3 * CHUNK, None),
    ],
)
def test_a_range(sessions, start, end):
    data = bytes_of(3 * CHUNK)
    ref = store(sessions, data)

    assert b"".join(blobs.stream(sessions, ref.sha256, start=start, end=end)) == data[start:end]


@pytest.mark.parametrize(("start", "end"), [(-1, None), (11, None), (5, 4), (0, -1)])
def test_a_range_outside_the_file(sessions, start, end):
    ref = store(sessions, b"0123456789")

    with pytest.raises(RangeNotSatisfiable) as caught:
        blobs.stream(sessions, ref.sha256, start=start, end=end)
    assert caught.value.headers == {"Content-Range": "bytes */10"}


def test_a_range_needs_only_its_chunks(sessions):
    ref = store(sessions, bytes_of(3 * CHUNK))
    with sessions.begin() as session:
        first = select(BlobChunk.chunk_sha256).where(BlobChunk.position == 0).scalar_subquery()
        session.execute(update(Chunk).where(Chunk.sha256 == first).values(data=b"damaged"))

    assert len(b"".join(blobs.stream(sessions, ref.sha256, start=CHUNK))) == 2 * CHUNK
    with pytest.raises(Damaged, match="chunk 0"):
        whole(sessions, ref.sha256)


@pytest.mark.parametrize("harm", ["flip", "truncate", "missing", "swap"])
def test_damage_is_noticed(sessions, harm):
    data = bytes_of(2 * CHUNK)
    ref = store(sessions, data)
    with sessions.begin() as session:
        second = session.get(BlobChunk, (session.scalar(select(Blob.id)), 1))
        chunk = session.get(Chunk, second.chunk_sha256)
        if harm == "flip":
            chunk.data = bytes([chunk.data[0] ^ 1]) + chunk.data[1:]
        elif harm == "truncate":
            chunk.data = chunk.data[:-1]
        elif harm == "missing":
            session.delete(second)
        else:
            other = session.get(BlobChunk, (second.blob_id, 0))
            second.chunk_sha256 = other.chunk_sha256

    with pytest.raises(Damaged):
        whole(sessions, ref.sha256)


def test_equal_content_is_kept_once(sessions):
    data = bytes_of(2 * CHUNK)
    first = store(sessions, data)

    second = store(sessions, data)

    assert first == second
    assert rows(sessions) == (1, 2, 2)


def test_equal_content_of_many_chunks_is_kept_once(sessions):
    data = bytes_of((GROUP + 2) * CHUNK)

    assert store(sessions, data) == store(sessions, data)
    assert rows(sessions) == (1, GROUP + 2, GROUP + 2)


def test_chunks_are_shared_between_blobs(sessions):
    shared = bytes_of(3 * CHUNK)
    old, new = shared, shared + b"one more row"
    store(sessions, old)
    ref = store(sessions, new)

    assert rows(sessions) == (2, 7, 4)
    assert whole(sessions, ref.sha256) == new


def test_a_blob_of_one_byte_repeated(sessions):
    data = b"\0" * (GROUP + 1) * CHUNK

    ref = store(sessions, data)

    assert rows(sessions) == (1, GROUP + 1, 1)
    assert whole(sessions, ref.sha256) == data


def test_an_unfinished_blob_cannot_be_seen(sessions):
    data = bytes_of(GROUP * CHUNK)
    with Writer(sessions) as writer:
        writer.write(data)
        assert rows(sessions) == (1, GROUP, GROUP)
        with sessions() as session, pytest.raises(NotFound):
            blobs.find(session, hashlib.sha256(data).hexdigest())


def break_off(sessions, data):
    """Write, and leave without finishing, as when a client goes away."""
    with Writer(sessions) as writer:
        writer.write(data)


def test_a_write_that_breaks_off_leaves_nothing(sessions):
    break_off(sessions, bytes_of(GROUP * CHUNK + 1))

    assert rows(sessions) == (0, 0, 0)


def test_an_error_on_the_way_leaves_nothing(sessions):
    def pieces():
        yield bytes_of(GROUP * CHUNK)
        raise ConnectionError("the client is gone")

    def upload():
        with Writer(sessions) as writer:
            for piece in pieces():
                writer.write(piece)

    with pytest.raises(ConnectionError):
        upload()

    assert rows(sessions) == (0, 0, 0)


def test_a_write_that_breaks_off_spares_shared_chunks(sessions):
    data = bytes_of(2 * CHUNK)
    ref = store(sessions, data)

    break_off(sessions, data + bytes_of(GROUP * CHUNK, seed=1))

    assert rows(sessions) == (1, 2, 2)
    assert whole(sessions, ref.sha256) == data


def test_a_blob_too_large(sessions):
    writer = Writer(sessions, max_bytes=5 * CHUNK)
    for _ in range(5):
        writer.write(bytes_of(CHUNK))
    assert rows(sessions) == (1, GROUP, 1)

    with writer, pytest.raises(TooLarge, match="larger than 5242880 bytes"):
        writer.write(b"x")

    assert rows(sessions) == (0, 0, 0)


def test_a_blob_of_just_the_size_allowed(sessions):
    with Writer(sessions, max_bytes=10) as writer:
        writer.write(b"0123456789")
        assert writer.finish().bytes == 10


def test_files_in_and_out(sessions, tmp_path):
    data = bytes_of(GROUP * CHUNK + 9)
    (tmp_path / "in").write_bytes(data)

    ref = blobs.put_file(sessions, tmp_path / "in")
    blobs.get_file(sessions, ref.sha256, tmp_path / "out")

    assert (tmp_path / "out").read_bytes() == data
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_a_damaged_blob_makes_no_file(sessions, tmp_path):
    ref = store(sessions, bytes_of(2 * CHUNK))
    with sessions.begin() as session:
        second = select(BlobChunk.chunk_sha256).where(BlobChunk.position == 1).scalar_subquery()
        session.execute(update(Chunk).where(Chunk.sha256 == second).values(data=b""))

    with pytest.raises(Damaged):
        blobs.get_file(sessions, ref.sha256, tmp_path / "out")

    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_was_given_up_is_told(sessions):
    with Writer(sessions) as writer:
        writer.write(bytes_of(GROUP * CHUNK))
        with sessions.begin() as session:
            session.execute(update(Blob).values(bytes=-1))  # as a collector begins

        with pytest.raises(Unavailable, match="stood still"):
            writer.write(bytes_of(GROUP * CHUNK))


@on_postgresql
def test_writers_of_the_same_chunks_in_another_order(own_sessions, own_engine):
    """Both take their first chunk before either takes its second, if they can."""
    one, two = bytes_of(CHUNK), bytes_of(CHUNK, seed=1)
    both = threading.Barrier(2)
    failures: list[BaseException] = []

    def meet(connection, cursor, statement, *_):
        if statement.startswith("INSERT INTO chunks"):
            with suppress(threading.BrokenBarrierError):
                both.wait(0.3)

    def write(data):
        try:
            store(own_sessions, data)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    event.listen(own_engine, "after_cursor_execute", meet)
    threads = [threading.Thread(target=write, args=(data,)) for data in (one + two, two + one)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert failures == []
    assert rows(own_sessions) == (2, 4, 2)


def test_others_may_write_while_a_blob_is_written(own_sessions):
    with own_sessions.begin() as session:
        claim = factories.claim(session)
    with Writer(own_sessions) as writer:
        for seed in range(3):
            writer.write(bytes_of(GROUP * CHUNK, seed))
            with own_sessions.begin() as session:
                jobs.beat(session, claim, lease_seconds=60, step=seed)
        writer.finish()
    with own_sessions() as session:
        assert jobs.load(session, claim.job_id).step == 2


def test_a_slow_reader_holds_no_transaction(own_sessions, own_engine):
    ref = store(own_sessions, bytes_of(3 * CHUNK))
    reader = blobs.stream(own_sessions, ref.sha256)

    next(reader)

    assert own_engine.pool.checkedout() == 0
    assert sum(len(piece) for piece in reader) == 2 * CHUNK
