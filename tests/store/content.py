"""Bytes for the tests of blobs, and a look at what the database holds of them."""

import random

from sqlalchemy import func, select

from store import blobs
from store.blobs import Writer
from store.tables import Blob, BlobChunk, Chunk


def bytes_of(size, seed=0):
    return random.Random(seed).randbytes(size)


def whole(sessions, sha256):
    return b"".join(blobs.stream(sessions, sha256))


def rows(sessions):
    """How many blobs, references and chunks there are."""
    with sessions() as session:
        tables = (Blob, BlobChunk, Chunk)
        return tuple(session.scalar(select(func.count()).select_from(one)) for one in tables)


def store(sessions, data, piece=300_000):
    with Writer(sessions) as writer:
        for offset in range(0, len(data), piece):
            writer.write(data[offset : offset + piece])
        return writer.finish()
