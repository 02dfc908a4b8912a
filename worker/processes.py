"""The job's own process: one job each, never reused, killed with its whole group."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from worker.output import Output
from worker.pulse import Pulse

RUNNER = (sys.executable, "-m", "worker.runner")


class Handle(Protocol):
    """A process that was started, by whatever means."""

    pid: int

    def poll(self) -> int | None:
        """The exit code (a signal's number negated), or None while it runs."""

    def wait(self, timeout: float | None = None) -> int | None:
        """The same, after at most `timeout` seconds."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing, where it has ended."""


# (standard input, standard output and error, the pulse's page) → a process that has them.
Spawn = Callable[[int, int, int], Handle]


class JobProcess:
    """A process that waits on its standard input for one claim, and then trains it.

    It must be started from a thread that outlives it (see `worker.lifeline`).
    """

    def __init__(
        self, spawn: Spawn, *, settings: dict[str, Any], threads: int | None = None
    ) -> None:
        self.threads = threads
        self.pulse = Pulse.create()
        theirs_in, self._ours_in = os.pipe()
        self._ours_out, theirs_out = os.pipe()
        self._closed = False
        try:
            self._handle = spawn(theirs_in, theirs_out, self.pulse.fd)
        except BaseException:
            os.close(self._ours_in)
            os.close(self._ours_out)
            self.pulse.close()
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self.output = Output(self._ours_out)
        self._tell(settings)

    @property
    def pid(self) -> int:
        return self._handle.pid

    def give(self, claim: dict[str, Any]) -> None:
        """Hand the process its one job; a process that has died shows it by `poll`."""
        self._tell(claim)

    def _tell(self, document: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):
            os.write(self._ours_in, json.dumps(document).encode() + b"\n")

    def poll(self) -> int | None:
        return self._handle.poll()

    def wait(self, timeout: float) -> int | None:
        """The exit code, or None when the process still runs after `timeout` seconds."""
        return self._handle.wait(timeout)

    def terminate(self) -> None:
        """Ask for a checkpoint and an end; the process itself decides what its group needs."""
        self._handle.signal(signal.SIGTERM)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Leave nothing behind: the group, the pipes, the page."""
        if self._closed:
            return
        self._closed = True
        self.kill()
        self._handle.wait()
        self.output.finish(timeout=2)
        os.close(self._ours_in)
        os.close(self._ours_out)
        self.pulse.close()


class Executed:
    """A process of a command of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process, self.pid = process, process.pid

    def poll(self) -> int | None:
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int | None:
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)


def execute(command: Sequence[str], threads: int | None = None) -> Spawn:
    """Start a new interpreter: it takes its time, and any number of threads is possible."""

    def spawn(stdin: int, stdout: int, page: int) -> Handle:
        arguments = [*command, "--pulse", str(page)]
        if threads is not None:
            arguments += ["--threads", str(threads)]
        return Executed(
            subprocess.Popen(
                arguments,
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                pass_fds=(page,),
                process_group=0,
            )
        )

    return spawn
