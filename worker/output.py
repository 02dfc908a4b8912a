"""What a job process prints: a bounded piece of it, without keys and passwords."""

import os
import re
import threading
from collections import deque
from typing import Any

from core.logging import redact

LINE_BYTES = 2_000
PENDING_LINES = 1_000
JOB_LINES = 20_000
TAIL_LINES = 30
# How a job process logs: the level comes back out of the line.
LOG_FORMAT = "%(levelname)s: %(message)s"
LEVEL = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL): (?=\S)")


class Output:
    """What a process prints, a bounded piece of it, collected by a thread of its own."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        self._pending: deque[str] = deque(maxlen=PENDING_LINES)
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._taken = 0
        self._thread = threading.Thread(target=self._read, name="job-output", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        rest = b""
        while chunk := self._chunk():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._keep(line)
            if len(rest) > LINE_BYTES:
                self._keep(rest)
                rest = b""
        if rest:
            self._keep(rest)

    def _chunk(self) -> bytes:
        try:
            return os.read(self._fd, 65_536)
        except OSError:
            return b""

    def _keep(self, line: bytes) -> None:
        text = redact(line[:LINE_BYTES].decode(errors="replace").replace("\0", "").rstrip())
        if text:
            with self._lock:
                self._pending.append(text)
                self._tail.append(text)

    def take(self) -> list[str]:
        """The lines since the last call; nothing more once a job has printed too much."""
        with self._lock:
            lines = list(self._pending)
            self._pending.clear()
        left = JOB_LINES - self._taken
        self._taken += len(lines)
        if len(lines) > left >= 0:
            lines = [
                *lines[:left],
                f"more than {JOB_LINES} lines were printed: the rest is left out",
            ]
        return lines if left >= 0 else []

    def tail(self) -> str:
        with self._lock:
            return "\n".join(self._tail)

    def finish(self, timeout: float) -> None:
        """Wait for the last words: they may come after the process has gone."""
        self._thread.join(timeout)


def log_event(line: str) -> dict[str, Any]:
    """What a process printed, as an event of its job."""
    found = LEVEL.match(line)
    level = found[1].lower() if found else "info"
    return {"type": "log", "data": {"level": level, "message": line[found.end() if found else 0 :]}}
