"""A job's own process: `python -m worker.runner`, started and watched by a supervisor.

It stands by with everything imported and the database connected, is handed one claim on its
standard input, trains it and ends. One job a process.
"""

import faulthandler
import os
import sys
from types import TracebackType
from typing import NoReturn

from worker.handover import Handover


def main() -> int:
    return work(Handover.accept())


def work(handover: Handover) -> int:
    """Stand by, take one claim, train it; the exit code."""
    faulthandler.enable()
    from worker.job import Job

    job = Job(handover)
    claim = handover.claim()
    return job.run(claim) if claim else 0


def leave(code: int) -> NoReturn:
    """End without the interpreter's farewell, which waits for threads and takes its time."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def fall(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.__excepthook__(kind, error, trace)
    leave(1)


if __name__ == "__main__":
    sys.excepthook = fall
    leave(main())
