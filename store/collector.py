"""Removes blobs that nobody names, and writes that were never finished, beside those who write.

A chunk is born together with the first blob that refers to it, and goes with the last. Whoever
deletes one locks it first and looks again, so that no writer loses a chunk it has taken up.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.orm import Session, sessionmaker

from store.base import Base
from store.clock import later
from store.tables import Blob, BlobChunk, Chunk

UNFINISHED_SECONDS = 3600
BATCH = 16  # chunks a transaction
QUIET: dict[str, Any] = {"synchronize_session": False, "populate_existing": True}


def delete_unreferenced(
    sessions: sessionmaker[Session], *, older_than_seconds: float = UNFINISHED_SECONDS
) -> int:
    """Remove blobs that no row names, and writes that were never finished; returns how many.

    Only those untouched for the given time: a blob just written is named by a row soon.
    """
    while _retire(sessions, older_than_seconds):
        pass
    old = (Blob.sha256.is_(None), Blob.touched_at < later(-older_than_seconds))
    with sessions() as session:
        names = session.scalars(select(Blob.id).where(*old)).all()
    for name in names:
        remove(sessions, name)
    while _remove_orphans(sessions):
        pass
    return len(names)


def _unreferenced() -> list[ColumnElement[bool]]:
    """That no column of any table which refers to blobs names this one."""
    keys = [key for table in Base.metadata.sorted_tables for key in table.foreign_keys]
    columns = [key.parent for key in keys if key.column is Blob.__table__.c.sha256]
    return [~exists().where(column == Blob.sha256) for column in columns]


def _retire(sessions: sessionmaker[Session], older_than_seconds: float) -> int:
    """Make some unreferenced blobs invisible: unfinished, as it were."""
    idle = [Blob.sha256.is_not(None), Blob.touched_at < later(-older_than_seconds)]
    free = _unreferenced()
    with sessions.begin() as session:
        query = select(Blob.id).where(*idle, *free).limit(100)
        names = session.scalars(query.with_for_update(skip_locked=True)).all()
        # Look again now that the rows are locked: a name may have come in between.
        gone = update(Blob).where(Blob.id.in_(names), *idle, *free).values(sha256=None)
        return len(session.execute(gone.returning(Blob.id), execution_options=QUIET).all())


def remove(sessions: sessionmaker[Session], blob_id: str) -> None:
    """Delete an unfinished blob, some chunks a transaction; its writer, if any, is refused."""
    with sessions.begin() as session:
        doomed = update(Blob).where(Blob.id == blob_id, Blob.sha256.is_(None)).values(bytes=-1)
        if session.execute(doomed.returning(Blob.id), execution_options=QUIET).first() is None:
            return
    positions = select(BlobChunk.position, BlobChunk.chunk_sha256).filter_by(blob_id=blob_id)
    while True:
        with sessions.begin() as session:
            rows = session.execute(positions.order_by(BlobChunk.position).limit(BATCH)).all()
            if not rows:
                session.execute(delete(Blob).where(Blob.id == blob_id))
                return
            some = BlobChunk.position.in_([row.position for row in rows])
            session.execute(delete(BlobChunk).where(BlobChunk.blob_id == blob_id, some))
            _remove_chunks(session, {row.chunk_sha256 for row in rows})


def _remove_chunks(session: Session, names: Iterable[str]) -> int:
    """Delete those chunks that nobody refers to; one that a writer is just taking up stays."""
    query = select(Chunk.sha256).where(Chunk.sha256.in_(sorted(names))).order_by(Chunk.sha256)
    locked = session.scalars(query.with_for_update(skip_locked=True)).all()
    free = ~exists().where(BlobChunk.chunk_sha256 == Chunk.sha256)
    gone = delete(Chunk).where(Chunk.sha256.in_(locked), free).returning(Chunk.sha256)
    return len(session.execute(gone, execution_options=QUIET).all())


def _remove_orphans(sessions: sessionmaker[Session]) -> int:
    """Delete some chunks left by a writer that rolled back while another blob was removed."""
    free = ~exists().where(BlobChunk.chunk_sha256 == Chunk.sha256)
    with sessions.begin() as session:
        names = session.scalars(select(Chunk.sha256).where(free).limit(BATCH)).all()
        return _remove_chunks(session, names) if names else 0
