"""What a job process is handed on its standard input: the settings, and later one claim."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from worker import lifeline
from worker.pulse import Pulse

# Read by OpenMP and BLAS when they are loaded, so before numpy is imported.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
OOM_SCORE = "500"  # the kernel, short of memory, takes the trainer and not those who look after it


class Handover:
    """What a job process has of its supervisor; made as soon as the process is tied to it."""

    def __init__(self, pulse: Pulse) -> None:
        self.pulse = pulse
        self.told_to_stop = False
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._stop)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
        self.settings = _document() or {}

    @classmethod
    def accept(cls, arguments: Sequence[str] | None = None) -> "Handover":
        """In a new interpreter, before numpy is imported: it settles the threads."""
        parser = argparse.ArgumentParser(prog="worker.runner")
        parser.add_argument("--pulse", type=int, required=True)
        parser.add_argument("--threads", type=int)
        given = parser.parse_args(arguments)
        lifeline.tie(signal.SIGKILL)
        if given.threads:
            os.environ.update(dict.fromkeys(THREADS, str(given.threads)))
        return cls(Pulse(given.pulse))

    def claim(self) -> dict[str, Any] | None:
        """The one job; None where the supervisor goes without giving any."""
        return _document()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.told_to_stop = True


def _document() -> dict[str, Any] | None:
    line = sys.stdin.readline()
    document: dict[str, Any] | None = json.loads(line) if line.strip() else None
    return document
