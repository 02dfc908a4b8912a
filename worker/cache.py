"""Dataset files on local disk: content-addressed, verified on every use, bounded."""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

PIECE = 1 << 20


class CorruptBlob(RuntimeError):
    """The bytes that came are not those that were asked for."""


class Cache:
    """Files named by their SHA-256. A file that a living job uses is never removed."""

    def __init__(self, directory: Path, *, max_bytes: int) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self._held: list[IO[bytes]] = []  # shared locks, until this process ends

    def fetch(
        self,
        sha256: str,
        source: Callable[[], Iterable[bytes]],
        *,
        moved: Callable[[], None] = lambda: None,
    ) -> Path:
        """The file with this hash, taken from `source` when it is not here or is damaged.

        `moved` is called after every piece. Two processes may fetch the same file at once.
        """
        path = self.directory / sha256[:2] / sha256
        while not self._hold(path, sha256, moved):
            self._write(path, sha256, source(), moved)
        os.utime(path)
        self._prune()
        return path

    def close(self) -> None:
        for file in self._held:
            file.close()
        self._held.clear()

    def _hold(self, path: Path, sha256: str, moved: Callable[[], None]) -> bool:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return False
        fcntl.flock(file, fcntl.LOCK_SH)
        if os.fstat(file.fileno()).st_nlink and _hash(file, moved) == sha256:
            self._held.append(file)
            return True
        file.close()
        path.unlink(missing_ok=True)
        return False

    def _write(
        self, path: Path, sha256: str, pieces: Iterable[bytes], moved: Callable[[], None]
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        handle, name = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                fcntl.flock(file, fcntl.LOCK_SH)
                for piece in pieces:
                    digest.update(piece)
                    file.write(piece)
                    moved()
                file.flush()
                os.fsync(file.fileno())
            if digest.hexdigest() != sha256:
                raise CorruptBlob(f"blob {sha256} came with SHA-256 {digest.hexdigest()}")
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _prune(self) -> None:
        """Remove what was not used for longest until the rest fits."""
        files = []
        for path in self.directory.glob("??/*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self.max_bytes:
                return
            if _remove_unused(path):
                total -= size


def _remove_unused(path: Path) -> bool:
    """Remove the file unless somebody holds it (or is writing it)."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True


def _hash(file: IO[bytes], moved: Callable[[], None]) -> str:
    digest = hashlib.sha256()
    while piece := file.read(PIECE):
        digest.update(piece)
        moved()
    return digest.hexdigest()
