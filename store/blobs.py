"""Bytes in the database, named by their sha256, in chunks that equal content shares.

A blob is written in several short transactions, so that a gibibyte blocks nobody; until the last
of them nobody can see it. `store/collector.py` removes what is not finished or not needed.
"""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from core.errors import AppError, Damaged, NotFound, RangeNotSatisfiable, TooLarge, Unavailable
from core.ids import new_id
from store.base import insert as upsert
from store.clock import now
from store.collector import delete_unreferenced as delete_unreferenced, remove
from store.tables import Blob, BlobChunk, Chunk

CHUNK = 2**20
GROUP = 4  # chunks a transaction
AnyRow = Row[*tuple[Any, ...]]
QUIET: dict[str, Any] = {"synchronize_session": False, "populate_existing": True}


@dataclass(frozen=True)
class BlobRef:
    sha256: str
    bytes: int


class Writer:
    """Stores a stream of bytes, a few mebibytes a transaction.

    `with Writer(sessions) as writer: writer.write(data) …; ref = writer.finish()`. Leaving without
    `finish` removes what was written. Raises TooLarge beyond `max_bytes`, StorageFull.
    """

    def __init__(self, sessions: sessionmaker[Session], *, max_bytes: int | None = None) -> None:
        self._sessions = sessions
        self._draft = _Draft(max_bytes)
        self._done = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.discard()

    def write(self, data: bytes) -> None:
        self._draft.take(data)
        while len(self._draft.buffer) >= CHUNK * GROUP:
            with self._sessions.begin() as session:
                self._draft.flush(session, CHUNK * GROUP)

    def finish(self) -> BlobRef:
        """Make the blob visible, or find that its bytes were there already."""
        with self._sessions.begin() as session:
            ref = self._draft.finish(session)
        self._done = True
        return ref

    def discard(self) -> None:
        """Remove what was written so far; nothing, where the blob is finished."""
        if not self._done and self._draft.begun:
            self._done = True
            with suppress(AppError):  # what cannot be removed now is collected later
                remove(self._sessions, self._draft.id)


def write(
    session: Session, data: bytes | Iterable[bytes], *, max_bytes: int | None = None
) -> BlobRef:
    """Store bytes within the caller's transaction: for what is small."""
    draft = _Draft(max_bytes)
    for part in [data] if isinstance(data, bytes) else data:
        draft.take(part)
        while len(draft.buffer) >= CHUNK * GROUP:
            draft.flush(session, CHUNK * GROUP)
    return draft.finish(session)


def put_file(
    sessions: sessionmaker[Session], path: Path, *, max_bytes: int | None = None
) -> BlobRef:
    with path.open("rb") as file, Writer(sessions, max_bytes=max_bytes) as writer:
        while data := file.read(CHUNK):
            writer.write(data)
        return writer.finish()


def get_file(sessions: sessionmaker[Session], sha256: str, path: Path) -> None:
    """Write the blob to `path`, which appears complete and on the disk, or not at all."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with part.open("xb") as file:
            for data in stream(sessions, sha256):
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def find(session: Session, sha256: str) -> BlobRef:
    return BlobRef(sha256, _row(session, sha256).bytes)


def read(
    session: Session, sha256: str, *, start: int = 0, end: int | None = None
) -> Iterator[bytes]:
    """The bytes from `start` up to `end`, a chunk at a time, each checked against its sha256.

    Raises NotFound and RangeNotSatisfiable at once, and Damaged where a chunk is not what it was.
    """
    row = _row(session, sha256)
    start, end = _range(row.bytes, start, end)
    return _pieces(row, start, end, lambda position: _chunk(session, row.id, position))


def stream(
    sessions: sessionmaker[Session], sha256: str, *, start: int = 0, end: int | None = None
) -> Iterator[bytes]:
    """`read`, with a short transaction for each chunk: for readers that may be slow."""
    with sessions() as session:
        row = _row(session, sha256)
    start, end = _range(row.bytes, start, end)

    def fetch(position: int) -> AnyRow | None:
        with sessions() as session:
            return _chunk(session, row.id, position)

    return _pieces(row, start, end, fetch)


class _Draft:
    """A blob while it is written: its bytes not yet stored, its digest, its size so far."""

    def __init__(self, max_bytes: int | None) -> None:
        self.id = new_id("blb")
        self.buffer = bytearray()
        self.begun = False
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256()
        self._size = 0
        self._position = 0

    def take(self, data: bytes) -> None:
        self._size += len(data)
        if self._max_bytes is not None and self._size > self._max_bytes:
            raise TooLarge(f"the content is larger than {self._max_bytes} bytes")
        self._digest.update(data)
        self.buffer += data

    def flush(self, session: Session, size: int) -> None:
        """Store the first `size` bytes of the buffer; all but the last flush in whole chunks."""
        self._open(session)
        view = bytes(self.buffer[:size])
        del self.buffer[:size]
        pieces = [view[offset : offset + CHUNK] for offset in range(0, len(view), CHUNK)]
        names = [hashlib.sha256(piece).hexdigest() for piece in pieces]
        # In one order for all, so that two writers of the same chunks never wait in a circle.
        for name, piece in sorted(zip(names, pieces, strict=True)):
            _keep_chunk(session, name, piece)
        rows = [
            {"blob_id": self.id, "position": self._position + index, "chunk_sha256": name}
            for index, name in enumerate(names)
        ]
        if rows:
            session.execute(insert(BlobChunk), rows)
        self._position += len(rows)

    def finish(self, session: Session) -> BlobRef:
        ref = BlobRef(self._digest.hexdigest(), self._size)
        if not self.begun and _touch(session, ref.sha256):
            return ref
        self.flush(session, len(self.buffer))
        if not _touch(session, ref.sha256):
            try:
                with session.begin_nested():
                    self._publish(session, ref)
                return ref
            except IntegrityError:  # somebody else has just finished the same bytes
                if not _touch(session, ref.sha256):
                    raise
        session.execute(delete(BlobChunk).where(BlobChunk.blob_id == self.id))
        session.execute(delete(Blob).where(Blob.id == self.id))
        return ref

    def _open(self, session: Session) -> None:
        if not self.begun:
            self.begun = True
            session.execute(insert(Blob).values(id=self.id))
            return
        self._own(session, {"touched_at": now()})

    def _publish(self, session: Session, ref: BlobRef) -> None:
        self._own(session, {"sha256": ref.sha256, "bytes": ref.bytes, "touched_at": now()})

    def _own(self, session: Session, values: dict[str, Any]) -> None:
        mine = update(Blob).where(Blob.id == self.id, Blob.bytes >= 0).values(**values)
        if session.execute(mine.returning(Blob.id), execution_options=QUIET).first() is None:
            raise Unavailable("the upload stood still for so long that it was given up")


def _keep_chunk(session: Session, name: str, data: bytes) -> None:
    """Store the chunk or lock the one that is there, so that it stays until our commit."""
    held = select(Chunk.sha256).where(Chunk.sha256 == name)
    statement = upsert(session, Chunk).values(sha256=name, data=data)
    while session.scalar(held.with_for_update(read=True, key_share=True)) is None:
        added = statement.on_conflict_do_nothing().returning(Chunk.sha256)
        if session.scalar(added) is not None:
            return


def _touch(session: Session, sha256: str) -> bool:
    """Whether the blob is there; and then it is as good as new to the collector."""
    there = update(Blob).where(Blob.sha256 == sha256).values(touched_at=now()).returning(Blob.id)
    return session.execute(there, execution_options=QUIET).first() is not None


def _row(session: Session, sha256: str) -> AnyRow:
    query = select(Blob.id, Blob.sha256, Blob.bytes).where(Blob.sha256 == sha256)
    row = session.execute(query).one_or_none()
    if row is None:
        raise NotFound("blob", sha256)
    return row


def _chunk(session: Session, blob_id: str, position: int) -> AnyRow | None:
    query = (
        select(Chunk.sha256, Chunk.data)
        .join(BlobChunk, BlobChunk.chunk_sha256 == Chunk.sha256)
        .where(BlobChunk.blob_id == blob_id, BlobChunk.position == position)
    )
    return session.execute(query).one_or_none()


def _range(size: int, start: int, end: int | None) -> tuple[int, int]:
    end = size if end is None else min(end, size)
    if not 0 <= start <= end:
        raise RangeNotSatisfiable(
            f"bytes {start} to {end} do not lie in a file of {size}",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end


def _pieces(
    row: AnyRow,
    start: int,
    end: int,
    fetch: Callable[[int], AnyRow | None],
) -> Iterator[bytes]:
    whole = hashlib.sha256() if (start, end) == (0, row.bytes) else None
    for position in range(start // CHUNK, -(-end // CHUNK)):
        chunk = fetch(position)
        if chunk is None or hashlib.sha256(chunk.data).hexdigest() != chunk.sha256:
            raise Damaged(f"chunk {position} of blob {row.sha256} is missing or was changed")
        if whole is not None:
            whole.update(chunk.data)
        offset = position * CHUNK
        yield chunk.data[max(0, start - offset) : end - offset]
    if whole is not None and whole.hexdigest() != row.sha256:
        raise Damaged(f"blob {row.sha256} is not what was written")
